//! Devices, executables and sessions.
//!
//! A [`Device`] loads a program: the [`Module`] holds compiled kernels and resident weights. An
//! [`Executable`] is a program with its module, immutable and shared between threads; a [`Session`]
//! holds what changes: temporary memory, states, and the sizes of the last run. Nothing is global.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod device;
mod executable;
mod host_tensor;
mod row_major;
mod run_error;
mod session;
mod weights;

pub use device::{Device, DeviceError, Memory, Module, PendingRead, Stream};
pub use executable::Executable;
pub use host_tensor::HostTensor;
pub use run_error::RunError;
pub use session::{Input, PendingTensor, Session};
pub use weights::{StoredTensor, WeightSource, stored_parts};
