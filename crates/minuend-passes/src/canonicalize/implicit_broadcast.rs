//! Elementwise ops broadcast their operands themselves.

use minuend_ir::ops::Constant;
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, TensorType, ValueId};

use super::only_operand;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "absorb-broadcast", try_at: absorb_broadcast },
        Rule { name: "shrink-splat", try_at: shrink_splat },
    ]
}

fn broadcasts(op: &Op) -> bool {
    matches!(op, Op::Binary(_) | Op::Compare(_) | Op::Select)
}

/// An operand that was repeated, or only got outer axes of size 1, is read as it was before, if the
/// other operands still give the result its shape.
fn absorb_broadcast(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    if !broadcasts(&graph.node(at).op) {
        return Ok(None);
    }
    for (slot, operand) in graph.operands(at).into_iter().enumerate() {
        let Some(source) = before_broadcast(graph, operand) else { continue };
        let patch = with_operand(graph, at, slot, |_| Some(source));
        if patch.is_some() {
            return Ok(patch);
        }
    }
    Ok(None)
}

fn before_broadcast(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let x = only_operand(graph, value.node)?;
    match graph.def(value) {
        Op::Broadcast(_) => Some(x),
        Op::Reshape(op) => {
            let inner = &graph.ty(x).shape;
            let added = op.shape.len().checked_sub(inner.len())?;
            let (outer, rest) = op.shape.split_at(added);
            (rest == inner.as_slice() && outer.iter().all(|dim| dim.is(1))).then_some(x)
        }
        _ => None,
    }
}

/// One value for every element is a scalar where the other operands give the result its shape.
fn shrink_splat(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    if !broadcasts(&graph.node(at).op) {
        return Ok(None);
    }
    for (slot, operand) in graph.operands(at).into_iter().enumerate() {
        let Op::Constant(Constant { ty, values }) = graph.def(operand) else { continue };
        if ty.rank() == 0 || values.len() != 1 {
            continue;
        }
        let scalar = Constant { ty: TensorType::scalar(ty.dtype), values: values.clone() };
        let patch =
            with_operand(graph, at, slot, |patch| patch.value(Op::Constant(scalar), &[]).ok());
        if patch.is_some() {
            return Ok(patch);
        }
    }
    Ok(None)
}

/// The node with another operand in one slot, if its result keeps its type.
fn with_operand(
    graph: &Graph,
    at: NodeId,
    slot: usize,
    operand: impl FnOnce(&mut PatchBuilder<'_>) -> Option<ValueId>,
) -> Option<minuend_ir::Patch> {
    let mut patch = PatchBuilder::new(graph);
    let mut operands = graph.operands(at);
    *operands.get_mut(slot)? = operand(&mut patch)?;
    let new = patch.value(graph.node(at).op.clone(), &operands).ok()?;
    super::replacing(graph, at, patch, new)
}
