//! The CPU device of minuend: kernels are Rust functions over the plan's buffers.
//!
//! Activations are f32; weights stay in the type they are stored in, where they lie (often a memory
//! map), and are widened in registers or in tiles. A device has a pool of threads of its own.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cast;
mod copy;
mod device;
pub mod kernels;
mod launch;
mod memory;
mod module;
mod operands;
mod stream;

pub use device::CpuDevice;
