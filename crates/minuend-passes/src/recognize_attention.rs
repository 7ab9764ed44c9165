//! Raises `softmax(scale * q k^T + mask) v`, however it is spelt, to one attention.
//!
//! The rule ends at the product with `v`. It follows the weights up to a softmax, the softmax's operand
//! up to the product of `q` and `k^T`, and knows at every step which element of the one is which element
//! of the other: heads may be selected behind the softmax, groups of heads may be an axis of their own,
//! keys may be repeated or broadcast. What is not expressible stays as it is, with a remark: a softmax
//! that is still there has one that names the first edge which did not match.
//!
//! Exporters of attention may put 0 where the weights are NaN, for rows that see no key. Every mask that
//! the IR knows shows each row a key, so that this does nothing, and it goes with the fusion. It then no
//! longer hides scores that are NaN or infinite themselves: what such a row gives stays NaN.

mod build;
mod scores;
mod subtract_maps;
#[cfg(test)]
mod tests;
mod weights;

use minuend_ir::{Graph, NodeId, Op, PatchBuilder, ValueId};

use crate::matcher::pair;
use crate::pass::{Pass, PassContext};
use crate::rewrite::{RewritePass, Rewritten, Rule};
use build::RaisedAttention;

/// Attention from matrix products and softmax; and differences of attention weights as differences of
/// attentions.
pub fn pass() -> impl Pass {
    let rules = vec![
        Rule { name: "subtract-attention-maps", try_at: subtract_maps::try_at },
        Rule { name: "recognize-attention", try_at },
        Rule { name: "explain-softmax", try_at: explain },
    ];
    RewritePass::of_rules("recognize-attention", rules)
}

fn try_at(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let Some(product) = Product::at(graph, at) else { return Ok(None) };
    let Some(softmax) = weights::softmax_of(graph, product.weights) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let raised = weights::used_elsewhere(graph, softmax, &[])
        .and_then(|()| RaisedAttention::of(graph, product))
        .and_then(|attention| attention.emit(graph, &mut patch, at.result(0)));
    match raised {
        Ok(()) => Ok(Some(patch.finish())),
        Err(reason) => {
            cx.remark(graph, at, reason);
            Ok(None)
        }
    }
}

/// Says why a softmax is left that no product reads; never an edit.
fn explain(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    if matches!(graph.node(at).op, Op::Softmax(_))
        && let Some(reason) = weights::unread(graph, at)
    {
        cx.remark(graph, at, reason);
    }
    Ok(None)
}

/// `weights x values`, the second product of an attention.
#[derive(Clone, Copy)]
struct Product {
    weights: ValueId,
    values: ValueId,
    /// The values are given as `[.., d_v, T]`.
    is_transposed: bool,
}

impl Product {
    fn at(graph: &Graph, at: NodeId) -> Option<Product> {
        let Op::Matmul(product) = graph.node(at).op else { return None };
        let (weights, values) = pair(graph, at)?;
        Some(Product { weights, values, is_transposed: product.transpose_rhs })
    }
}
