//! Reductions along one axis.

use crate::dim::Dim;
use crate::dtype::DType;
use crate::error::{Infer, bad_attribute};
use crate::ops::operands::Operands;
use crate::tensor_type::TensorType;

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Sum; 0 for an empty axis.
    Sum,
    /// Mean; NaN for an empty axis.
    Mean,
    /// Largest; `-inf` for an empty axis, NaN if any is NaN.
    Max,
}

impl ReduceKind {
    /// Every kind, in declaration order.
    pub const ALL: [ReduceKind; 3] = [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max];

    /// The mnemonic.
    pub fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "reduce_sum",
            ReduceKind::Mean => "reduce_mean",
            ReduceKind::Max => "reduce_max",
        }
    }
}

/// Combines the elements of one axis, which keeps size 1. Sums are kept in f32 or better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// The axis.
    pub axis: usize,
}

impl Reduce {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let mut ty = one_axis(operands, self.axis)?;
        ty.shape[self.axis] = Dim::one();
        Ok(ty)
    }
}

/// Index of the largest finite element of one axis, as i64 and without that axis: of equals the lowest
/// index, -1 if no element is finite. Elements that are NaN or infinite are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgMax {
    /// The axis.
    pub axis: usize,
}

impl ArgMax {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let mut ty = one_axis(operands, self.axis)?;
        ty.shape.remove(self.axis);
        ty.dtype = DType::I64;
        Ok(ty)
    }
}

/// `e^(x - max) / sum e^(x - max)` along one axis. A row of nothing but `-inf` gives NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// The axis.
    pub axis: usize,
}

impl Softmax {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        one_axis(operands, self.axis)
    }
}

fn one_axis(operands: Operands<'_>, axis: usize) -> Infer<TensorType> {
    let [x] = operands.exactly()?;
    operands.float(0)?;
    if axis >= x.rank() {
        return Err(bad_attribute("axis", axis, format!("below {}", x.rank())));
    }
    Ok(x.clone())
}
