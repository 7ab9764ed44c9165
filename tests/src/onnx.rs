//! ONNX models for tests: a writer of files as exporters make them, and ways to run what is imported.

pub mod language_model;
pub mod operators;
pub mod run;
pub mod writer;
