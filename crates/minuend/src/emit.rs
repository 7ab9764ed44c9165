//! The kernels of a program as text.

use std::collections::HashSet;

use minuend_codegen::cuda::KernelSource;
use minuend_codegen::{KernelText, LaunchPlaces, Target};
use minuend_plan::{BoundProgram, BoundStep, BoundTensor, Program};
use minuend_runtime_cuda::nvrtc::{Nvrtc, NvrtcError};

use crate::error::CompileError;

/// The distinct kernels that run a program at one set of sizes, in the order of their first use. None
/// for a target whose kernels are functions of this program. Needs no device.
///
/// # Errors
/// [`CompileError::Kernel`] for a step that the target has no kernel for at these sizes.
pub fn kernel_texts(
    program: &Program,
    bound: &BoundProgram,
    target: &dyn Target,
) -> Result<Vec<KernelText>, CompileError> {
    let (mut texts, mut seen) = (Vec::new(), HashSet::new());
    for step in &bound.steps {
        let found = match &**step {
            BoundStep::Copy(copy) => target.emit_copy(&copy.from.place(), &copy.to.place())?,
            BoundStep::Launch(launch) => {
                let Some(kernel) = program.kernels.get(launch.kernel) else { continue };
                let operands: Vec<_> = launch.operands.iter().map(BoundTensor::place).collect();
                let results: Vec<_> = launch.results.iter().map(BoundTensor::place).collect();
                let (operands, results) = (&operands[..], &results[..]);
                target.emit(&LaunchPlaces {
                    kernel,
                    operands,
                    results,
                    scalars: &launch.scalars,
                })?
            }
        };
        texts.extend(found.into_iter().filter(|text| seen.insert(text.label.clone())));
    }
    Ok(texts)
}

/// Machine code of a CUDA kernel.
///
/// # Errors
/// [`CompileError::NoCompiler`] without NVRTC, [`CompileError::Machine`] with its words.
pub fn machine_code(kernel: &KernelText) -> Result<Vec<u8>, CompileError> {
    let nvrtc = Nvrtc::load().map_err(|missing| CompileError::NoCompiler(missing.to_string()))?;
    let source = KernelSource::of_text(kernel);
    let compiled = nvrtc.compile(&source, false);
    let failed = |error: NvrtcError| CompileError::Machine(format!("{}: {error}", kernel.label));
    compiled.map(|code| code.cubin).map_err(failed)
}
