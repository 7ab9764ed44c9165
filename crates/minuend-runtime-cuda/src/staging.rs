//! Copies from the host through page-locked memory, so that the host does not wait for the device.

use std::sync::Arc;

use cudarc::driver::sys::{self, CUstream};
use minuend_runtime::DeviceError;

use crate::gpu::Gpu;
use crate::memory::{Event, PinnedBuffer};

/// Pieces of page-locked memory that are filled in turn: while one is copied, the next is filled.
pub(crate) struct Staging {
    gpu: Arc<Gpu>,
    pieces: Vec<Piece>,
    /// The piece being filled.
    current: usize,
    /// Bytes of it that are taken.
    used: usize,
}

struct Piece {
    memory: PinnedBuffer,
    /// Behind the last copy from it.
    copied: Event,
}

/// Copies start at multiples of this many bytes of a piece.
const ALIGNMENT: usize = 64;

impl Staging {
    pub(crate) fn new(gpu: &Arc<Gpu>, pieces: usize, bytes: usize) -> Result<Staging, DeviceError> {
        let piece =
            |_| Ok(Piece { memory: PinnedBuffer::new(gpu, bytes)?, copied: Event::new(gpu)? });
        let pieces: Vec<Piece> = (0..pieces.max(1)).map(piece).collect::<Result<_, _>>()?;
        Ok(Staging { gpu: Arc::clone(gpu), pieces, current: 0, used: 0 })
    }

    /// Copies bytes to an address of the device, in the order of the stream. The bytes may be dropped
    /// when this returns.
    pub(crate) fn copy(
        &mut self,
        address: u64,
        bytes: &[u8],
        stream: CUstream,
    ) -> Result<(), DeviceError> {
        let mut done = 0;
        while done < bytes.len() {
            let room = self.pieces[self.current].memory.bytes().len() - self.used;
            if room == 0 {
                self.advance(stream)?;
                continue;
            }
            let part = &bytes[done..bytes.len().min(done + room)];
            let memory = &mut self.pieces[self.current].memory;
            let staged = &mut memory.bytes_mut()[self.used..self.used + part.len()];
            staged.copy_from_slice(part);
            // SAFETY: the caller's address has room for the bytes; the staged ones stay as they are
            // until the event behind this copy is reached.
            let result = unsafe {
                sys::cuMemcpyHtoDAsync_v2(
                    address + done as u64,
                    staged.as_ptr().cast(),
                    part.len(),
                    stream,
                )
            };
            self.gpu.done("copying to the device", result)?;
            done += part.len();
            let end = (self.used + part.len()).next_multiple_of(ALIGNMENT);
            self.used = end.min(self.pieces[self.current].memory.bytes().len());
        }
        Ok(())
    }

    /// Goes on to the next piece, once the copies from it are done.
    fn advance(&mut self, stream: CUstream) -> Result<(), DeviceError> {
        self.pieces[self.current].copied.record(stream)?;
        self.current = (self.current + 1) % self.pieces.len();
        self.used = 0;
        self.pieces[self.current].copied.wait()
    }
}
