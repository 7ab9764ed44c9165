//! The closed set of ops.

use smallvec::{SmallVec, smallvec};

use crate::error::{Infer, TypeError, TypeErrorKind};
use crate::ops::operands::Operands;
use crate::ops::*;
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::{dtype::DType, ops};

/// Result types of a node.
pub type ResultTypes = SmallVec<[TensorType; 1]>;

/// What a node computes. The element type is never part of the op, but for `cast`, whose meaning it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A parameter of the graph.
    Input(Input),
    /// A trained tensor.
    Weight(Weight),
    /// A literal.
    Constant(Constant),
    /// A size as a value.
    DimValue(DimValue),
    /// Consecutive integers.
    Iota(Iota),
    /// The end of the graph.
    Return(Return),
    /// A function of one element.
    Unary(UnaryOp),
    /// A function of two elements.
    Binary(BinaryOp),
    /// A comparison.
    Compare(CompareOp),
    /// A choice by a truth value: operands condition, a, b.
    Select,
    /// Conversion of the element type.
    Cast(Cast),
    /// Another shape for the same elements.
    Reshape(Reshape),
    /// Another order of axes.
    Transpose(Transpose),
    /// Part of an axis.
    Slice(Slice),
    /// Tensors one behind the other.
    Concat(Concat),
    /// Repetition along axes of size 1.
    Broadcast(Broadcast),
    /// Rows by index.
    Gather(Gather),
    /// A reduction.
    Reduce(Reduce),
    /// Where the largest element is.
    ArgMax(ArgMax),
    /// Softmax.
    Softmax(Softmax),
    /// A random choice by logits; see [`sample`](ops::sample).
    Sample,
    /// Matrix product.
    Matmul(Matmul),
    /// RMS norm.
    RmsNorm(RmsNorm),
    /// Residual sum and its RMS norm: two results.
    AddRmsNorm(RmsNorm),
    /// Rotary position embedding.
    Rope(Rope),
    /// `silu(gate) * up`.
    Swiglu,
    /// Attention.
    Attention(Attention),
    /// Differential attention.
    DiffAttention(DiffAttention),
    /// Growth of a cache in place.
    KvAppend(KvAppend),
}

impl Op {
    /// The name in the text format.
    pub fn mnemonic(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Weight(_) => "weight",
            Op::Constant(_) => "constant",
            Op::DimValue(_) => "dim",
            Op::Iota(_) => "iota",
            Op::Return(_) => "return",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Slice(_) => "slice",
            Op::Concat(_) => "concat",
            Op::Broadcast(_) => "broadcast",
            Op::Gather(_) => "gather",
            Op::Reduce(op) => op.kind.name(),
            Op::ArgMax(_) => "arg_max",
            Op::Softmax(_) => "softmax",
            Op::Sample => "sample",
            Op::Matmul(_) => "matmul",
            Op::RmsNorm(_) => "rms_norm",
            Op::AddRmsNorm(_) => "add_rms_norm",
            Op::Rope(_) => "rope",
            Op::Swiglu => "swiglu",
            Op::Attention(_) => "attention",
            Op::DiffAttention(_) => "diff_attention",
            Op::KvAppend(_) => "kv_append",
        }
    }

    /// Types of the results. This is also the check: an error says which operand or attribute is wrong.
    pub fn infer(
        &self,
        operands: &[&TensorType],
        symbols: &SymbolTable,
    ) -> Result<ResultTypes, TypeError> {
        let at = |kind| TypeError { op: self.mnemonic(), kind };
        let types = self.result_types(Operands { types: operands, symbols }).map_err(at)?;
        match types.iter().find(|ty| !ty.is_sound(symbols)) {
            Some(ty) => Err(at(TypeErrorKind::Size { found: ty.display(symbols).to_string() })),
            None => Ok(types),
        }
    }

    fn result_types(&self, operands: Operands<'_>) -> Infer<ResultTypes> {
        let one = match self {
            Op::Input(op) => operands.exactly::<0>().map(|_| op.ty.clone()),
            Op::Weight(op) => op.infer(operands),
            Op::Constant(op) => op.infer(operands),
            Op::DimValue(_) => operands.exactly::<0>().map(|_| TensorType::scalar(DType::I64)),
            Op::Iota(op) => {
                operands.exactly::<0>().map(|_| TensorType::new(DType::I64, [op.size.clone()]))
            }
            Op::Return(_) => return Ok(smallvec![]),
            Op::Unary(op) => op.infer(operands),
            Op::Binary(op) => op.infer(operands),
            Op::Compare(op) => op.infer(operands),
            Op::Select => ops::elementwise::infer_select(operands),
            Op::Cast(op) => op.infer(operands),
            Op::Reshape(op) => op.infer(operands),
            Op::Transpose(op) => op.infer(operands),
            Op::Slice(op) => op.infer(operands),
            Op::Concat(op) => op.infer(operands),
            Op::Broadcast(op) => op.infer(operands),
            Op::Gather(op) => op.infer(operands),
            Op::Reduce(op) => op.infer(operands),
            Op::ArgMax(op) => op.infer(operands),
            Op::Softmax(op) => op.infer(operands),
            Op::Sample => ops::sample::infer(operands),
            Op::Matmul(op) => op.infer(operands),
            Op::RmsNorm(op) => op.infer(operands),
            Op::AddRmsNorm(op) => return op.infer_add(operands),
            Op::Rope(op) => op.infer(operands),
            Op::Swiglu => ops::swiglu::infer(operands),
            Op::Attention(op) => op.infer(operands),
            Op::DiffAttention(op) => op.infer(operands),
            Op::KvAppend(op) => op.infer(operands),
        };
        one.map(|ty| smallvec![ty])
    }

    /// True for ops that only rename the elements of their first operand, and so can be views.
    pub fn is_view(&self) -> bool {
        matches!(self, Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Broadcast(_))
    }

    /// True for ops that compute each element of the result from one element of each operand.
    pub fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::Swiglu
        )
    }
}
