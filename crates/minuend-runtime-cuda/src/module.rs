//! Weights on the device, and what all streams of a program share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUstream};
use minuend_plan::{Program, WeightSlot};
use minuend_runtime::{DeviceError, Module, Stream, WeightSource, stored_parts};

use crate::device::Shared;
use crate::gpu::Gpu;
use crate::memory::DeviceBuffer;
use crate::staging::Staging;
use crate::stream::CudaStream;

/// Pieces of page-locked memory that weights go through.
const UPLOAD_PIECES: usize = 3;
/// Bytes of each.
const UPLOAD_BYTES: usize = 16 << 20;

/// A stream of the driver.
pub(crate) struct RawStream {
    gpu: Arc<Gpu>,
    pub(crate) stream: CUstream,
}

// SAFETY: streams may be used from any thread.
unsafe impl Send for RawStream {}
// SAFETY: as above.
unsafe impl Sync for RawStream {}

impl RawStream {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<RawStream, DeviceError> {
        gpu.enter()?;
        let mut stream: CUstream = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: a context is current, and the pointer is to a live pointer.
        gpu.done("making a stream", unsafe { sys::cuStreamCreate(&mut stream, flags) })?;
        Ok(RawStream { gpu: Arc::clone(gpu), stream })
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: made by `new` and destroyed once; work that it was given goes on to its end.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.stream) };
        }
    }
}

/// A program with its weights on a device.
pub(crate) struct CudaModule {
    pub(crate) shared: Arc<Shared>,
    pub(crate) program: Program,
    pub(crate) weights: Vec<DeviceBuffer>,
    /// Literals and tables of kernels, by content.
    literals: Mutex<HashMap<Arc<[u8]>, DeviceBuffer>>,
    uploads: RawStream,
}

impl CudaModule {
    pub(crate) fn load(
        shared: Arc<Shared>,
        program: &Program,
        source: &dyn WeightSource,
    ) -> Result<CudaModule, DeviceError> {
        let gpu = &shared.gpu;
        gpu.enter()?;
        check_room(gpu, program)?;
        let uploads = RawStream::new(gpu)?;
        let mut weights = Vec::with_capacity(program.weights.len());
        if !program.weights.is_empty() {
            let mut staging = Staging::new(gpu, UPLOAD_PIECES, UPLOAD_BYTES)?;
            for slot in &program.weights {
                weights.push(upload(gpu, &mut staging, slot, source, uploads.stream)?);
            }
            gpu.wait(uploads.stream)?;
        }
        let (program, literals) = (program.clone(), Mutex::default());
        Ok(CudaModule { shared, program, weights, literals, uploads })
    }

    /// Address of bytes that belong to a kernel; they are on the device when this returns.
    pub(crate) fn literal(&self, bytes: &Arc<[u8]>) -> Result<u64, DeviceError> {
        let mut literals = self.literals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = literals.get(bytes) {
            return Ok(found.address());
        }
        let gpu = &self.shared.gpu;
        let buffer = DeviceBuffer::new(gpu, "literals", bytes.len() as u64)?;
        let mut staging = Staging::new(gpu, 1, bytes.len())?;
        staging.copy(buffer.address(), bytes, self.uploads.stream)?;
        gpu.wait(self.uploads.stream)?;
        let address = buffer.address();
        literals.insert(Arc::clone(bytes), buffer);
        Ok(address)
    }
}

impl Module for CudaModule {
    fn open(self: Arc<Self>) -> Result<Box<dyn Stream>, DeviceError> {
        Ok(Box::new(CudaStream::open(self)?))
    }
}

/// All weights must fit at once: better said before the first one is read.
fn check_room(gpu: &Gpu, program: &Program) -> Result<(), DeviceError> {
    let (needed, available) = (program.weight_bytes(), gpu.free_bytes()?);
    if needed <= available {
        return Ok(());
    }
    Err(DeviceError::Limit {
        device: gpu.name(),
        limit: "free memory in bytes",
        what: "weights".into(),
        needed,
        available,
    })
}

/// A weight's parts, one behind the other in one buffer.
fn upload(
    gpu: &Arc<Gpu>,
    staging: &mut Staging,
    slot: &WeightSlot,
    source: &dyn WeightSource,
    stream: CUstream,
) -> Result<DeviceBuffer, DeviceError> {
    let parts = stored_parts(slot, source)?;
    let bytes: u64 = parts.iter().map(|part| part.data.len() as u64).sum();
    let buffer = DeviceBuffer::new(gpu, &format!("weight {}", slot.parts.join(", ")), bytes)?;
    let mut offset = 0;
    for part in &parts {
        staging.copy(buffer.address() + offset, &part.data, stream)?;
        offset += part.data.len() as u64;
    }
    Ok(buffer)
}
