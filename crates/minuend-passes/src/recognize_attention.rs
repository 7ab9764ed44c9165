//! Raises `softmax(scale * q k^T + mask) v`, however it is spelt, to one attention.
//!
//! The rule ends at the product with `v`. It follows the weights up to a softmax, the softmax's operand
//! up to the product of `q` and `k^T`, and knows at every step which element of the one is which element
//! of the other: heads may be selected behind the softmax, groups of heads may be an axis of their own,
//! keys may be repeated or broadcast. What is not expressible stays as it is, with a remark.

mod build;
mod scores;
mod subtract_maps;
#[cfg(test)]
mod tests;
mod weights;

use minuend_ir::ops::Matmul;
use minuend_ir::{Graph, NodeId, Op, PatchBuilder, ValueId};

use crate::pass::{Pass, PassContext};
use crate::rewrite::{RewritePass, Rewritten, Rule};

/// Attention from matrix products and softmax; and differences of attention weights as differences of
/// attentions.
pub fn pass() -> impl Pass {
    let rules = vec![
        Rule { name: "subtract-attention-maps", try_at: subtract_maps::try_at },
        Rule { name: "recognize-attention", try_at },
    ];
    RewritePass::of_rules("recognize-attention", rules)
}

fn try_at(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let Some((weights, v)) = product(graph, at) else { return Ok(None) };
    let Some(softmax) = weights::softmax_of(graph, weights) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let raised = weights::used_elsewhere(graph, softmax, &[])
        .and_then(|()| attention_of(graph, weights, v))
        .and_then(|attention| attention.emit(graph, &mut patch, graph.ty(at.result(0))));
    match raised {
        Ok(attention) => Ok(Some(patch.replacing(at.result(0), attention))),
        Err(reason) => {
            cx.remark(graph, at, reason);
            Ok(None)
        }
    }
}

/// The operands of a product that is not transposed: weights and values, if it is an attention's second.
fn product(graph: &Graph, at: NodeId) -> Option<(ValueId, ValueId)> {
    match graph.node(at).op {
        Op::Matmul(Matmul { transpose_rhs: false }) => crate::matcher::pair(graph, at),
        _ => None,
    }
}

/// The attention that `weights x v` is, where the weights come from a softmax.
fn attention_of(
    graph: &Graph,
    weights: ValueId,
    v: ValueId,
) -> Result<build::RaisedAttention, String> {
    let scores = weights::scores_of(graph, weights)?;
    build::RaisedAttention::new(graph, scores, weights, v)
}
