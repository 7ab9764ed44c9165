//! Matrix products.

use crate::error::{Infer, dim_mismatch};
use crate::ops::operands::{Operands, broadcast_shapes};
use crate::tensor_type::TensorType;

/// `lhs [..., m, k] x rhs [..., k, n] -> [..., m, n]`, outer axes broadcast.
///
/// Products are summed in f32 or better. The result has the element type of `lhs`; `rhs` may be
/// stored in another float type, which is widened exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// The rhs is given as `[..., n, k]`, as checkpoints store projections.
    pub transpose_rhs: bool,
}

impl Matmul {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [lhs, rhs] = operands.exactly()?;
        for operand in 0..2 {
            operands.float(operand)?;
            operands.rank_at_least(operand, 2)?;
        }
        let (left, right) = (lhs.rank(), rhs.rank());
        let (k, n) =
            if self.transpose_rhs { (right - 1, right - 2) } else { (right - 2, right - 1) };
        operands.dim(1, k, &lhs.shape[left - 1])?;
        let outer = broadcast_shapes(&lhs.shape[..left - 2], &rhs.shape[..right - 2]);
        let mut shape = outer.map_err(|axis| {
            let other = axis + (left - 2) - (right - 2);
            dim_mismatch(1, axis, &rhs.shape[axis], &lhs.shape[other], operands.symbols)
        })?;
        shape.push(lhs.shape[left - 2].clone());
        shape.push(rhs.shape[n].clone());
        Ok(TensorType { dtype: lhs.dtype, shape })
    }
}
