//! Weights on the device, and what all streams of a program share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_plan::{Program, WeightSlot};
use minuend_runtime::{DeviceError, Module, Stream, WeightSource, stored_parts};

use crate::buffers::{NumberedBuffer, STORAGE};
use crate::device::Shared;
use crate::gpu::Gpu;
use crate::stream::WgpuStream;

/// Bytes given to the queue at once.
const CHUNK: usize = 32 << 20;
/// Chunks after which the queue is drained, so that staging memory stays bounded.
const CHUNKS_IN_FLIGHT: usize = 4;

/// A program with its weights on a device.
pub(crate) struct WgpuModule {
    pub(crate) shared: Arc<Shared>,
    pub(crate) program: Program,
    pub(crate) weights: Vec<NumberedBuffer>,
    /// Literals and tables of kernels, by content.
    literals: Mutex<HashMap<Arc<[u32]>, Arc<NumberedBuffer>>>,
}

impl WgpuModule {
    pub(crate) fn load(
        shared: Arc<Shared>,
        program: &Program,
        source: &dyn WeightSource,
    ) -> Result<WgpuModule, DeviceError> {
        let mut upload = Upload { gpu: &shared.gpu, chunks: 0 };
        let slots = program.weights.iter();
        let weights = slots.map(|slot| upload.weight(slot, source)).collect::<Result<_, _>>()?;
        upload.drain()?;
        let program = program.clone();
        Ok(WgpuModule { shared, program, weights, literals: Mutex::default() })
    }

    /// The buffer that holds the words.
    pub(crate) fn literal(&self, words: &Arc<[u32]>) -> Result<Arc<NumberedBuffer>, DeviceError> {
        let mut literals = self.literals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = literals.get(words) {
            return Ok(Arc::clone(found));
        }
        let gpu = &self.shared.gpu;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        let buffer = NumberedBuffer::new(gpu, "literal", bytes.len() as u64, STORAGE)?;
        gpu.queue.write_buffer(&buffer.buffer, 0, bytes);
        let buffer = Arc::new(buffer);
        literals.insert(Arc::clone(words), Arc::clone(&buffer));
        Ok(buffer)
    }
}

impl Module for WgpuModule {
    fn open(self: Arc<Self>) -> Result<Box<dyn Stream>, DeviceError> {
        Ok(Box::new(WgpuStream::open(self)?))
    }
}

struct Upload<'a> {
    gpu: &'a Gpu,
    chunks: usize,
}

impl Upload<'_> {
    /// A weight's parts, one behind the other in one buffer.
    fn weight(
        &mut self,
        slot: &WeightSlot,
        source: &dyn WeightSource,
    ) -> Result<NumberedBuffer, DeviceError> {
        let parts = stored_parts(slot, source)?;
        let bytes: u64 = parts.iter().map(|part| part.data.len() as u64).sum();
        let name = || slot.parts.join(", ");
        let buffer = NumberedBuffer::new(self.gpu, &format!("weight {}", name()), bytes, STORAGE)?;
        let mut offset = 0;
        // The queue copies whole words; bytes that do not fill one wait for the next part.
        let mut rest: Vec<u8> = Vec::new();
        for part in &parts {
            let mut data: &[u8] = &part.data;
            if !rest.is_empty() {
                let fill = (4 - rest.len()).min(data.len());
                rest.extend_from_slice(&data[..fill]);
                data = &data[fill..];
                if rest.len() == 4 {
                    self.write(&buffer, &mut offset, &rest)?;
                    rest.clear();
                }
            }
            let whole = data.len() / 4 * 4;
            for chunk in data[..whole].chunks(CHUNK) {
                self.write(&buffer, &mut offset, chunk)?;
            }
            rest.extend_from_slice(&data[whole..]);
        }
        if !rest.is_empty() {
            rest.resize(4, 0);
            self.write(&buffer, &mut offset, &rest)?;
        }
        Ok(buffer)
    }

    fn write(
        &mut self,
        buffer: &NumberedBuffer,
        offset: &mut u64,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.gpu.queue.write_buffer(&buffer.buffer, *offset, bytes);
        *offset += bytes.len() as u64;
        if bytes.len() >= CHUNK {
            self.chunks += 1;
            if self.chunks.is_multiple_of(CHUNKS_IN_FLIGHT) {
                self.drain()?;
            }
        }
        Ok(())
    }

    fn drain(&self) -> Result<(), DeviceError> {
        self.gpu.queue.submit([]);
        self.gpu.wait(None)
    }
}
