//! Weights are read as they are stored: products and norms widen them exactly.

use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::{only_operand, replacing};
use crate::matcher::pair;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "matmul-by-stored-weight", try_at: matmul_by_stored_weight },
        Rule { name: "norm-by-stored-weight", try_at: norm_by_stored_weight },
    ]
}

/// True for a weight, seen through layout ops and casts.
pub(super) fn is_stored(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        let op = graph.def(value);
        let source = graph.operand(value.node, 0);
        match (op, source) {
            (Op::Weight(_), _) => return true,
            (op, Some(source)) if op.is_view() || matches!(op, Op::Cast(_)) => value = source,
            _ => return false,
        }
    }
}

/// The weight, or the view of one, that a cast widens exactly.
fn before_widening(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let Op::Cast(cast) = graph.def(value) else { return None };
    let source = only_operand(graph, value.node)?;
    let dtype = graph.ty(source).dtype;
    (dtype.is_float() && dtype.widens_to(cast.to) && is_stored(graph, source)).then_some(source)
}

fn matmul_by_stored_weight(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Matmul(op) = graph.node(at).op else { return Ok(None) };
    let Some((lhs, rhs)) = pair(graph, at) else { return Ok(None) };
    let Some(stored) = before_widening(graph, rhs) else { return Ok(None) };
    if graph.ty(rhs).dtype != graph.ty(lhs).dtype {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.value(Op::Matmul(op), &[lhs, stored])?;
    Ok(replacing(graph, at, patch, new))
}

fn norm_by_stored_weight(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    if !matches!(op, Op::RmsNorm(_) | Op::AddRmsNorm(_)) {
        return Ok(None);
    }
    let mut operands = graph.operands(at);
    let Some(weight) = operands.last_mut() else { return Ok(None) };
    let Some(stored) = before_widening(graph, *weight) else { return Ok(None) };
    *weight = stored;
    let mut patch = PatchBuilder::new(graph);
    let new = patch.emit(op.clone(), &operands)?;
    for result in (0u16..).take(graph.node(at).results.len()) {
        patch.replace(at.result(result), new.result(result));
    }
    Ok(Some(patch.finish()))
}
