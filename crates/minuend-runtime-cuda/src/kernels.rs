//! Kernels on the device: compiled once for each specification, by whoever needs them first.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule};
use minuend_codegen::cuda::{KernelSource, KernelSpec, specialise};
use minuend_runtime::DeviceError;

use crate::code_cache::{CodeCache, Compiler};
use crate::gpu::{Gpu, code};
use crate::nvrtc::{Nvrtc, NvrtcError, Output};

/// Dynamic shared memory that a kernel may take without being told.
const SHARED_BYTES: u32 = 48 << 10;

/// Threads that compile at the same time.
const COMPILERS: usize = 8;

/// A kernel that the device can launch.
pub(crate) struct Function {
    gpu: Arc<Gpu>,
    module: CUmodule,
    function: CUfunction,
    /// Dynamic shared memory that it may take.
    shared_bytes: AtomicU32,
}

// SAFETY: functions may be launched from any thread.
unsafe impl Send for Function {}
// SAFETY: as above; the limit is atomic.
unsafe impl Sync for Function {}

impl Function {
    fn load(gpu: &Arc<Gpu>, entry: &str, image: &[u8]) -> Result<Function, DeviceError> {
        gpu.enter()?;
        let mut module: CUmodule = std::ptr::null_mut();
        // SAFETY: the image is machine code, or assembly that ends with a zero, and the pointer is to a
        // live pointer.
        gpu.done("loading a kernel", unsafe {
            sys::cuModuleLoadData(&mut module, image.as_ptr().cast())
        })?;
        let mut loaded = Function {
            gpu: Arc::clone(gpu),
            module,
            function: std::ptr::null_mut(),
            shared_bytes: AtomicU32::new(SHARED_BYTES),
        };
        let name = CString::new(entry).unwrap_or_default();
        // SAFETY: the module is loaded, the name ends with a zero, and the pointer is to a live pointer.
        gpu.done("finding a kernel", unsafe {
            sys::cuModuleGetFunction(&mut loaded.function, module, name.as_ptr())
        })?;
        Ok(loaded)
    }

    /// What the driver launches, allowed to take that much dynamic shared memory.
    pub(crate) fn with_shared_bytes(&self, bytes: u32) -> Result<CUfunction, DeviceError> {
        if bytes > self.shared_bytes.load(Ordering::Relaxed) {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let value = i32::try_from(bytes).unwrap_or(i32::MAX);
            // SAFETY: the function is loaded and its context current.
            let result = unsafe { sys::cuFuncSetAttribute(self.function, attribute, value) };
            self.gpu.done("reserving shared memory", result)?;
            self.shared_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
        Ok(self.function)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: loaded once; whoever launches the function holds this value.
            let _ = unsafe { sys::cuModuleUnload(self.module) };
        }
    }
}

/// Every kernel of a device.
pub(crate) struct Kernels {
    gpu: Arc<Gpu>,
    cache: CodeCache,
    nvrtc: OnceLock<Result<Nvrtc, NvrtcError>>,
    loaded: Mutex<HashMap<KernelSpec, Arc<Function>>>,
    /// Warnings of the assembler about kernels that run slower than they should.
    warnings: Mutex<Vec<String>>,
}

impl Kernels {
    pub(crate) fn new(gpu: Arc<Gpu>, cache: CodeCache) -> Kernels {
        let (nvrtc, loaded, warnings) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Kernels { gpu, cache, nvrtc, loaded, warnings }
    }

    /// The compiler.
    pub(crate) fn nvrtc(&self) -> Result<&Nvrtc, DeviceError> {
        let nvrtc = self.nvrtc.get_or_init(Nvrtc::load);
        nvrtc.as_ref().map_err(|error| DeviceError::Setup {
            device: self.gpu.name(),
            reason: error.to_string(),
        })
    }

    /// What the assembler warned of.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A kernel that was loaded before.
    pub(crate) fn loaded(&self, spec: &KernelSpec) -> Option<Arc<Function>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(spec).cloned()
    }

    /// A kernel, compiled and loaded if it is not yet.
    pub(crate) fn get(&self, spec: &KernelSpec) -> Result<Arc<Function>, DeviceError> {
        if let Some(found) = self.loaded(spec) {
            return Ok(found);
        }
        let function = Arc::new(self.load(spec)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster; its kernel is the same.
        Ok(Arc::clone(loaded.entry(spec.clone()).or_insert(function)))
    }

    /// Compiles and loads several kernels at the same time.
    pub(crate) fn prepare(&self, specs: &[KernelSpec]) -> Result<(), DeviceError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(COMPILERS).min(specs.len());
        if threads <= 1 {
            return specs.iter().try_for_each(|spec| self.get(spec).map(drop));
        }
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<DeviceError>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(spec) = specs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.get(spec) {
                            let mut failure =
                                failure.lock().unwrap_or_else(PoisonError::into_inner);
                            failure.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn load(&self, spec: &KernelSpec) -> Result<Function, DeviceError> {
        let failed = |reason: String| DeviceError::Compile {
            device: self.gpu.name(),
            kernel: spec.label(),
            reason,
        };
        let source = specialise(spec, self.gpu.arch).map_err(|error| failed(error.to_string()))?;
        let machine_code = self.load_as(&source, Output::Cubin);
        match machine_code {
            // A driver older than the compiler may take assembly where it refuses machine code.
            Err(Refusal::ByDriver(reason)) => {
                self.load_as(&source, Output::Ptx).map_err(|second| match second {
                    Refusal::ByDriver(second) => {
                        let (major, minor) = self.gpu.description.driver;
                        failed(format!(
                            "the driver, for CUDA {major}.{minor}, refuses the machine code \
                             ({reason}) and the assembly ({second}); install a newer driver"
                        ))
                    }
                    Refusal::Otherwise(error) => error,
                })
            }
            Err(Refusal::Otherwise(error)) => Err(error),
            Ok(function) => Ok(function),
        }
    }

    fn load_as(&self, source: &KernelSource, output: Output) -> Result<Function, Refusal> {
        let nvrtc = self.nvrtc().map_err(Refusal::Otherwise)?;
        let compiler = Compiler { version: nvrtc.version(), is_ptx: output == Output::Ptx };
        if let Some(image) = self.cache.get(source, compiler) {
            if let Ok(function) = Function::load(&self.gpu, source.entry, &image) {
                return Ok(function);
            }
            self.cache.remove(source, compiler);
        }
        let (image, log) = nvrtc.compile_to(source, output, false).map_err(|error| {
            Refusal::Otherwise(DeviceError::Compile {
                device: self.gpu.name(),
                kernel: source.label.clone(),
                reason: error.to_string(),
            })
        })?;
        self.note(source, &log);
        match Function::load(&self.gpu, source.entry, &image) {
            Ok(function) => {
                self.cache.put(source, compiler, &image);
                Ok(function)
            }
            Err(error @ DeviceError::Lost { .. }) => Err(Refusal::Otherwise(error)),
            Err(error) => Err(Refusal::ByDriver(error.to_string())),
        }
    }

    /// Keeps what the assembler warned of: it compiles on, to a kernel that is slower than it should be.
    fn note(&self, source: &KernelSource, log: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for line in log.lines().filter(|line| is_performance_warning(line)) {
            warnings.push(format!("{}: {}", source.label, line.trim()));
        }
    }
}

/// True for a line by which the assembler says that it did not do what the text asks for: messages
/// C75xx, and spills.
pub fn is_performance_warning(line: &str) -> bool {
    let numbered = line.split("C75").skip(1).any(|rest| {
        let mut digits = rest.chars();
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        is_digit(digits.next()) && is_digit(digits.next())
    });
    let spills =
        line.contains("spill") && !line.contains(" 0 bytes spill stores, 0 bytes spill loads");
    numbered || spills
}

enum Refusal {
    /// The driver does not load it.
    ByDriver(String),
    Otherwise(DeviceError),
}

impl Gpu {
    /// True if the driver's code is a success, for calls whose failure has another meaning.
    pub(crate) fn is_done(result: sys::CUresult) -> bool {
        code(result).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn performance_warnings_are_recognised() {
        assert!(is_performance_warning("ptxas info : (C7510) Potential Performance Loss: wgmma"));
        assert!(is_performance_warning(
            "    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads"
        ));
        assert!(!is_performance_warning(
            "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
        ));
        assert!(!is_performance_warning("ptxas info : Used 168 registers, used C75 barriers"));
    }
}
