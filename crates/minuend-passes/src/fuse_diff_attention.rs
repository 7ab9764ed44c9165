//! Fuses `a_even - sigmoid(lambda) * a_odd` over the heads of an attention to one differential attention.
//!
//! The rule ends at the subtraction. Both sides are followed to an attention and known as views of its
//! result, so it does not matter how heads are selected or axes ordered: what counts is which heads are
//! paired. Only neighbours, which read one K/V head, are; the rest stays as it is, with a remark.

mod lambda;
mod pairs;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use minuend_ir::ops::{Attention, BinaryOp, DiffAttention, HeadPairing};
use minuend_ir::{Emit, Graph, NodeId, Op, Patch, PatchBuilder, ValueId};

use crate::matcher::pair;
use crate::pass::{Pass, PassContext};
use crate::remark::label;
use crate::rewrite::{RewritePass, Rewritten, Rule};
use crate::trail::Trail;
use pairs::Signal;

/// Differential attention from attention.
pub fn pass() -> impl Pass {
    let rules = vec![Rule { name: "fuse-diff-attention", try_at }];
    RewritePass::of_rules("fuse-diff-attention", rules)
}

fn try_at(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    if graph.node(at).op != Op::Binary(BinaryOp::Sub) {
        return Ok(None);
    }
    let Some(difference) = difference(graph, at) else { return Ok(None) };
    match difference.and_then(|difference| fuse(graph, &difference)) {
        Ok(patch) => Ok(Some(patch)),
        Err(reason) => {
            cx.remark(graph, at, reason);
            Ok(None)
        }
    }
}

/// `minuend - gate * subtrahend`. Each trail starts at the subtraction; the first two end at attentions.
struct Difference {
    at: ValueId,
    minuend: Trail,
    subtrahend: Trail,
    gate: Trail,
}

/// One side of a subtraction.
enum Side {
    /// An attention.
    Bare(Trail),
    /// A product of a gate and an attention.
    Gated { signal: Trail, gate: Trail },
}

/// The subtraction as a difference of attentions; `None` if it has nothing to do with them.
fn difference(graph: &Graph, at: NodeId) -> Option<Result<Difference, String>> {
    let (a, b) = pair(graph, at)?;
    let at = at.result(0);
    let (a, b) = (side(graph, at, a)?, side(graph, at, b)?);
    Some(match (a, b) {
        (Side::Bare(minuend), Side::Gated { signal, gate }) => {
            Ok(Difference { at, minuend, subtrahend: signal, gate })
        }
        (Side::Bare(_), Side::Bare(_)) => {
            Err("no lambda (ablation 2): one attention is subtracted \
             from the other as it is, expected a gate sigmoid(lambda)"
                .into())
        }
        (Side::Gated { .. }, Side::Bare(_)) => {
            Err("the product is subtracted from, not subtracted: \
             expected attention - gate * attention"
                .into())
        }
        (Side::Gated { .. }, Side::Gated { .. }) => Err("both attentions are gated (the two-gate \
             form, V3), expected a gate on the subtracted one alone"
            .into()),
    })
}

fn side(graph: &Graph, at: ValueId, operand: ValueId) -> Option<Side> {
    let trail = Trail::from(at).enter(graph, operand).climb(graph);
    match graph.def(trail.at) {
        Op::Attention(_) => Some(Side::Bare(trail)),
        Op::Binary(BinaryOp::Mul) => {
            let (a, b) = pair(graph, trail.at.node)?;
            let gated = |gate, signal| {
                let signal = trail.clone().enter(graph, signal).climb(graph);
                let gate = trail.clone().enter(graph, gate);
                matches!(graph.def(signal.at), Op::Attention(_))
                    .then_some(Side::Gated { signal, gate })
            };
            gated(a, b).or_else(|| gated(b, a))
        }
        _ => None,
    }
}

fn fuse(graph: &Graph, difference: &Difference) -> Result<Patch, String> {
    let logits = lambda::before_sigmoid(graph, difference.gate.clone())?;
    let minuend = Signal::of(graph, &difference.minuend)?;
    let subtrahend = Signal::of(graph, &difference.subtrahend)?;
    let paired = pairs::pair(graph, &minuend, &subtrahend)?;
    let lambda = lambda::reading(graph, logits, &paired)?;
    check_uses(graph, difference)?;

    let Op::Attention(Attention { mask, scale }) = *graph.def(minuend.attention) else {
        return Err(format!("{} is no attention", label(graph, minuend.attention.node)));
    };
    let operands = graph.operands(minuend.attention.node);
    let [q, k, v] = operands.as_slice() else { return Err("an attention reads q, k and v".into()) };
    let dtype = graph.ty(*q).dtype;
    let ty = graph.ty(difference.at);
    let mut patch = PatchBuilder::new(graph);
    let op = DiffAttention { pairing: HeadPairing::Interleaved, mask, scale };
    let queries = match &paired.queries {
        Some(queries) => queries.emit(&mut patch, dtype),
        None => Ok(*q),
    };
    let result = queries
        .and_then(|q| Ok([q, *k, *v, lambda.emit(&mut patch, dtype)?]))
        .and_then(|operands| patch.value(Op::DiffAttention(op), &operands))
        .and_then(|result| patch.cast(result, ty.dtype))
        .map_err(|error| error.to_string())?;
    let result = paired
        .result_layout(graph)
        .and_then(|ops| crate::layout_ops::emit_ops(&mut patch, result, &ops).ok())
        .ok_or("the layout of the difference is no layout of heads")?;
    Ok(patch.replacing(difference.at, result))
}

/// Everything between the attentions and the subtraction must go with the fusion: what else reads an
/// intermediate would have it computed twice.
fn check_uses(graph: &Graph, difference: &Difference) -> Result<(), String> {
    let trails = [&difference.minuend, &difference.subtrahend];
    let inside: BTreeSet<ValueId> =
        trails.iter().flat_map(|trail| trail.passed.iter().copied().chain([trail.at])).collect();
    for value in inside.iter().filter(|value| **value != difference.at) {
        for (user, _) in graph.uses(*value) {
            if inside.contains(&user.result(0)) {
                continue;
            }
            let what = label(graph, value.node);
            let op = &graph.node(user).op;
            return Err(match op {
                Op::Return(_) => format!("{what} is also an output"),
                _ => format!("{what} is also used by {} ({})", label(graph, user), op.mnemonic()),
            });
        }
    }
    Ok(())
}
