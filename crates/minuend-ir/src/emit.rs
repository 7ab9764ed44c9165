//! One vocabulary for everything that adds ops: builders, patches, decompositions.

use smallvec::SmallVec;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::error::TypeError;
use crate::op::Op;
use crate::ops::*;
use crate::real::Real;
use crate::symbol::SymbolTable;
use crate::tensor_type::{Shape, TensorType};
use crate::value::{NodeId, ValueId};

/// The result of adding an op.
pub type Emitted = Result<ValueId, TypeError>;

/// A place to which ops are added; each is checked as it is added.
pub trait Emit {
    /// Adds an op.
    fn emit(&mut self, op: Op, operands: &[ValueId]) -> Result<NodeId, TypeError>;
    /// The type of a value added here or known here.
    fn type_of(&self, value: ValueId) -> &TensorType;
    /// The symbols of the types.
    fn symbols(&self) -> &SymbolTable;

    /// Adds an op of one result.
    fn value(&mut self, op: Op, operands: &[ValueId]) -> Emitted {
        Ok(self.emit(op, operands)?.result(0))
    }
    /// Size of one axis.
    fn size(&self, x: ValueId, axis: usize) -> Dim {
        self.type_of(x).shape.get(axis).cloned().unwrap_or_default()
    }
    /// A trained tensor.
    fn weight(&mut self, name: &str, ty: TensorType) -> Emitted {
        self.value(Op::Weight(Weight { parts: vec![name.into()], ty }), &[])
    }
    /// A float scalar.
    fn real(&mut self, dtype: DType, value: f64) -> Emitted {
        self.value(Op::Constant(Constant::real(dtype, value)), &[])
    }
    /// An i64 scalar.
    fn int(&mut self, value: i64) -> Emitted {
        self.value(Op::Constant(Constant::int(value)), &[])
    }
    /// A size as an i64 scalar.
    fn dim(&mut self, size: Dim) -> Emitted {
        self.value(Op::DimValue(DimValue { size }), &[])
    }
    /// `0 .. size` as i64.
    fn iota(&mut self, size: Dim) -> Emitted {
        self.value(Op::Iota(Iota { size }), &[])
    }
    /// A function of one element.
    fn unary(&mut self, op: UnaryOp, x: ValueId) -> Emitted {
        self.value(Op::Unary(op), &[x])
    }
    /// A function of two elements.
    fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> Emitted {
        self.value(Op::Binary(op), &[a, b])
    }
    /// `a + b`.
    fn add_values(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.binary(BinaryOp::Add, a, b)
    }
    /// `a - b`.
    fn sub(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.binary(BinaryOp::Sub, a, b)
    }
    /// `a * b`.
    fn mul(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.binary(BinaryOp::Mul, a, b)
    }
    /// A comparison.
    fn compare(&mut self, op: CompareOp, a: ValueId, b: ValueId) -> Emitted {
        self.value(Op::Compare(op), &[a, b])
    }
    /// `a` where the condition holds, else `b`.
    fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Emitted {
        self.value(Op::Select, &[condition, a, b])
    }
    /// Another element type; nothing is added when it is the type already.
    fn cast(&mut self, x: ValueId, to: DType) -> Emitted {
        if self.type_of(x).dtype == to {
            return Ok(x);
        }
        self.value(Op::Cast(Cast { to }), &[x])
    }
    /// Another shape; nothing is added when it is the shape already.
    fn reshape(&mut self, x: ValueId, shape: &[Dim]) -> Emitted {
        if self.type_of(x).shape.as_slice() == shape {
            return Ok(x);
        }
        self.value(Op::Reshape(Reshape { shape: shape.into() }), &[x])
    }
    /// Axes in another order; nothing is added for the identity.
    fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Emitted {
        if perm.iter().enumerate().all(|(to, from)| to == *from) {
            return Ok(x);
        }
        self.value(Op::Transpose(Transpose { perm: perm.into() }), &[x])
    }
    /// Part of an axis.
    fn slice(&mut self, x: ValueId, slice: Slice) -> Emitted {
        self.value(Op::Slice(slice), &[x])
    }
    /// Tensors one behind the other.
    fn concat(&mut self, axis: usize, parts: &[ValueId]) -> Emitted {
        self.value(Op::Concat(Concat { axis }), parts)
    }
    /// Repetition to a shape; nothing is added when it is the shape already.
    fn broadcast(&mut self, x: ValueId, shape: &[Dim]) -> Emitted {
        if self.type_of(x).shape.as_slice() == shape {
            return Ok(x);
        }
        self.value(Op::Broadcast(Broadcast { shape: shape.into() }), &[x])
    }
    /// Rows by index.
    fn gather(&mut self, axis: usize, data: ValueId, indices: ValueId) -> Emitted {
        self.value(Op::Gather(Gather { axis }), &[data, indices])
    }
    /// A reduction along one axis, which keeps size 1.
    fn reduce(&mut self, kind: ReduceKind, axis: usize, x: ValueId) -> Emitted {
        self.value(Op::Reduce(Reduce { kind, axis }), &[x])
    }
    /// Index of the largest finite element along one axis, which goes: i64.
    fn arg_max(&mut self, axis: usize, x: ValueId) -> Emitted {
        self.value(Op::ArgMax(ArgMax { axis }), &[x])
    }
    /// Softmax along one axis.
    fn softmax(&mut self, axis: usize, x: ValueId) -> Emitted {
        self.value(Op::Softmax(Softmax { axis }), &[x])
    }
    /// An index of the last axis of `logits`, drawn by the rules of [`sample`](crate::ops::sample).
    fn sample(&mut self, logits: ValueId, rules: SampleRules, uniform: ValueId) -> Emitted {
        let SampleRules { temperature, top_k, top_p } = rules;
        self.value(Op::Sample, &[logits, temperature, top_k, top_p, uniform])
    }
    /// `lhs x rhs`.
    fn matmul(&mut self, lhs: ValueId, rhs: ValueId) -> Emitted {
        self.value(Op::Matmul(Matmul { transpose_rhs: false }), &[lhs, rhs])
    }
    /// `lhs x rhs^T`: `rhs` is `[..., n, k]`.
    fn matmul_transposed(&mut self, lhs: ValueId, rhs: ValueId) -> Emitted {
        self.value(Op::Matmul(Matmul { transpose_rhs: true }), &[lhs, rhs])
    }
    /// Attention.
    fn attention(&mut self, op: Attention, q: ValueId, k: ValueId, v: ValueId) -> Emitted {
        self.value(Op::Attention(op), &[q, k, v])
    }
    /// Each element of `axis` repeated `times` times, next to each other: how grouped keys are
    /// expanded to one per query head.
    fn repeat_interleaved(&mut self, x: ValueId, axis: usize, times: &Dim) -> Emitted {
        if times.is(1) {
            return Ok(x);
        }
        let shape = self.type_of(x).shape.clone();
        let mut apart: Shape = shape.clone();
        apart.insert(axis + 1, Dim::one());
        let mut repeated = apart.clone();
        repeated[axis + 1] = times.clone();
        let mut merged = shape;
        merged[axis] = &merged[axis] * times;
        let x = self.reshape(x, &apart)?;
        let x = self.broadcast(x, &repeated)?;
        self.reshape(x, &merged)
    }
    /// A literal vector of floats.
    fn reals(&mut self, dtype: DType, values: &[f64]) -> Emitted {
        let ty = TensorType::fixed(dtype, &[values.len()]);
        let values = Literal::Reals(values.iter().copied().map(Real::new).collect());
        self.value(Op::Constant(Constant { ty, values }), &[])
    }
    /// Axes `a` and `b` of the last two swapped: the matrix transpose.
    fn swap_last_axes(&mut self, x: ValueId) -> Emitted {
        let rank = self.type_of(x).rank();
        let mut perm: SmallVec<[usize; 4]> = (0..rank).collect();
        if rank >= 2 {
            perm.swap(rank - 1, rank - 2);
        }
        self.transpose(x, &perm)
    }
}
