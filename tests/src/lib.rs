//! What the tests across crates share: problems with their tolerances, the ways to run them, random
//! graphs, and the models of this repository. See `tests/` for the test programs and `filetests/` for
//! the text tests.

// This library only serves tests, where a broken expectation is a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agreement;
pub mod decomposing_target;
pub mod diff_attention_problem;
pub mod idioms;
pub mod models;
pub mod problem;
pub mod random_graph;
pub mod random_values;
pub mod runners;
pub mod weight_table;
