//! One GPU: the driver's context for it, its properties, and what the driver's errors mean.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUdevice_attribute as Attribute, CUresult, CUstream,
};
use minuend_codegen::cuda::Arch;
use minuend_runtime::DeviceError;

use crate::libraries;

/// A GPU of this machine, as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDescription {
    /// Its number.
    pub index: usize,
    /// Its name: `NVIDIA H200`.
    pub name: String,
    /// Compute capability.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// CUDA version that the driver supports: `(13, 0)`.
    pub driver: (u32, u32),
}

/// CUDA version of the first driver that has every function used here.
const FIRST_DRIVER: (u32, u32) = (12, 0);

/// Every GPU of this machine; none without a driver.
pub fn gpus() -> Vec<GpuDescription> {
    let Ok(count) = count() else { return Vec::new() };
    (0..count).filter_map(|index| describe(index).ok()).collect()
}

fn setup(reason: String) -> DeviceError {
    DeviceError::Setup { device: "cuda".into(), reason }
}

/// Number of GPUs.
fn count() -> Result<usize, DeviceError> {
    libraries::driver().map_err(|missing| setup(missing.to_string()))?;
    // SAFETY: the driver's library is open.
    code(unsafe { sys::cuInit(0) }).map_err(|error| setup(error.to_string()))?;
    let mut count = 0;
    // SAFETY: the driver is initialised, and the pointer is to a live integer.
    code(unsafe { sys::cuDeviceGetCount(&mut count) }).map_err(|error| setup(error.to_string()))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn handle(index: usize) -> Result<CUdevice, DriverError> {
    let mut device = 0;
    let ordinal = i32::try_from(index).unwrap_or(i32::MAX);
    // SAFETY: the driver is initialised, and the pointer is to a live integer.
    code(unsafe { sys::cuDeviceGet(&mut device, ordinal) })?;
    Ok(device)
}

fn attribute(device: CUdevice, attribute: Attribute) -> Result<u32, DriverError> {
    let mut value = 0;
    // SAFETY: the device is one that the driver gave, and the pointer is to a live integer.
    code(unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) })?;
    Ok(u32::try_from(value).unwrap_or(0))
}

fn describe(index: usize) -> Result<GpuDescription, DriverError> {
    let device = handle(index)?;
    let mut text = [0 as std::ffi::c_char; 256];
    // SAFETY: the buffer has the size that is given.
    code(unsafe { sys::cuDeviceGetName(text.as_mut_ptr(), 255, device) })?;
    // SAFETY: the driver ends the name with a zero, and the last byte of the buffer is one anyhow.
    let name = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
    let mut memory_bytes = 0usize;
    // SAFETY: the pointer is to a live integer.
    code(unsafe { sys::cuDeviceTotalMem_v2(&mut memory_bytes, device) })?;
    let mut version = 0;
    // SAFETY: as above.
    code(unsafe { sys::cuDriverGetVersion(&mut version) })?;
    let version = u32::try_from(version).unwrap_or(0);
    Ok(GpuDescription {
        index,
        name,
        capability: (
            attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        memory_bytes: memory_bytes as u64,
        driver: (version / 1000, version % 1000 / 10),
    })
}

/// An error of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DriverError(pub(crate) CUresult);

impl DriverError {
    /// True if nothing runs on the context any more.
    fn is_sticky(self) -> bool {
        matches!(
            self.0,
            CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
                | CUresult::CUDA_ERROR_LAUNCH_FAILED
                | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
                | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
                | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
                | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
                | CUresult::CUDA_ERROR_INVALID_PC
                | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
                | CUresult::CUDA_ERROR_TENSOR_MEMORY_LEAK
                | CUresult::CUDA_ERROR_ASSERT
                | CUresult::CUDA_ERROR_CONTAINED
                | CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE
                | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
                | CUresult::CUDA_ERROR_DEINITIALIZED
                | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED
        )
    }

    pub(crate) fn is_out_of_memory(self) -> bool {
        self.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }
}

impl std::fmt::Display for DriverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text: *const std::ffi::c_char = std::ptr::null();
        // SAFETY: the pointer is to a live pointer; the driver stores a static text or null.
        let found = unsafe { sys::cuGetErrorString(self.0, &mut text) };
        if found == CUresult::CUDA_SUCCESS && !text.is_null() {
            // SAFETY: not null, and the driver's texts end with a zero.
            let text = unsafe { CStr::from_ptr(text) };
            return write!(f, "{} ({:?})", text.to_string_lossy(), self.0);
        }
        write!(f, "{:?}", self.0)
    }
}

/// The driver's verdict on a call.
pub(crate) fn code(result: CUresult) -> Result<(), DriverError> {
    if result == CUresult::CUDA_SUCCESS { Ok(()) } else { Err(DriverError(result)) }
}

/// A GPU with its context.
///
/// The context is the device's primary one, which other libraries of the process share. It is made
/// current on a thread by [`Gpu::enter`], which every call of the driver must follow.
pub(crate) struct Gpu {
    pub(crate) description: GpuDescription,
    pub(crate) arch: &'static Arch,
    device: CUdevice,
    context: CUcontext,
    allocated: AtomicU64,
    peak: AtomicU64,
}

// SAFETY: a context may be used from any thread that makes it current, and from several at once.
unsafe impl Send for Gpu {}
// SAFETY: as above; the counters are atomic.
unsafe impl Sync for Gpu {}

impl Gpu {
    pub(crate) fn open(index: usize) -> Result<Gpu, DeviceError> {
        let count = count()?;
        if count == 0 {
            return Err(setup("the driver shows no GPU".into()));
        }
        if index >= count {
            return Err(setup(format!("there is no GPU {index}, expected 0 to {}", count - 1)));
        }
        let failed = |error: DriverError| setup(format!("GPU {index}: {error}"));
        let description = describe(index).map_err(failed)?;
        let (major, minor) = description.driver;
        if (major, minor) < FIRST_DRIVER {
            return Err(setup(format!(
                "the driver is for CUDA {major}.{minor}, expected {}.{} or later; install a newer one",
                FIRST_DRIVER.0, FIRST_DRIVER.1
            )));
        }
        let (major, minor) = description.capability;
        let arch = Arch::of_capability(major, minor).ok_or_else(|| {
            let name = &description.name;
            setup(format!("{name} has compute capability {major}.{minor}, expected 8.0 or later"))
        })?;
        let device = handle(index).map_err(failed)?;
        let mut context: CUcontext = std::ptr::null_mut();
        // SAFETY: the device is one that the driver gave, and the pointer is to a live pointer.
        code(unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, device) }).map_err(failed)?;
        let counters = (AtomicU64::new(0), AtomicU64::new(0));
        let (allocated, peak) = counters;
        let gpu = Gpu { description, arch, device, context, allocated, peak };
        gpu.enter()?;
        Ok(gpu)
    }

    /// The name shown to users.
    pub(crate) fn name(&self) -> String {
        format!("cuda:{} ({})", self.description.index, self.description.name)
    }

    /// Makes the context current on this thread.
    pub(crate) fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained for as long as this value lives.
        self.done("entering the context", unsafe { sys::cuCtxSetCurrent(self.context) })
    }

    /// What a call that failed means.
    pub(crate) fn error(&self, what: &str, error: DriverError) -> DeviceError {
        let device = self.name();
        if error.is_sticky() {
            return DeviceError::Lost { device, reason: format!("{what}: {error}") };
        }
        DeviceError::Setup { device, reason: format!("{what}: {error}") }
    }

    /// The outcome of a call of the driver.
    pub(crate) fn done(&self, what: &str, result: CUresult) -> Result<(), DeviceError> {
        code(result).map_err(|error| self.error(what, error))
    }

    /// Waits for all work of a stream.
    pub(crate) fn wait(&self, stream: CUstream) -> Result<(), DeviceError> {
        // SAFETY: the caller's stream is live.
        self.done("running", unsafe { sys::cuStreamSynchronize(stream) })
    }

    /// Bytes of device memory that are free.
    pub(crate) fn free_bytes(&self) -> Result<u64, DeviceError> {
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: the pointers are to live integers.
        self.done("asking for memory", unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) })?;
        Ok(free as u64)
    }

    /// Counts an allocation.
    pub(crate) fn count_allocated(&self, bytes: u64) {
        let now = self.allocated.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts a release.
    pub(crate) fn count_released(&self, bytes: u64) {
        self.allocated.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Most bytes of device memory that were allocated at once.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`; everything that uses the context holds the `Gpu`.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}
