//! Copies to the host that are waited for later.

use std::sync::Arc;

use cudarc::driver::sys::{self, CUstream};
use minuend_codegen::Fault;
use minuend_runtime::DeviceError;

use crate::gpu::Gpu;
use crate::memory::{Event, PinnedBuffer};

/// Bytes of the fault counters, which come with every copy.
pub(crate) const FAULT_BYTES: usize = 16;

/// Copies on their way, and the memory that they go to.
pub(crate) struct Readbacks {
    gpu: Arc<Gpu>,
    free: Vec<Slot>,
    pending: Vec<(u64, Slot)>,
    next: u64,
}

/// Page-locked memory for one copy: the fault counters, then the bytes asked for.
struct Slot {
    memory: PinnedBuffer,
    copied: Event,
    bytes: usize,
}

impl Readbacks {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Readbacks {
        Readbacks { gpu: Arc::clone(gpu), free: Vec::new(), pending: Vec::new(), next: 0 }
    }

    /// Asks for bytes at an address, and the fault counters; gives the copy's number.
    pub(crate) fn start(
        &mut self,
        address: u64,
        bytes: usize,
        faults: u64,
        stream: CUstream,
    ) -> Result<u64, DeviceError> {
        let mut slot = self.slot(bytes)?;
        let to = slot.memory.bytes_mut().as_mut_ptr();
        // SAFETY: the caller's addresses hold that many bytes; the host's memory is page-locked, holds
        // them all, and is not looked at before the event behind the copies is reached.
        let results = unsafe {
            [
                sys::cuMemcpyDtoHAsync_v2(to.cast(), faults, FAULT_BYTES, stream),
                match bytes {
                    0 => sys::CUresult::CUDA_SUCCESS,
                    _ => sys::cuMemcpyDtoHAsync_v2(
                        to.add(FAULT_BYTES).cast(),
                        address,
                        bytes,
                        stream,
                    ),
                },
            ]
        };
        for result in results {
            self.gpu.done("copying to the host", result)?;
        }
        slot.copied.record(stream)?;
        let number = self.next;
        self.next += 1;
        self.pending.push((number, slot));
        Ok(number)
    }

    /// Waits for a copy; gives its bytes and the number of bad indices so far.
    pub(crate) fn finish(&mut self, number: u64) -> Result<(Vec<u8>, u32), DeviceError> {
        let Some(at) = self.pending.iter().position(|(pending, _)| *pending == number) else {
            let (what, start, end) = (format!("read {number}"), 0, 1);
            return Err(DeviceError::OutOfBounds { what, start, end, size: 0 });
        };
        let (_, slot) = self.pending.remove(at);
        slot.copied.wait()?;
        let words = slot.memory.bytes();
        let at = Fault::Index as usize * 4;
        let count = u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        let bytes = words[FAULT_BYTES..FAULT_BYTES + slot.bytes].to_vec();
        self.free.push(slot);
        Ok((bytes, count))
    }

    /// Memory for a copy: what is free and large enough, or new.
    fn slot(&mut self, bytes: usize) -> Result<Slot, DeviceError> {
        let wanted = bytes.saturating_add(FAULT_BYTES);
        let fits = |slot: &Slot| slot.memory.bytes().len() >= wanted;
        if let Some(at) = self.free.iter().position(fits) {
            return Ok(Slot { bytes, ..self.free.swap_remove(at) });
        }
        // What is free is too small: one copy of a size follows another.
        self.free.clear();
        let memory = PinnedBuffer::new(&self.gpu, wanted.next_multiple_of(4096))?;
        Ok(Slot { memory, copied: Event::new(&self.gpu)?, bytes })
    }
}
