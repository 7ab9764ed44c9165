//! Buffers with numbers, so that bind groups can be found by integers.

use minuend_runtime::DeviceError;
use wgpu::{Buffer, BufferUsages};

use crate::gpu::Gpu;

/// What memory that kernels read and write is used for.
pub(crate) const STORAGE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::COPY_DST).union(BufferUsages::COPY_SRC);

/// A buffer and a number that no other buffer of its device has.
pub(crate) struct NumberedBuffer {
    pub(crate) buffer: Buffer,
    pub(crate) id: u64,
}

impl NumberedBuffer {
    pub(crate) fn new(
        gpu: &Gpu,
        what: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<NumberedBuffer, DeviceError> {
        let buffer = gpu.buffer(what, bytes, usage)?;
        Ok(NumberedBuffer { buffer, id: gpu.next_buffer_id() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.buffer.size()
    }
}
