//! One spelling per idiom: what later passes match, they match in one form only.
//!
//! Every rule either makes the graph smaller or moves it towards a form that no rule leaves again:
//! constants to the right, scales behind products, masks as truth values, weights as they are stored.

mod arithmetic;
mod choice;
mod implicit_broadcast;
mod indexing;
mod layout;
mod matmul;
#[cfg(test)]
mod random_graphs;
mod scale;
mod softmax;
mod stored_weight;
mod truth;

use minuend_ir::{Emit, Graph, NodeId, Patch, PatchBuilder, ValueId};

use crate::rewrite::RewritePass;

/// The pass `canonicalize`.
pub fn pass() -> RewritePass {
    let families = [
        layout::rules(),
        indexing::rules(),
        implicit_broadcast::rules(),
        arithmetic::rules(),
        truth::rules(),
        choice::rules(),
        softmax::rules(),
        scale::rules(),
        stored_weight::rules(),
        matmul::rules(),
    ];
    RewritePass::of_rules("canonicalize", families.into_iter().flatten().collect())
}

/// The edit that puts `new` in the place of a node's only result; none if their types differ.
fn replacing(graph: &Graph, at: NodeId, patch: PatchBuilder<'_>, new: ValueId) -> Option<Patch> {
    let old = at.result(0);
    (patch.type_of(new) == graph.ty(old)).then(|| patch.replacing(old, new))
}

/// The operand of a node that has exactly one.
fn only_operand(graph: &Graph, at: NodeId) -> Option<ValueId> {
    match graph.operands(at).as_slice() {
        [x] => Some(*x),
        _ => None,
    }
}
