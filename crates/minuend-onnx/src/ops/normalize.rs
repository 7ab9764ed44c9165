//! Norms, in primitive ops with statistics in f32.

use minuend_ir::ops::{ReduceKind, UnaryOp};
use minuend_ir::{DType, Emit, ValueId};

use super::reduce::along;
use crate::node::{Node, Refusal, Results};
use crate::value::Value;

/// The axes from the attribute `axis` on.
fn normalised_axes(n: &Node<'_>) -> Result<Vec<usize>, Refusal> {
    let rank = n.shape(0)?.len();
    let first = n.axis(n.attr_int("axis", -1), rank)?;
    Ok((first..rank).collect())
}

/// `1 / sqrt(mean(x^2) + epsilon)` over the axes.
fn inverse_rms(n: &mut Node<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId, Refusal> {
    let epsilon = n.attr_float("epsilon", 1e-5);
    let square = n.graph().mul(x, x)?;
    let mean = along(n, ReduceKind::Mean, axes, square)?;
    let epsilon = n.real_like(mean, epsilon)?;
    let sum = n.graph().add_values(mean, epsilon)?;
    Ok(n.graph().unary(UnaryOp::Rsqrt, sum)?)
}

/// `x / rms(x) * scale`.
pub(super) fn rms_norm(n: &mut Node<'_>) -> Results {
    let axes = normalised_axes(n)?;
    let (x, scale) = (n.tensor(0)?, n.tensor(1)?);
    let dtype = n.graph().type_of(x).dtype;
    let x = n.graph().cast(x, DType::F32)?;
    let factor = inverse_rms(n, x, &axes)?;
    let g = n.graph();
    let normed = g.mul(x, factor)?;
    let scale = g.cast(scale, DType::F32)?;
    let scaled = g.mul(normed, scale)?;
    let result = g.cast(scaled, dtype)?;
    Ok(vec![Value::Tensor(result), Value::Tensor(factor)])
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`; mean and inverse deviation are results too.
pub(super) fn layer_norm(n: &mut Node<'_>) -> Results {
    let axes = normalised_axes(n)?;
    let (x, scale, bias) = (n.tensor(0)?, n.tensor(1)?, n.optional_tensor(2)?);
    let dtype = n.graph().type_of(x).dtype;
    let x = n.graph().cast(x, DType::F32)?;
    let mean = along(n, ReduceKind::Mean, &axes, x)?;
    let centred = n.graph().sub(x, mean)?;
    let factor = inverse_rms(n, centred, &axes)?;
    let g = n.graph();
    let normed = g.mul(centred, factor)?;
    let scale = g.cast(scale, DType::F32)?;
    let mut result = g.mul(normed, scale)?;
    if let Some(bias) = bias {
        let bias = g.cast(bias, DType::F32)?;
        result = g.add_values(result, bias)?;
    }
    let result = g.cast(result, dtype)?;
    Ok(vec![Value::Tensor(result), Value::Tensor(mean), Value::Tensor(factor)])
}
