//! Activation functions that are no op of their own.

use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{Emit, ValueId};

use crate::node::{Node, Refusal, Results, one};

pub(super) fn relu(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let zero = super::arithmetic::number_like(n, x, 0)?;
    one(n.graph().binary(BinaryOp::Max, x, zero)?)
}

pub(super) fn leaky_relu(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let slope = n.attr_float("alpha", 0.01);
    let (zero, slope) = (n.real_like(x, 0.0)?, n.real_like(x, slope)?);
    let g = n.graph();
    let is_positive = g.compare(CompareOp::Ge, x, zero)?;
    let small = g.mul(x, slope)?;
    one(g.select(is_positive, x, small)?)
}

/// `x/2 (1 + erf(x / sqrt 2))`, or its approximation by a hyperbolic tangent.
pub(super) fn gelu(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let approximate = n.attr_text("approximate").unwrap_or_else(|| "none".into());
    let inner = match approximate.as_str() {
        "none" => {
            let root = n.real_like(x, std::f64::consts::FRAC_1_SQRT_2)?;
            let scaled = n.graph().mul(x, root)?;
            n.graph().unary(UnaryOp::Erf, scaled)?
        }
        "tanh" => {
            let cubic = n.real_like(x, 0.044_715)?;
            let root = n.real_like(x, (2.0 / std::f64::consts::PI).sqrt())?;
            let g = n.graph();
            let square = g.mul(x, x)?;
            let cube = g.mul(square, x)?;
            let cube = g.mul(cubic, cube)?;
            let sum = g.add_values(x, cube)?;
            let scaled = g.mul(root, sum)?;
            g.unary(UnaryOp::Tanh, scaled)?
        }
        other => {
            return Err(Refusal::new(format!("approximate = {other:?}"), "expected none or tanh"));
        }
    };
    let (one_value, half) = (n.real_like(x, 1.0)?, n.real_like(x, 0.5)?);
    let g = n.graph();
    let factor = g.add_values(inner, one_value)?;
    let half_x = g.mul(x, half)?;
    one(g.mul(half_x, factor)?)
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`.
pub(super) fn softplus(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let (zero, unit) = (n.real_like(x, 0.0)?, n.real_like(x, 1.0)?);
    let g = n.graph();
    let size = g.unary(UnaryOp::Abs, x)?;
    let size = g.unary(UnaryOp::Neg, size)?;
    let small = g.unary(UnaryOp::Exp, size)?;
    let sum = g.add_values(small, unit)?;
    let log = g.unary(UnaryOp::Log, sum)?;
    let positive = g.binary(BinaryOp::Max, x, zero)?;
    one(g.add_values(positive, log)?)
}

/// `alpha x + beta` between 0 and 1.
pub(super) fn hard_sigmoid(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let (alpha, beta) = (n.attr_float("alpha", 0.2), n.attr_float("beta", 0.5));
    let constants = [alpha, beta, 0.0, 1.0];
    let mut values: [ValueId; 4] = [x; 4];
    for (value, constant) in values.iter_mut().zip(constants) {
        *value = n.real_like(x, constant)?;
    }
    let [alpha, beta, zero, unit] = values;
    let g = n.graph();
    let scaled = g.mul(x, alpha)?;
    let moved = g.add_values(scaled, beta)?;
    let least = g.binary(BinaryOp::Max, moved, zero)?;
    one(g.binary(BinaryOp::Min, least, unit)?)
}

/// `x sigmoid(alpha x)`.
pub(super) fn swish(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let alpha = n.attr_float("alpha", 1.0);
    let scaled = if alpha == 1.0 {
        x
    } else {
        let alpha = n.real_like(x, alpha)?;
        n.graph().mul(x, alpha)?
    };
    let gate = n.graph().unary(UnaryOp::Sigmoid, scaled)?;
    one(n.graph().mul(x, gate)?)
}
