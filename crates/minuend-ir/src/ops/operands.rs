//! Checks on operands that every family's type rule makes.

use smallvec::SmallVec;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::error::{Infer, TypeErrorKind, dim_mismatch};
use crate::symbol::SymbolTable;
use crate::tensor_type::{Shape, TensorType};

/// The operands of an op while its result type is inferred.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) types: &'a [&'a TensorType],
    pub(crate) symbols: &'a SymbolTable,
}

impl<'a> Operands<'a> {
    /// Exactly `N` operands.
    pub(crate) fn exactly<const N: usize>(self) -> Infer<[&'a TensorType; N]> {
        self.types
            .try_into()
            .map_err(|_| TypeErrorKind::Arity { found: self.types.len(), expected: N.to_string() })
    }

    pub(crate) fn rank(self, operand: usize, expected: usize) -> Infer<()> {
        let found = self.types[operand].rank();
        if found == expected {
            return Ok(());
        }
        Err(TypeErrorKind::Rank { operand, found, expected: expected.to_string() })
    }

    pub(crate) fn rank_at_least(self, operand: usize, least: usize) -> Infer<()> {
        let found = self.types[operand].rank();
        if found >= least {
            return Ok(());
        }
        Err(TypeErrorKind::Rank { operand, found, expected: format!("at least {least}") })
    }

    pub(crate) fn dim(self, operand: usize, axis: usize, expected: &Dim) -> Infer<()> {
        let found = &self.types[operand].shape[axis];
        if found == expected {
            return Ok(());
        }
        Err(dim_mismatch(operand, axis, found, expected, self.symbols))
    }

    pub(crate) fn float(self, operand: usize) -> Infer<()> {
        self.dtype_where(operand, DType::is_float, "a float type")
    }

    pub(crate) fn int(self, operand: usize) -> Infer<()> {
        self.dtype_where(operand, DType::is_int, "an integer type")
    }

    pub(crate) fn dtype_where(
        self,
        operand: usize,
        accepts: impl Fn(DType) -> bool,
        expected: &str,
    ) -> Infer<()> {
        let found = self.types[operand].dtype;
        if accepts(found) {
            return Ok(());
        }
        Err(TypeErrorKind::DType { operand, found, expected: expected.to_string() })
    }

    pub(crate) fn dtype(self, operand: usize, expected: DType) -> Infer<()> {
        self.dtype_where(operand, |found| found == expected, expected.name())
    }

    /// The shape to which all operands broadcast: aligned at the last axis, sizes equal or 1.
    pub(crate) fn broadcast(self) -> Infer<Shape> {
        let first: &[Dim] = self.types.first().map_or(&[], |ty| &ty.shape);
        let mut shape: Shape = first.iter().cloned().collect();
        for (operand, ty) in self.types.iter().enumerate().skip(1) {
            shape = broadcast_shapes(&shape, &ty.shape).map_err(|axis| {
                let from_end = ty.rank() - axis;
                dim_mismatch(
                    operand,
                    axis,
                    &ty.shape[axis],
                    &shape[shape.len() - from_end],
                    self.symbols,
                )
            })?;
        }
        Ok(shape)
    }
}

/// Broadcast of two shapes, or the axis of `b` at which they disagree.
pub(crate) fn broadcast_shapes(a: &[Dim], b: &[Dim]) -> Result<Shape, usize> {
    let rank = a.len().max(b.len());
    let one = Dim::one();
    let mut shape: SmallVec<_> = SmallVec::with_capacity(rank);
    for axis in 0..rank {
        let left = (axis + a.len()).checked_sub(rank).map_or(&one, |i| &a[i]);
        let right = (axis + b.len()).checked_sub(rank).map_or(&one, |i| &b[i]);
        shape.push(match (left.is(1), right.is(1)) {
            (true, _) => right.clone(),
            (_, true) => left.clone(),
            _ if left == right => left.clone(),
            _ => return Err(axis + b.len() - rank),
        });
    }
    Ok(shape)
}
