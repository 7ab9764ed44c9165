//! The built program, run as a user runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod bench;
mod compile;
mod conform;
mod inspect;
mod onnx;
mod onnx_file;
mod program;
mod run;
mod verify;
