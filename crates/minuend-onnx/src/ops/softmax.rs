//! Softmax along one axis.

use minuend_ir::Emit;
use minuend_ir::ops::{ReduceKind, UnaryOp};

use crate::node::{Node, Results, one};

pub(super) fn softmax(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let axis = n.axis(n.attr_int("axis", -1), n.shape(0)?.len())?;
    one(n.graph().softmax(axis, x)?)
}

/// `x - max - ln sum e^(x - max)`.
pub(super) fn log_softmax(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let axis = n.axis(n.attr_int("axis", -1), n.shape(0)?.len())?;
    let g = n.graph();
    let most = g.reduce(ReduceKind::Max, axis, x)?;
    let x = g.sub(x, most)?;
    let powers = g.unary(UnaryOp::Exp, x)?;
    let sum = g.reduce(ReduceKind::Sum, axis, powers)?;
    let log = g.unary(UnaryOp::Log, sum)?;
    one(g.sub(x, log)?)
}
