//! Targets: what a backend can run, and which kernel it runs for each op.
//!
//! A [`Target`] is the compile-time half of a backend. It needs no device, so everything up to the
//! plan can be made, printed and tested on any machine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attention;
mod axes;
mod chain;
mod cpu;
pub mod cuda;
mod f32_activations;
mod kernel;
mod literal;
mod place;
mod rows;
mod target;
#[cfg(test)]
mod tensor;
mod turns;
mod unsupported;
pub mod wgsl;

pub use cpu::CpuTarget;
pub use kernel::{Kernel, Tail, TailOperand, TailStep};
pub use place::{Fault, LaunchPlaces, Region, TensorPlace};
pub use target::{CodegenError, KernelText, Target};
