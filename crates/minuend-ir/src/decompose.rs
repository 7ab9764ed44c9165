//! What each fused op means in smaller ops. `legalize` uses it for what a target lacks; tests use it as
//! the second oracle beside the interpreter.

use smallvec::{SmallVec, smallvec};

use crate::dim::Dim;
use crate::dtype::DType;
use crate::emit::{Emit, Emitted};
use crate::error::TypeError;
use crate::op::Op;
use crate::ops::*;
use crate::value::ValueId;

/// Results of a decomposition, one for each result of the op.
pub type Parts = SmallVec<[ValueId; 2]>;

/// Adds the decomposition of `op` applied to `operands`; `Ok(None)` for a primitive op. One level: a
/// differential attention becomes one attention and elementwise ops.
pub fn decompose(
    op: &Op,
    operands: &[ValueId],
    into: &mut dyn Emit,
) -> Result<Option<Parts>, TypeError> {
    let one = match (op, operands) {
        (Op::RmsNorm(op), &[x, weight]) => rms_norm(*op, x, weight, into)?,
        (Op::AddRmsNorm(op), &[x, residual, weight]) => {
            let sum = into.add_values(x, residual)?;
            let norm = into.value(Op::RmsNorm(*op), &[sum, weight])?;
            return Ok(Some(smallvec![sum, norm]));
        }
        (Op::Rope(op), &[x, positions]) => rope(*op, x, positions, into)?,
        (Op::Swiglu, &[gate, up]) => {
            let gate = into.unary(UnaryOp::Silu, gate)?;
            into.mul(gate, up)?
        }
        (Op::Attention(op), &[q, k, v]) => attention(*op, q, k, v, into)?,
        (Op::DiffAttention(op), &[q, k, v, lambda]) => {
            diff_attention(*op, [q, k, v, lambda], into)?
        }
        (Op::KvAppend(op), operands) => into.concat(op.axis, operands)?,
        _ => return Ok(None),
    };
    Ok(Some(smallvec![one]))
}

fn rms_norm(op: RmsNorm, x: ValueId, weight: ValueId, into: &mut dyn Emit) -> Emitted {
    let dtype = into.type_of(x).dtype;
    let axis = into.type_of(x).rank().saturating_sub(1);
    let x = into.cast(x, DType::F32)?;
    let square = into.mul(x, x)?;
    let mean = into.reduce(ReduceKind::Mean, axis, square)?;
    let epsilon = into.real(DType::F32, op.epsilon.get())?;
    let mean = into.add_values(mean, epsilon)?;
    let factor = into.unary(UnaryOp::Rsqrt, mean)?;
    let normed = into.mul(x, factor)?;
    let weight = into.cast(weight, DType::F32)?;
    let scaled = into.mul(normed, weight)?;
    into.cast(scaled, dtype)
}

/// Frequencies of the rotated pairs: `theta^(-2i/d)` for `i < d/2`, radians per position.
pub fn rope_frequencies(theta: f64, features: usize) -> impl Iterator<Item = f64> {
    (0..features / 2).map(move |pair| theta.powf(-2.0 * pair as f64 / features as f64))
}

fn rope(op: Rope, x: ValueId, positions: ValueId, into: &mut dyn Emit) -> Emitted {
    let dtype = into.type_of(x).dtype;
    let shape = into.type_of(x).shape.clone();
    let features = into.size(x, 3).as_const().and_then(|d| usize::try_from(d).ok()).unwrap_or(0);
    let half = Dim::from(features / 2);

    let frequencies: Vec<f64> = rope_frequencies(op.theta.get(), features).collect();
    let frequencies = into.reals(DType::F32, &frequencies)?;
    let mut column = into.type_of(positions).shape.clone();
    column.push(Dim::one());
    if column.len() == 3 {
        column.insert(1, Dim::one());
    }
    let positions = into.cast(positions, DType::F32)?;
    let positions = into.reshape(positions, &column)?;
    let angle = into.mul(positions, frequencies)?;
    let cos = into.unary(UnaryOp::Cos, angle)?;
    let sin = into.unary(UnaryOp::Sin, angle)?;

    let x = into.cast(x, DType::F32)?;
    let (first, second) = match op.layout {
        RopeLayout::Interleaved => (Slice::strided(3, 0, 2), Slice::strided(3, 1, 2)),
        RopeLayout::HalfSplit => {
            (Slice::range(3, 0, half.clone()), Slice::range(3, half.clone(), shape[3].clone()))
        }
    };
    let a = into.slice(x, first)?;
    let b = into.slice(x, second)?;
    let (a_cos, b_sin) = (into.mul(a, cos)?, into.mul(b, sin)?);
    let (a_sin, b_cos) = (into.mul(a, sin)?, into.mul(b, cos)?);
    let a = into.sub(a_cos, b_sin)?;
    let b = into.add_values(a_sin, b_cos)?;
    let rotated = match op.layout {
        RopeLayout::HalfSplit => into.concat(3, &[a, b])?,
        RopeLayout::Interleaved => {
            let mut pair = into.type_of(a).shape.clone();
            pair.push(Dim::one());
            let (a, b) = (into.reshape(a, &pair)?, into.reshape(b, &pair)?);
            let pairs = into.concat(4, &[a, b])?;
            into.reshape(pairs, &shape)?
        }
    };
    into.cast(rotated, dtype)
}

/// `condition [S, T]`: which keys each query sees; `None` if all.
pub fn visible_keys(
    mask: Mask,
    queries: &Dim,
    keys: &Dim,
    into: &mut dyn Emit,
) -> Result<Option<ValueId>, TypeError> {
    let window = match mask {
        Mask::Full => return Ok(None),
        Mask::Causal => None,
        Mask::SlidingWindow { window } => Some(window),
    };
    let row = into.iota(queries.clone())?;
    let past = into.dim(keys - queries)?;
    let row = into.add_values(row, past)?;
    let row = into.reshape(row, &[queries.clone(), Dim::one()])?;
    let column = into.iota(keys.clone())?;
    let causal = into.compare(CompareOp::Le, column, row)?;
    let Some(window) = window else { return Ok(Some(causal)) };
    let window = into.int(i64::from(window))?;
    let oldest = into.sub(row, window)?;
    let recent = into.compare(CompareOp::Gt, column, oldest)?;
    into.binary(BinaryOp::And, causal, recent).map(Some)
}

fn attention(op: Attention, q: ValueId, k: ValueId, v: ValueId, into: &mut dyn Emit) -> Emitted {
    let dtype = into.type_of(q).dtype;
    let repeat = into.size(q, 1).exact_div(&into.size(k, 1)).unwrap_or_else(Dim::one);
    let k = into.repeat_interleaved(k, 1, &repeat)?;
    let v = into.repeat_interleaved(v, 1, &repeat)?;
    let scores = into.matmul_transposed(q, k)?;
    let scores = into.cast(scores, DType::F32)?;
    let scale = into.real(DType::F32, op.scale.get())?;
    let mut scores = into.mul(scores, scale)?;
    let (queries, keys) = (into.size(q, 2), into.size(k, 2));
    if let Some(visible) = visible_keys(op.mask, &queries, &keys, into)? {
        let hidden = into.real(DType::F32, f64::NEG_INFINITY)?;
        scores = into.select(visible, scores, hidden)?;
    }
    let weights = into.softmax(3, scores)?;
    let weights = into.cast(weights, dtype)?;
    into.matmul(weights, v)
}

fn diff_attention(op: DiffAttention, operands: [ValueId; 4], into: &mut dyn Emit) -> Emitted {
    let [q, k, v, lambda] = operands;
    let dtype = into.type_of(q).dtype;
    let both = into.attention(op.attention(), q, k, v)?;
    let both = into.cast(both, DType::F32)?;
    let (first, second) = match op.pairing {
        HeadPairing::Interleaved => (Slice::strided(1, 0, 2), Slice::strided(1, 1, 2)),
    };
    let first = into.slice(both, first)?;
    let second = into.slice(both, second)?;
    let lambda = into.cast(lambda, DType::F32)?;
    let gate = into.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = into.mul(gate, second)?;
    let difference = into.sub(first, gated)?;
    into.cast(difference, dtype)
}
