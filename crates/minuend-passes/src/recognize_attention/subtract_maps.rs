//! `(p0 - g p1) v = p0 v - g (p1 v)` for attention weights `p0` and `p1` and a gate `g` that is the same
//! for every key: a difference of attention weights is a difference of two attentions.

use minuend_ir::ops::{BinaryOp, Slice};
use minuend_ir::{Emit, Graph, NodeId, Patch, PatchBuilder, TypeError, ValueId};

use super::build::RaisedAttention;
use super::{Product, weights};
use crate::matcher::{as_binary, match_commutative, without_float_casts};
use crate::pass::PassContext;
use crate::rewrite::Rewritten;
use crate::trail::Trail;

/// A gated difference of attention weights.
pub(super) struct Difference {
    minuend: ValueId,
    gate: ValueId,
    subtrahend: ValueId,
    /// The difference and the gated weights.
    inner: [NodeId; 2],
}

pub(super) fn try_at(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let Some(product) = Product::at(graph, at) else { return Ok(None) };
    let Some(difference) = difference(graph, product.weights) else { return Ok(None) };
    let distributed = check(graph, &difference, product)
        .and_then(|()| Gate::of(graph, difference.gate))
        .and_then(|gate| {
            distribute(graph, at, &difference, &gate).map_err(|error| error.to_string())
        });
    match distributed {
        Ok(patch) => Ok(Some(patch)),
        Err(reason) => {
            cx.remark(graph, at, reason);
            Ok(None)
        }
    }
}

fn distribute(
    graph: &Graph,
    at: NodeId,
    difference: &Difference,
    gate: &Gate,
) -> Result<Patch, TypeError> {
    let mut patch = PatchBuilder::new(graph);
    let operands = graph.operands(at);
    let dtype = graph.ty(at.result(0)).dtype;
    let mut part = |weights| -> Result<ValueId, TypeError> {
        let mut operands = operands.clone();
        operands[0] = patch.cast(weights, dtype)?;
        patch.value(graph.node(at).op.clone(), &operands)
    };
    let minuend = part(difference.minuend)?;
    let subtrahend = part(difference.subtrahend)?;
    let gate = gate.emit(&mut patch)?;
    let gate = patch.cast(gate, dtype)?;
    let gated = patch.mul(gate, subtrahend)?;
    let result = patch.sub(minuend, gated)?;
    Ok(patch.replacing(at.result(0), result))
}

/// The difference that a value is, if the parts of it are attention weights.
pub(super) fn difference(graph: &Graph, value: ValueId) -> Option<Difference> {
    let value = without_float_casts(graph, value);
    let (minuend, gated) = as_binary(graph, value, BinaryOp::Sub)?;
    weights::softmax_of(graph, minuend)?;
    let gated = without_float_casts(graph, gated);
    let operands = as_binary(graph, gated, BinaryOp::Mul)?;
    match_commutative(operands, |gate, subtrahend| {
        weights::softmax_of(graph, subtrahend)?;
        Some(Difference { minuend, gate, subtrahend, inner: [value.node, gated.node] })
    })
}

/// Both weights must become attentions: else there would only be more products than before.
fn check(graph: &Graph, difference: &Difference, product: Product) -> Result<(), String> {
    let [sub, mul] = difference.inner;
    weights::used_elsewhere(graph, sub.result(0), &[])?;
    weights::used_elsewhere(graph, mul.result(0), &[sub])?;
    for part in [difference.minuend, difference.subtrahend] {
        if let Some(softmax) = weights::softmax_of(graph, part) {
            weights::used_elsewhere(graph, softmax, &difference.inner)?;
        }
        RaisedAttention::of(graph, Product { weights: part, ..product })?;
    }
    Ok(())
}

/// A gate that is the same for every key.
enum Gate {
    /// Its last axis has size 1, or it has no axes.
    Narrow(ValueId),
    /// It is repeated along its last axis.
    Repeated(ValueId),
}

impl Gate {
    fn of(graph: &Graph, gate: ValueId) -> Result<Gate, String> {
        if graph.ty(gate).shape.last().is_none_or(|keys| keys.is(1)) {
            return Ok(Gate::Narrow(gate));
        }
        let view = Trail::from(gate).climb(graph).view(graph);
        let is_repeated = view.is_some_and(|view| {
            let keys = view.axes().last();
            keys.is_some_and(|keys| keys.iter().all(|factor| factor.stride.is(0)))
        });
        let keys = graph.ty(gate).shape.last();
        let has_keys = keys.is_some_and(|keys| keys.at_least(1, graph.symbols()));
        if is_repeated && has_keys {
            Ok(Gate::Repeated(gate))
        } else {
            Err("the subtracted attention weights are gated differently for each key".into())
        }
    }

    fn emit(&self, patch: &mut PatchBuilder<'_>) -> Result<ValueId, TypeError> {
        match *self {
            Gate::Narrow(gate) => Ok(gate),
            Gate::Repeated(gate) => {
                let last = patch.type_of(gate).rank().saturating_sub(1);
                patch.slice(gate, Slice::range(last, 0, 1))
            }
        }
    }
}
