//! The run-time compiler, NVRTC. It needs no GPU.

use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::sys;
use minuend_codegen::cuda::KernelSource;

use crate::libraries::{self, MissingLibrary};

/// Why a kernel did not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvrtcError {
    /// The compiler is not installed.
    #[error(transparent)]
    Missing(#[from] MissingLibrary),
    /// The compiler refused the text or an option.
    #[error("{file}: {log}")]
    Refused {
        /// The kernel file.
        file: String,
        /// Template and values in words.
        label: String,
        /// The first complaints: file, line and message.
        log: String,
    },
    /// The compiler itself failed.
    #[error("NVRTC: {reason}")]
    Compiler {
        /// Its words.
        reason: String,
    },
}

/// A compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledKernel {
    /// What the driver loads: machine code for one architecture.
    pub cubin: Vec<u8>,
    /// What the compiler said. Warnings of the assembler are here although the kernel compiled.
    pub log: String,
}

/// What the compiler produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Machine code for the architecture of the options.
    Cubin,
    /// Assembly that a driver compiles for whatever it runs on.
    Ptx,
}

/// The compiler, opened.
#[derive(Clone, Copy, Debug)]
pub struct Nvrtc {
    version: (i32, i32),
}

/// Messages of a refused kernel that are shown.
const SHOWN_MESSAGES: usize = 3;

impl Nvrtc {
    /// Opens the compiler.
    ///
    /// # Errors
    /// [`NvrtcError::Missing`] if it is not installed.
    pub fn load() -> Result<Nvrtc, NvrtcError> {
        libraries::compiler()?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the library is open, and the pointers are to live integers.
        check(unsafe { sys::nvrtcVersion(&mut major, &mut minor) })?;
        Ok(Nvrtc { version: (major, minor) })
    }

    /// Its version: of CUDA 13.0 it is `(13, 0)`.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compiles a kernel to machine code. With `report` the log tells registers, spills and memory.
    ///
    /// # Errors
    /// [`NvrtcError::Refused`] with the compiler's messages.
    pub fn compile(
        &self,
        source: &KernelSource,
        report: bool,
    ) -> Result<CompiledKernel, NvrtcError> {
        let (cubin, log) = self.compile_to(source, Output::Cubin, report)?;
        Ok(CompiledKernel { cubin, log })
    }

    /// Compiles a kernel, and gives the code and the log.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`].
    pub fn compile_to(
        &self,
        source: &KernelSource,
        output: Output,
        report: bool,
    ) -> Result<(Vec<u8>, String), NvrtcError> {
        let program = Program::new(source)?;
        let mut options = source.options.clone();
        if output == Output::Ptx {
            // Assembly is made for a virtual architecture.
            for option in &mut options {
                *option = option.replace("--gpu-architecture=sm_", "--gpu-architecture=compute_");
            }
        }
        if report && output == Output::Cubin {
            options.push("--ptxas-options=-v".to_string());
        }
        let options: Vec<CString> =
            options.iter().map(|option| text_of(option)).collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let count = i32::try_from(pointers.len()).unwrap_or(i32::MAX);
        // SAFETY: the program is live, and the pointers are to as many zero-ended texts, which outlive
        // the call.
        let compiled = unsafe { sys::nvrtcCompileProgram(program.0, count, pointers.as_ptr()) };
        let log = program.log()?;
        if compiled != sys::nvrtcResult::NVRTC_SUCCESS {
            if log.trim().is_empty() {
                check(compiled)?;
            }
            let log = complaints(&log);
            let (file, label) = (source.file.clone(), source.label.clone());
            return Err(NvrtcError::Refused { file, label, log });
        }
        Ok((program.code(output)?, log))
    }
}

/// The first error messages of a log, on one line.
fn complaints(log: &str) -> String {
    let is_error = |line: &&str| line.contains("error") || line.contains("fatal");
    let mut messages: Vec<&str> = log.lines().filter(is_error).take(SHOWN_MESSAGES).collect();
    if messages.is_empty() {
        messages =
            log.lines().filter(|line| !line.trim().is_empty()).take(SHOWN_MESSAGES).collect();
    }
    messages.iter().map(|line| line.trim()).collect::<Vec<_>>().join("; ")
}

fn text_of(text: &str) -> Result<CString, NvrtcError> {
    let fault = |_| NvrtcError::Compiler { reason: "a text holds a zero byte".into() };
    CString::new(text).map_err(fault)
}

fn check(result: sys::nvrtcResult) -> Result<(), NvrtcError> {
    if result == sys::nvrtcResult::NVRTC_SUCCESS {
        return Ok(());
    }
    // SAFETY: the library is open; it gives a static zero-ended text for every value.
    let text = unsafe { CStr::from_ptr(sys::nvrtcGetErrorString(result)) };
    Err(NvrtcError::Compiler { reason: text.to_string_lossy().into_owned() })
}

/// A program of the compiler, destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &KernelSource) -> Result<Program, NvrtcError> {
        let text = text_of(&source.text)?;
        let file = text_of(&source.file)?;
        let headers = source.headers.iter();
        let headers: Vec<(CString, CString)> = headers
            .map(|(name, text)| Ok((text_of(name)?, text_of(text)?)))
            .collect::<Result<_, NvrtcError>>()?;
        let names: Vec<*const c_char> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let texts: Vec<*const c_char> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
        let count = i32::try_from(headers.len()).unwrap_or(i32::MAX);
        let mut program: sys::nvrtcProgram = std::ptr::null_mut();
        // SAFETY: the library is open; all pointers are to zero-ended texts, `count` of each list, that
        // outlive the call, which copies them.
        check(unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                text.as_ptr(),
                file.as_ptr(),
                count,
                texts.as_ptr(),
                names.as_ptr(),
            )
        })?;
        Ok(Program(program))
    }

    fn log(&self) -> Result<String, NvrtcError> {
        let mut size = 0usize;
        // SAFETY: the program is live, and the pointer is to a live integer.
        check(unsafe { sys::nvrtcGetProgramLogSize(self.0, &mut size) })?;
        let mut log = vec![0u8; size];
        // SAFETY: the buffer has the size that was asked for.
        check(unsafe { sys::nvrtcGetProgramLog(self.0, log.as_mut_ptr().cast()) })?;
        Ok(String::from_utf8_lossy(&log).trim_end_matches('\0').to_string())
    }

    fn code(&self, output: Output) -> Result<Vec<u8>, NvrtcError> {
        let mut size = 0usize;
        // SAFETY: the program is live and compiled, and the pointer is to a live integer.
        check(unsafe {
            match output {
                Output::Cubin => sys::nvrtcGetCUBINSize(self.0, &mut size),
                Output::Ptx => sys::nvrtcGetPTXSize(self.0, &mut size),
            }
        })?;
        let mut code = vec![0u8; size];
        // SAFETY: the buffer has the size that was asked for.
        check(unsafe {
            match output {
                Output::Cubin => sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()),
                Output::Ptx => sys::nvrtcGetPTX(self.0, code.as_mut_ptr().cast()),
            }
        })?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is live and not used behind this. A failure leaks it and no more.
        let _ = unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_the_errors_of_a_log() {
        let log = "k.cu(3): warning #177-D: unused\nk.cu(7): error: identifier \"x\" is undefined\n\n1 error detected";
        let shown = complaints(log);
        assert!(shown.starts_with("k.cu(7): error: identifier"), "{shown}");
        assert!(!shown.contains('\n') && !shown.contains("unused"), "{shown}");
        assert_eq!(complaints("odd words"), "odd words");
    }
}
