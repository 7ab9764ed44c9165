//! Memory of the device, and host memory that it reads and writes directly.

use std::sync::Arc;

use cudarc::driver::sys::{self, CUdeviceptr, CUevent, CUstream};
use minuend_runtime::DeviceError;

use crate::gpu::{DriverError, Gpu, code};

/// A piece of device memory, 256-byte aligned.
pub(crate) struct DeviceBuffer {
    gpu: Arc<Gpu>,
    pointer: CUdeviceptr,
    bytes: u64,
}

impl DeviceBuffer {
    /// Allocates. A buffer of no bytes has one all the same, so that it has an address.
    pub(crate) fn new(gpu: &Arc<Gpu>, what: &str, bytes: u64) -> Result<DeviceBuffer, DeviceError> {
        gpu.enter()?;
        let out_of_memory = || DeviceError::Limit {
            device: gpu.name(),
            limit: "free memory in bytes",
            what: what.to_string(),
            needed: bytes,
            available: gpu.free_bytes().unwrap_or(0),
        };
        let size = usize::try_from(bytes.max(1)).map_err(|_| out_of_memory())?;
        let mut pointer: CUdeviceptr = 0;
        // SAFETY: a context is current, and the pointer is to a live integer.
        match code(unsafe { sys::cuMemAlloc_v2(&mut pointer, size) }) {
            Ok(()) => {}
            Err(error) if error.is_out_of_memory() => return Err(out_of_memory()),
            Err(error) => return Err(gpu.error("allocating", error)),
        }
        gpu.count_allocated(bytes);
        Ok(DeviceBuffer { gpu: Arc::clone(gpu), pointer, bytes })
    }

    /// Allocates and sets every byte to 0, in the order of a stream.
    pub(crate) fn zeroed(
        gpu: &Arc<Gpu>,
        what: &str,
        bytes: u64,
        stream: CUstream,
    ) -> Result<DeviceBuffer, DeviceError> {
        let buffer = DeviceBuffer::new(gpu, what, bytes)?;
        // SAFETY: the buffer holds as many bytes, and the stream is live.
        let result = unsafe { sys::cuMemsetD8Async(buffer.pointer, 0, bytes as usize, stream) };
        gpu.done("clearing memory", result)?;
        Ok(buffer)
    }

    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        self.pointer
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.gpu.count_released(self.bytes);
        if self.gpu.enter().is_ok() {
            // SAFETY: allocated by `new` and freed once; the driver waits for work that uses it.
            let _ = unsafe { sys::cuMemFree_v2(self.pointer) };
        }
    }
}

/// Page-locked host memory, which copies to and from the device need to overlap with other work.
pub(crate) struct PinnedBuffer {
    gpu: Arc<Gpu>,
    pointer: *mut u8,
    bytes: usize,
}

// SAFETY: plain memory that this value owns.
unsafe impl Send for PinnedBuffer {}
// SAFETY: shared references only read.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    pub(crate) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<PinnedBuffer, DeviceError> {
        gpu.enter()?;
        let mut pointer = std::ptr::null_mut();
        let bytes = bytes.max(1);
        // SAFETY: a context is current, and the pointer is to a live pointer.
        match code(unsafe { sys::cuMemHostAlloc(&mut pointer, bytes, 0) }) {
            Ok(()) => {}
            Err(DriverError(_)) => {
                let what = "page-locked staging memory".to_string();
                return Err(DeviceError::OutOfMemory { bytes: bytes as u64, what });
            }
        }
        let pointer: *mut u8 = pointer.cast();
        // SAFETY: as many bytes were allocated; from here on all of them are initialised.
        unsafe { pointer.write_bytes(0, bytes) };
        Ok(PinnedBuffer { gpu: Arc::clone(gpu), pointer, bytes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: allocated and initialised with that size, and borrowed like the buffer.
        unsafe { std::slice::from_raw_parts(self.pointer, self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.bytes) }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: allocated by `new` and freed once; users wait for copies before they drop it.
            let _ = unsafe { sys::cuMemFreeHost(self.pointer.cast()) };
        }
    }
}

/// A mark in a stream that the host can wait for.
pub(crate) struct Event {
    gpu: Arc<Gpu>,
    event: CUevent,
}

// SAFETY: events may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Event, DeviceError> {
        gpu.enter()?;
        let mut event: CUevent = std::ptr::null_mut();
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        // SAFETY: a context is current, and the pointer is to a live pointer.
        gpu.done("making an event", unsafe { sys::cuEventCreate(&mut event, flags) })?;
        Ok(Event { gpu: Arc::clone(gpu), event })
    }

    /// Marks the work given to the stream so far.
    pub(crate) fn record(&self, stream: CUstream) -> Result<(), DeviceError> {
        // SAFETY: event and stream are live and of one context.
        self.gpu.done("recording an event", unsafe { sys::cuEventRecord(self.event, stream) })
    }

    /// Waits for the marked work; not at all if nothing was marked.
    pub(crate) fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the event is live.
        self.gpu.done("running", unsafe { sys::cuEventSynchronize(self.event) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: made by `new` and destroyed once.
            let _ = unsafe { sys::cuEventDestroy_v2(self.event) };
        }
    }
}
