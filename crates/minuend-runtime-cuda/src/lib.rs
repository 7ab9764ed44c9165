//! NVIDIA GPUs through the CUDA driver.
//!
//! Kernels come as text from `minuend-codegen`, are compiled by NVRTC when a program first needs them and
//! kept on disk; dense products go to cuBLASLt where it is installed. Every library is opened when a CUDA
//! device is asked for: a program that contains this crate starts on machines without CUDA.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod code_cache;
mod device;
mod gpu;
mod graph;
mod hazards;
mod kernels;
mod launch;
mod libraries;
mod memory;
mod module;
pub mod nvrtc;
mod planned;
mod products;
mod readback;
mod staging;
mod stream;

pub use device::{CudaDevice, CudaOptions, Variant};
pub use gpu::{GpuDescription, gpus};
pub use kernels::is_performance_warning;
pub use libraries::{DIRECTORIES_VARIABLE, MissingLibrary};
