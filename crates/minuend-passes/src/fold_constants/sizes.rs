//! Arithmetic of sizes as values.

use minuend_ir::ops::BinaryOp;
use minuend_ir::{DType, Dim, Graph, NodeId, Op, ValueId};

use crate::matcher::pair;

/// The size that a sum, difference or product of two sizes or integers is; at least one is a size.
pub(super) fn combined(graph: &Graph, at: NodeId, op: BinaryOp) -> Option<Dim> {
    let (a, b) = pair(graph, at)?;
    if ![a, b].iter().any(|value| matches!(graph.def(*value), Op::DimValue(_))) {
        return None;
    }
    let (a, b) = (as_size(graph, a)?, as_size(graph, b)?);
    let size = match op {
        BinaryOp::Add => &a + &b,
        BinaryOp::Sub => &a - &b,
        BinaryOp::Mul => &a * &b,
        _ => return None,
    };
    // Coefficients saturate: a size that may leave i64 is no longer the value of the op.
    let (low, high) = size.bounds(graph.symbols());
    (low > i64::MIN && high < i64::MAX).then_some(size)
}

fn as_size(graph: &Graph, value: ValueId) -> Option<Dim> {
    let ty = graph.ty(value);
    if ty.dtype != DType::I64 || ty.rank() != 0 {
        return None;
    }
    match graph.def(value) {
        Op::DimValue(op) => Some(op.size.clone()),
        Op::Constant(constant) => constant.as_int().map(Dim::from),
        _ => None,
    }
}
