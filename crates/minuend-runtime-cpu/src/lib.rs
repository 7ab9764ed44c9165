//! The CPU device of minuend: kernels are Rust functions over the plan's buffers.

pub mod kernels;
