//! A softmax written out.

use minuend_ir::ops::{BinaryOp, Reduce, ReduceKind, UnaryOp};
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::replacing;
use crate::matcher::{as_binary, as_unary, match_commutative};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![Rule { name: "form-softmax", try_at: form_softmax }]
}

/// `e / sum(e)`, or `e * reciprocal(sum(e))`, with `e = exp(x - max(x))`, along one axis.
fn form_softmax(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let value = at.result(0);
    let quotient = as_binary(graph, value, BinaryOp::Div).or_else(|| {
        match_commutative(as_binary(graph, value, BinaryOp::Mul)?, |e, inverse| {
            Some((e, as_unary(graph, inverse, UnaryOp::Reciprocal)?))
        })
    });
    let Some((e, sum)) = quotient else { return Ok(None) };
    let Some((x, axis)) = shifted_exponential(graph, e) else { return Ok(None) };
    // The sum may be over a copy of the same exponentials.
    let summed = reduced(graph, sum, ReduceKind::Sum);
    let is_its_sum = summed.is_some_and(|(other, along)| {
        along == axis && (other == e || shifted_exponential(graph, other) == Some((x, axis)))
    });
    if !is_its_sum {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.softmax(axis, x)?;
    Ok(replacing(graph, at, patch, new))
}

/// `x` and the axis of `exp(x - max(x))`.
fn shifted_exponential(graph: &Graph, value: ValueId) -> Option<(ValueId, usize)> {
    let shifted = as_unary(graph, value, UnaryOp::Exp)?;
    let (x, max) = as_binary(graph, shifted, BinaryOp::Sub)?;
    let (source, axis) = reduced(graph, max, ReduceKind::Max)?;
    (source == x).then_some((x, axis))
}

fn reduced(graph: &Graph, value: ValueId, kind: ReduceKind) -> Option<(ValueId, usize)> {
    match graph.def(value) {
        Op::Reduce(Reduce { kind: found, axis }) if *found == kind => {
            Some((graph.operand(value.node, 0)?, *axis))
        }
        _ => None,
    }
}
