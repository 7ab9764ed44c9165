//! From attention weights to the softmax that makes them, and who else reads them.

use minuend_ir::ops::{BinaryOp, CompareOp};
use minuend_ir::{Graph, NodeId, Op, ValueId};

use super::scores::Scores;
use super::{Product, subtract_maps};
use crate::matcher::{pair, real_constant};
use crate::remark::label;
use crate::trail::Trail;

/// How many readers of attention weights are looked at for a product.
const READERS: usize = 64;

/// The softmax of which a value is a view.
pub(super) fn softmax_of(graph: &Graph, weights: ValueId) -> Option<ValueId> {
    let at = climb(graph, Trail::from(weights)).at;
    matches!(graph.def(at), Op::Softmax(_)).then_some(at)
}

/// Passes layout ops, float casts and what puts 0 in the place of NaN, as far as they go.
fn climb(graph: &Graph, mut trail: Trail) -> Trail {
    loop {
        trail = trail.climb(graph);
        match unguarded(graph, trail.at) {
            Some(weights) => trail = trail.enter(graph, weights),
            None => return trail,
        }
    }
}

/// `w` of `select(w != w, 0, w)` or `select(w == w, w, 0)`, which is 0 where `w` is NaN.
fn unguarded(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let operands = graph.operands(value.node);
    let (Op::Select, [condition, a, b]) = (graph.def(value), operands.as_slice()) else {
        return None;
    };
    let (weights, fill) = match graph.def(*condition) {
        Op::Compare(CompareOp::Ne) => (*b, *a),
        Op::Compare(CompareOp::Eq) => (*a, *b),
        _ => return None,
    };
    let is_guard = pair(graph, condition.node) == Some((weights, weights))
        && real_constant(graph, fill) == Some(0.0)
        && graph.ty(weights) == graph.ty(value);
    is_guard.then_some(weights)
}

/// True if a node does nothing with the weights but to ask whether they are NaN, and put 0 there.
fn guards(graph: &Graph, node: NodeId, weights: ValueId) -> bool {
    let is_guarded = |node: NodeId| unguarded(graph, node.result(0)) == Some(weights);
    match graph.node(node).op {
        Op::Compare(_) => graph.uses(node.result(0)).iter().all(|(user, _)| is_guarded(*user)),
        _ => is_guarded(node),
    }
}

/// What the weights are the softmax of.
pub(super) fn scores_of(graph: &Graph, weights: ValueId) -> Result<Scores, String> {
    let trail = climb(graph, Trail::from(weights));
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
            if guards(graph, user, value) {
                if !matches!(op, Op::Compare(_)) {
                    open.push(user.result(0));
                }
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

/// Why a softmax that no product with values reads is no attention: the first edge from the products of
/// queries and keys on that is another one. `None` where a product reads it: that one is the anchor of
/// what there is to say.
pub(super) fn unread(graph: &Graph, softmax: NodeId) -> Option<String> {
    let weights = softmax.result(0);
    let mut open = vec![weights];
    let mut reader = None;
    for _ in 0..READERS {
        let Some(value) = open.pop() else { break };
        for (user, slot) in graph.uses(value) {
            let op = &graph.node(user).op;
            let is_anchor = |product: Product| {
                softmax_of(graph, product.weights).is_some()
                    || subtract_maps::difference(graph, product.weights).is_some()
            };
            if slot == 0 && Product::at(graph, user).is_some_and(is_anchor) {
                return None;
            }
            let is_layout = op.is_view() || matches!(op, Op::Cast(_)) || guards(graph, user, value);
            if !is_layout && reader.is_none() {
                reader = Some((value, user));
            }
            if is_layout || matches!(op, Op::Binary(BinaryOp::Sub | BinaryOp::Mul)) {
                open.push(user.result(0));
            }
        }
    }
    let scores = scores_of(graph, weights);
    Some(match (scores, reader) {
        (Err(reason), _) => reason,
        (Ok(_), Some((value, user))) => format!(
            "the attention weights {} are read by {} ({}), expected a product with values",
            label(graph, value.node),
            label(graph, user),
            graph.node(user).op.mnemonic()
        ),
        (Ok(_), None) => {
            "nothing reads the attention weights, expected a product with values".into()
        }
    })
}
