//! Ops that move elements and compute nothing. All but `concat` and `gather` can be views.

use smallvec::SmallVec;

use crate::dim::Dim;
use crate::error::{Infer, TypeErrorKind, bad_attribute, dim_mismatch};
use crate::ops::operands::{Operands, broadcast_shapes};
use crate::tensor_type::{DisplayShape, Shape, TensorType};

/// The same elements in row-major order under another shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The result's shape, of as many elements.
    pub shape: Shape,
}

impl Reshape {
    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        let ty = TensorType { dtype: x.dtype, shape: self.shape.clone() };
        if ty.elements() != x.elements() {
            let found = DisplayShape { shape: &self.shape, symbols: operands.symbols };
            let expected =
                format!("a shape of {} elements", x.elements().display(operands.symbols));
            return Err(bad_attribute("shape", found, expected));
        }
        Ok(ty)
    }
}

/// Axes in another order: axis `i` of the result is axis `perm[i]` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// A permutation of the operand's axes.
    pub perm: SmallVec<[usize; 4]>,
}

impl Transpose {
    /// The transpose that undoes this one.
    pub fn inverse(&self) -> Transpose {
        let mut perm: SmallVec<[usize; 4]> = smallvec::smallvec![0; self.perm.len()];
        for (to, from) in self.perm.iter().enumerate() {
            if let Some(slot) = perm.get_mut(*from) {
                *slot = to;
            }
        }
        Transpose { perm }
    }

    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        let mut seen = self.perm.clone();
        seen.sort_unstable();
        if seen.len() != x.rank() || seen.iter().enumerate().any(|(i, axis)| i != *axis) {
            let expected = format!("a permutation of {} axes", x.rank());
            return Err(bad_attribute("perm", format!("{:?}", self.perm), expected));
        }
        let shape = self.perm.iter().map(|axis| x.shape[*axis].clone());
        Ok(TensorType::new(x.dtype, shape))
    }
}

/// Elements `start, start + step, ...` below `end` of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// First index.
    pub start: Dim,
    /// Index behind the last; `None` for the axis' size.
    pub end: Option<Dim>,
    /// Distance between indices, at least 1.
    pub step: u32,
}

impl Slice {
    /// Every element of the axis from `start` (inclusive) to `end` (exclusive).
    pub fn range(axis: usize, start: impl Into<Dim>, end: impl Into<Dim>) -> Slice {
        Slice { axis, start: start.into(), end: Some(end.into()), step: 1 }
    }

    /// Every `step`-th element of the axis, beginning with `start`.
    pub fn strided(axis: usize, start: impl Into<Dim>, step: u32) -> Slice {
        Slice { axis, start: start.into(), end: None, step }
    }

    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        let symbols = operands.symbols;
        let Some(size) = x.shape.get(self.axis) else {
            return Err(bad_attribute("axis", self.axis, format!("below {}", x.rank())));
        };
        let end = self.end.as_ref().unwrap_or(size);
        if !self.start.at_least(0, symbols) || !(end - &self.start).at_least(0, symbols) {
            let expected = format!("between 0 and {}", end.display(symbols));
            return Err(bad_attribute("start", self.start.display(symbols), expected));
        }
        if !(size - end).at_least(0, symbols) {
            let expected = format!("at most {}", size.display(symbols));
            return Err(bad_attribute("end", end.display(symbols), expected));
        }
        let span = end - &self.start;
        let step = i64::from(self.step);
        let count = match span.as_const() {
            _ if step == 0 => None,
            Some(span) => Some(Dim::from((span + step - 1) / step)),
            None => span.exact_div(&Dim::from(step)),
        };
        let Some(count) = count else {
            let expected = format!("a divisor of {}", span.display(symbols));
            return Err(bad_attribute("step", self.step, expected));
        };
        let mut ty = x.clone();
        ty.shape[self.axis] = count;
        Ok(ty)
    }
}

/// Operands one behind the other along an axis; all other axes agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Concat {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let Some(first) = operands.types.first() else {
            return Err(TypeErrorKind::Arity { found: 0, expected: "at least 1".into() });
        };
        if self.axis >= first.rank() {
            return Err(bad_attribute("axis", self.axis, format!("below {}", first.rank())));
        }
        let mut ty = (*first).clone();
        for (operand, other) in operands.types.iter().enumerate().skip(1) {
            operands.dtype(operand, first.dtype)?;
            operands.rank(operand, first.rank())?;
            for axis in (0..first.rank()).filter(|axis| *axis != self.axis) {
                operands.dim(operand, axis, &first.shape[axis])?;
            }
            ty.shape[self.axis] = &ty.shape[self.axis] + &other.shape[self.axis];
        }
        Ok(ty)
    }
}

/// Axes of size 1, and missing outer axes, repeated to the given shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The result's shape.
    pub shape: Shape,
}

impl Broadcast {
    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        let symbols = operands.symbols;
        match broadcast_shapes(&self.shape, &x.shape) {
            Ok(shape) if shape == self.shape => {
                Ok(TensorType { dtype: x.dtype, shape: self.shape.clone() })
            }
            Ok(_) => {
                let found = DisplayShape { shape: &self.shape, symbols };
                let expected = format!(
                    "a shape to which {} broadcasts",
                    DisplayShape { shape: &x.shape, symbols }
                );
                Err(bad_attribute("shape", found, expected))
            }
            Err(axis) => {
                let target = &self.shape[axis + self.shape.len() - x.rank()];
                Err(dim_mismatch(0, axis, &x.shape[axis], target, symbols))
            }
        }
    }
}

/// `gather(data, indices)`: rows of `data` along an axis, chosen by integer indices.
///
/// The axis is replaced by the axes of `indices`; an embedding is `gather` along axis 0 of a table.
/// An index outside the axis is an error at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis of `data`.
    pub axis: usize,
}

impl Gather {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [data, indices] = operands.exactly()?;
        operands.int(1)?;
        if self.axis >= data.rank() {
            return Err(bad_attribute("axis", self.axis, format!("below {}", data.rank())));
        }
        let (before, after) = data.shape.split_at(self.axis);
        let shape = before.iter().chain(&indices.shape).chain(&after[1..]).cloned();
        Ok(TensorType::new(data.dtype, shape))
    }
}
