//! Launches for tests of the selection.

use minuend_ir::Op;

use crate::cuda::error::CudaError;
use crate::cuda::launch::{Arg, KernelLaunch, Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::specialise;
use crate::cuda::{ARCHES, Arch, copies, works};
use crate::kernel::{Kernel, Tail};
use crate::place::{LaunchPlaces, TensorPlace};
use crate::tensor::Tensor;

/// The limits of a typical card.
pub(crate) fn limits() -> CudaLimits {
    CudaLimits::typical(Arch::of_target("cuda-sm90a").unwrap_or(&ARCHES[0]))
}

/// What runs an op with a tail; kernels are valid specifications and get the arguments that they take.
pub(crate) fn select_with(
    op: Op,
    tail: Tail,
    operands: &[Tensor],
    results: &[Tensor],
    scalars: &[i64],
) -> Result<Works, CudaError> {
    let kernel = Kernel {
        op,
        operands: operands.iter().map(|tensor| tensor.dtype).collect(),
        results: results.iter().map(|tensor| tensor.dtype).collect(),
        tail,
    };
    let operands: Vec<TensorPlace<'_>> = operands.iter().map(Tensor::place).collect();
    let results: Vec<TensorPlace<'_>> = results.iter().map(Tensor::place).collect();
    let launch = LaunchPlaces { kernel: &kernel, operands: &operands, results: &results, scalars };
    checked(works(&launch, &limits())?)
}

/// As [`select_with`], without a tail and sizes.
pub(crate) fn select(op: Op, operands: &[Tensor], results: &[Tensor]) -> Result<Works, CudaError> {
    select_with(op, Tail::None, operands, results, &[])
}

/// What copies a tensor to another.
pub(crate) fn copy(from: &Tensor, to: &Tensor) -> Result<Works, CudaError> {
    checked(copies(&from.place(), &to.place(), &limits())?)
}

fn checked(works: Works) -> Result<Works, CudaError> {
    for step in &works.steps {
        if let Work::Kernel(kernel) = step {
            kernel.check()?;
            specialise(&kernel.spec, limits().arch)?;
            assert!(kernel.grid.iter().all(|blocks| *blocks > 0), "{:?}", kernel.grid);
        }
    }
    Ok(works)
}

/// The one kernel of a launch.
pub(crate) fn only(works: Works) -> KernelLaunch {
    match works.steps.into_vec().as_slice() {
        [Work::Kernel(kernel)] => (**kernel).clone(),
        steps => panic!("{steps:?}"),
    }
}

/// An argument by its parameter's name.
pub(crate) fn argument<'l>(launch: &'l KernelLaunch, name: &str) -> &'l Arg {
    let found = launch.args.iter().find(|(known, _)| *known == name);
    found.map(|(_, arg)| arg).unwrap_or_else(|| panic!("no argument {name}"))
}

/// A whole parameter of the specification.
pub(crate) fn number(launch: &KernelLaunch, name: &str) -> i32 {
    match launch.spec.define(name) {
        Some(crate::cuda::Define::Int(value)) => value,
        other => panic!("{name} is {other:?}"),
    }
}
