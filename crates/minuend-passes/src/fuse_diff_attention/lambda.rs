//! The gate: lambda before its sigmoid, as `[B, h, S, 1]`.

use minuend_ir::ops::{Reshape, Transpose, UnaryOp};
use minuend_ir::view::View;
use minuend_ir::{Dim, Graph, Op, Shape};

use super::pairs::Paired;
use crate::layout_ops::view_of;
use crate::matcher::real_constant;
use crate::reading::{Reading, sources};
use crate::remark::label;
use crate::trail::Trail;

/// A trail to what the gate is the sigmoid of. `gate` is a trail to the gate.
pub(super) fn before_sigmoid(graph: &Graph, gate: Trail) -> Result<Trail, String> {
    if let Some(value) = real_constant(graph, gate.at) {
        return Err(format!("lambda is the constant {value}, expected sigmoid(lambda)"));
    }
    let gate = gate.climb(graph);
    let name = label(graph, gate.at.node);
    if graph.ty(gate.at).elements().is(1) {
        return Err(format!(
            "lambda {name} is one number for the layer (DIFF V1), expected one per token and head \
             behind a sigmoid"
        ));
    }
    match (graph.def(gate.at), graph.operand(gate.at.node, 0)) {
        (Op::Unary(UnaryOp::Sigmoid), Some(lambda)) => Ok(gate.enter(graph, lambda)),
        (op, _) => Err(format!(
            "lambda is not behind a sigmoid (ablation 3): the gate is {name} ({})",
            op.mnemonic()
        )),
    }
}

/// Lambda as the fused op reads it. `trail` leads from the difference to lambda.
pub(super) fn reading(graph: &Graph, trail: Trail, paired: &Paired) -> Result<Reading, String> {
    let name = label(graph, trail.at.node);
    let view = trail.view(graph).and_then(|view| in_result_order(&view, paired));
    let Some(view) = view else {
        return Err(format!("the layout of lambda {name} is not that of the difference"));
    };
    if !is_repeated_along_features(&view) {
        return Err(format!("lambda {name} varies along the features"));
    }
    let column = |view: View| {
        let view = in_result_order(&view, paired)?;
        let [batch, heads, tokens, _] = view.axes() else { return None };
        view_of(view.offset.clone(), &[batch, heads, tokens, &[]])
    };
    Reading::best(graph, sources(graph, trail, column).into_iter())
        .ok_or_else(|| format!("lambda {name} cannot be read as [B, heads, S, 1] by layout ops"))
}

/// The view of the difference's shape as one of the result's, `[B, h, S, d_v]`.
fn in_result_order(view: &View, paired: &Paired) -> Option<View> {
    let sizes = paired.pieces.axes.iter().flatten().map(|piece| piece.size.clone());
    let split: Shape = sizes.collect();
    let perm = paired.pieces.in_base_order()?;
    view.apply(&Op::Reshape(Reshape { shape: split }))?
        .apply(&Op::Transpose(Transpose { perm }))?
        .apply(&Op::Reshape(Reshape { shape: paired.shape.clone() }))
}

fn is_repeated_along_features(view: &View) -> bool {
    let features = view.axes().last();
    features.is_some_and(|factors| factors.iter().all(|factor| factor.stride == Dim::zero()))
}
