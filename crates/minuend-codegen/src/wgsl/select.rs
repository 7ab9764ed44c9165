//! Which shaders run a launch.

#![deny(clippy::wildcard_enum_match_arm)]

use minuend_ir::Op;

use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::{
    attention, copy, elementwise, gather, matmul, norm, reduce, rope, sample, softmax,
};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::TensorPlace;

/// The dispatches of a launch, to be run one after the other. None if nothing is to be written.
pub fn dispatches(
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    if launch.results.iter().all(|result| result.shape.contains(&0)) {
        return Ok(Vec::new());
    }
    match &launch.kernel.op {
        Op::Constant(op) => copy::constant(op, launch, limits),
        Op::DimValue(_) => copy::dim_value(launch, limits),
        Op::Iota(_) => copy::iota(launch, limits),
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::Swiglu => {
            elementwise::dispatches(launch, limits)
        }
        Op::Gather(op) => gather::dispatches(*op, launch, limits),
        Op::Reduce(op) => reduce::dispatches(*op, launch, limits),
        Op::ArgMax(op) => reduce::arg_max(*op, launch, limits),
        Op::Sample => sample::dispatches(launch, limits),
        Op::Softmax(op) => softmax::dispatches(*op, launch, limits),
        Op::Matmul(op) => matmul::dispatches(*op, launch, limits),
        Op::RmsNorm(op) => norm::rms_norm(*op, launch, limits),
        Op::AddRmsNorm(op) => norm::add_rms_norm(*op, launch, limits),
        Op::Rope(op) => rope::dispatches(*op, launch, limits),
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
        | Op::KvAppend(_) => Err(ShaderError::Unsupported {
            op: launch.kernel.op.mnemonic(),
            reason: "the plan makes it a view or a copy".into(),
        }),
    }
}

/// The dispatches of a copy between tensors of one shape and type.
pub fn copies(
    from: &TensorPlace<'_>,
    to: &TensorPlace<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    copy::tensor(from, to, limits)
}
