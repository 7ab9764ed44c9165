//! Scales behind matrix products: `(q c) k` is `(q k) c`.
//!
//! Exporters scale the queries, the scores, or queries and keys by a root each. Behind the product all
//! of them are one factor of the scores.

use minuend_ir::ops::BinaryOp;
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::arithmetic::{by_constant, scaled};
use super::stored_weight::is_stored;
use super::{only_operand, replacing};
use crate::matcher::{as_binary, pair};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![Rule { name: "hoist-scale", try_at: hoist_scale }]
}

/// Left alone where the other side is a weight: a scale in front of a projection is no attention scale.
fn hoist_scale(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Matmul(op) = graph.node(at).op else { return Ok(None) };
    let Some((lhs, rhs)) = pair(graph, at) else { return Ok(None) };
    for (operand, other, is_lhs) in [(lhs, rhs, true), (rhs, lhs, false)] {
        if is_stored(graph, other) {
            continue;
        }
        let Some(product) = find_scale(graph, operand) else { continue };
        let mut patch = PatchBuilder::new(graph);
        let mut bare = product.x;
        for node in product.between.iter().rev() {
            bare = patch.value(graph.node(*node).op.clone(), &[bare])?;
        }
        let operands = if is_lhs { [bare, rhs] } else { [lhs, bare] };
        let unscaled = patch.value(Op::Matmul(op), &operands)?;
        let new = scaled(&mut patch, unscaled, product.factor, graph.ty(at.result(0)))?;
        return Ok(replacing(graph, at, patch, new));
    }
    Ok(None)
}

struct ScaledOperand {
    x: ValueId,
    factor: f64,
    /// Layout ops and float casts behind the scale, last first.
    between: Vec<NodeId>,
}

fn find_scale(graph: &Graph, operand: ValueId) -> Option<ScaledOperand> {
    let mut between = Vec::new();
    let mut value = operand;
    loop {
        if let Some(operands) = as_binary(graph, value, BinaryOp::Mul) {
            let (x, factor) = by_constant(graph, operands)?;
            // A factor of 0 or infinity does not commute with a sum that holds infinities.
            let keeps_type = graph.ty(x) == graph.ty(value);
            let is_scale = factor.is_normal() && keeps_type;
            return is_scale.then_some(ScaledOperand { x, factor, between });
        }
        let source = only_operand(graph, value.node)?;
        let is_float = graph.ty(source).dtype.is_float();
        if !(graph.def(value).is_view() || matches!(graph.def(value), Op::Cast(_)) && is_float) {
            return None;
        }
        between.push(value.node);
        value = source;
    }
}
