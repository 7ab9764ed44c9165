//! The portable GPU device: WGSL kernels through wgpu, on Vulkan, Metal and Direct3D 12 adapters.
//!
//! [`adapters`] lists what there is, [`WgpuDevice::open`] opens one. A run becomes a list of dispatches,
//! chosen by `minuend_codegen::wgsl`, recorded into one command buffer: pipelines and bind groups are
//! found by integers and made once, the sizes of all dispatches travel in one uniform buffer.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod adapter;
mod bind_groups;
mod buffers;
mod device;
mod gpu;
mod limits;
mod module;
mod pipeline_cache;
mod pipelines;
mod planned;
mod recording;
mod stream;
mod variant;

pub use adapter::{AdapterChoice, AdapterDescription, adapters};
pub use device::{WgpuDevice, WgpuOptions};
pub use variant::{Variant, VariantSupport};
