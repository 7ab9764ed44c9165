//! What the tests across crates share: comparison on a device, ONNX files, random graphs and shapes, and the models
//! of this repository. Problems with their tolerances and the ways to run them are in `minuend-conform`. See `tests/` for the test programs and `filetests/` for
//! the text tests.

// This library only serves tests, where a broken expectation is a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agreement;
pub mod idioms;
pub mod models;
pub mod onnx;
pub mod random_attention;
pub mod random_graph;
pub mod runners;
pub mod sixteen_bits;

pub use minuend_conform::{decomposing_target, problem, random_values, weight_table};
