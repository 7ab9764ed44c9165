//! From attention weights to the softmax that makes them, and who else reads them.

use minuend_ir::{Graph, NodeId, Op, ValueId};

use super::scores::Scores;
use crate::remark::label;
use crate::trail::Trail;

/// The softmax of which a value is a view.
pub(super) fn softmax_of(graph: &Graph, weights: ValueId) -> Option<ValueId> {
    let at = Trail::from(weights).climb(graph).at;
    matches!(graph.def(at), Op::Softmax(_)).then_some(at)
}

/// What the weights are the softmax of.
pub(super) fn scores_of(graph: &Graph, weights: ValueId) -> Result<Scores, String> {
    let trail = Trail::from(weights).climb(graph);
    let at = trail.at;
    let Op::Softmax(softmax) = graph.def(at) else {
        return Err(format!("{} is no softmax", label(graph, at.node)));
    };
    let last = graph.ty(at).rank().saturating_sub(1);
    if softmax.axis != last {
        return Err(format!(
            "{} is a softmax over axis {}, expected the last, {last}",
            label(graph, at.node),
            softmax.axis
        ));
    }
    match graph.operand(at.node, 0) {
        Some(operand) => Scores::of(graph, trail.enter(graph, operand)),
        None => Err(format!("{} has no operand", label(graph, at.node))),
    }
}

/// An error that names who reads the weights other than products with values and the nodes in
/// `allowed`: a fused attention would compute the weights once more for it.
pub(super) fn used_elsewhere(
    graph: &Graph,
    weights: ValueId,
    allowed: &[NodeId],
) -> Result<(), String> {
    let mut open = vec![weights];
    while let Some(value) = open.pop() {
        for (user, slot) in graph.uses(value) {
            let op = &graph.node(user).op;
            if allowed.contains(&user) || matches!((op, slot), (Op::Matmul(_), 0)) {
                continue;
            }
            let is_layout = op.is_view() || matches!(op, Op::Cast(_));
            if is_layout && graph.ty(user.result(0)).dtype.is_float() {
                open.push(user.result(0));
                continue;
            }
            let weights = label(graph, value.node);
            if matches!(op, Op::Return(_)) {
                return Err(format!("the attention weights {weights} are also an output"));
            }
            let reader = format!("{} ({})", label(graph, user), op.mnemonic());
            return Err(format!("the attention weights {weights} are also used by {reader}"));
        }
    }
    Ok(())
}
