//! What targets with f32 activations have in common: weights stay in the type they are stored in.

use minuend_ir::{DType, Legality, Op, OpInstance};

use crate::kernel::{Kernel, Tail};

/// Largest rank that kernels index.
const MAX_RANK: usize = 6;

/// Why a target that computes in f32 does not run an op; `None` if it does.
pub(crate) fn refusal(op: &OpInstance<'_>) -> Option<String> {
    let types = op.operands.iter().copied().chain(op.results);
    if let Some(ty) = types.clone().find(|ty| ty.rank() > MAX_RANK) {
        return Some(format!("rank {} exceeds {MAX_RANK}", ty.rank()));
    }
    if op.results.iter().any(|ty| is_half(ty.dtype)) && !stores_half(op.op) {
        let dtype = op.results.iter().map(|ty| ty.dtype).find(|dtype| is_half(*dtype))?;
        return Some(format!("the result is {dtype}, the target computes in f32"));
    }
    let halves = op.operands.iter().enumerate().filter(|(_, ty)| is_half(ty.dtype));
    for (operand, ty) in halves {
        if !reads_half(op.op, operand) {
            return Some(format!("operand {operand} is {}, the target computes in f32", ty.dtype));
        }
    }
    None
}

/// Ops that move stored weights without computing on them.
fn stores_half(op: &Op) -> bool {
    op.is_view() || matches!(op, Op::Weight(_) | Op::Concat(_) | Op::Gather(_))
}

fn reads_half(op: &Op, operand: usize) -> bool {
    match op {
        Op::Matmul(_) | Op::RmsNorm(_) => operand == 1,
        Op::AddRmsNorm(_) => operand == 2,
        Op::Gather(_) => operand == 0,
        Op::Cast(_) | Op::Concat(_) | Op::Return(_) => true,
        op => op.is_view(),
    }
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// Whether a target that computes in f32 runs an op.
pub(crate) fn legality(op: &OpInstance<'_>) -> Legality {
    if let Some(reason) = refusal(op) {
        return Legality::Unsupported { reason };
    }
    let is_rhs = matches!(op.op, Op::Matmul(_));
    for (operand, (ty, source)) in op.operands.iter().zip(&op.sources).enumerate() {
        // A product widens a stored weight in tiles; nothing else may be 16-bit there.
        let is_weight = matches!(source, Op::Weight(_));
        if is_rhs && is_half(ty.dtype) && !is_weight {
            let reason = format!("operand {operand} is {} and not a weight", ty.dtype);
            return Legality::Unsupported { reason };
        }
        if is_rhs && is_half(ty.dtype) && ty.rank() != 2 {
            let reason = format!("weight operand {operand} has rank {}, expected 2", ty.rank());
            return Legality::Unsupported { reason };
        }
    }
    Legality::Native
}

/// The kernel of an op, without a tail.
pub(crate) fn kernel(op: &OpInstance<'_>) -> Kernel {
    Kernel {
        op: op.op.clone(),
        operands: op.operands.iter().map(|ty| ty.dtype).collect(),
        results: op.results.iter().map(|ty| ty.dtype).collect(),
        tail: Tail::None,
    }
}

/// Which operands the kernels read whatever their strides.
pub(crate) fn reads_strided(op: &Op, operand: usize, dense_last_axis: bool) -> bool {
    match op {
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Reduce(_)
        | Op::ArgMax(_)
        | Op::Softmax(_) => true,
        // All rows of the lhs are one matrix; a weight is read as stored.
        Op::Matmul(_) => operand == 1,
        // Rows are read as slices.
        Op::Attention(_) | Op::DiffAttention(_) | Op::Swiglu => dense_last_axis,
        Op::RmsNorm(_) | Op::Rope(_) => operand == 0 && dense_last_axis,
        Op::AddRmsNorm(_) => operand < 2 && dense_last_axis,
        Op::Gather(_) | Op::Sample => false,
        Op::Input(_)
        | Op::Weight(_)
        | Op::Constant(_)
        | Op::DimValue(_)
        | Op::Iota(_)
        | Op::Return(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Broadcast(_)
        | Op::KvAppend(_) => true,
    }
}
