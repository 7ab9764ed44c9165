//! Which kernels run a launch.

#![deny(clippy::wildcard_enum_match_arm)]

use minuend_ir::Op;

use crate::cuda::error::CudaError;
use crate::cuda::families::{
    attention, copy, elementwise, gather, matmul, norm, reduce, rope, sample, softmax,
};
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::place::{LaunchPlaces, TensorPlace};

/// What runs a launch. No steps if nothing is to be written.
pub fn works(launch: &LaunchPlaces<'_>, limits: &CudaLimits) -> Result<Works, CudaError> {
    if launch.results.iter().all(|result| result.shape.contains(&0)) {
        return Ok(Works::default());
    }
    match &launch.kernel.op {
        Op::Constant(op) => copy::constant(op, launch),
        Op::DimValue(_) => copy::dim_value(launch),
        Op::Iota(_) => copy::iota(launch),
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::Swiglu => {
            elementwise::works(launch, limits)
        }
        Op::Gather(op) => gather::works(*op, launch, limits),
        Op::Reduce(op) => reduce::works(*op, launch, limits),
        Op::ArgMax(op) => reduce::arg_max(*op, launch, limits),
        Op::Sample => sample::works(launch),
        Op::Softmax(op) => softmax::works(*op, launch, limits),
        Op::Matmul(op) => matmul::works(*op, launch, limits),
        Op::RmsNorm(op) => norm::rms_norm(*op, launch, limits),
        Op::AddRmsNorm(op) => norm::add_rms_norm(*op, launch, limits),
        Op::Rope(op) => rope::works(*op, launch, limits),
        Op::Attention(op) => attention::attention(*op, launch, limits),
        Op::DiffAttention(op) => attention::diff_attention(*op, launch, limits),
        Op::Input(_)
        | Op::Weight(_)
        | Op::Return(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Broadcast(_)
        | Op::KvAppend(_) => Err(CudaError::Unsupported {
            op: launch.kernel.op.mnemonic(),
            reason: "the plan makes it a view or a copy".into(),
        }),
    }
}

/// What copies between tensors of one shape and type.
pub fn copies(
    from: &TensorPlace<'_>,
    to: &TensorPlace<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    copy::tensor(from, to, limits)
}
