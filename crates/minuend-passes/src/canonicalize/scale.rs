//! Scales behind matrix products: `(q c) k` is `(q k) c`.
//!
//! Exporters scale the queries, the scores, or queries and keys by a root each. Behind the product all
//! of them are one factor of the scores.

use minuend_ir::ops::BinaryOp;
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::arithmetic::{by_constant, scaled};
use super::stored_weight::is_stored;
use super::{only_operand, replacing};
use crate::matcher::{as_binary, pair};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "sink-scale", try_at: sink_scale },
        Rule { name: "hoist-scale", try_at: hoist_scale },
    ]
}

/// A layout op that moves every element once stands in front of a scale that only it reads.
fn sink_scale(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    let Some(product) = only_operand(graph, at) else { return Ok(None) };
    if !matches!(op, Op::Reshape(_) | Op::Transpose(_)) || !graph.has_one_use(product) {
        return Ok(None);
    }
    let Some((x, factor)) = scale_at(graph, product) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let moved = patch.value(op.clone(), &[x])?;
    let new = scaled(&mut patch, moved, factor, graph.ty(at.result(0)))?;
    Ok(replacing(graph, at, patch, new))
}

/// `x` and `c` of `x * c`, where the product has the type of `x`.
fn scale_at(graph: &Graph, value: ValueId) -> Option<(ValueId, f64)> {
    let (x, factor) = by_constant(graph, as_binary(graph, value, BinaryOp::Mul)?)?;
    // A factor of 0 or infinity does not commute with a sum that holds infinities.
    (factor.is_normal() && graph.ty(x) == graph.ty(value)).then_some((x, factor))
}

/// Left alone where the other side is a weight: a scale in front of a projection is no attention scale.
fn hoist_scale(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Matmul(op) = graph.node(at).op else { return Ok(None) };
    let Some((lhs, rhs)) = pair(graph, at) else { return Ok(None) };
    for (operand, other, is_lhs) in [(lhs, rhs, true), (rhs, lhs, false)] {
        if is_stored(graph, other) {
            continue;
        }
        let Some(product) = find_scale(graph, operand) else { continue };
        let mut patch = PatchBuilder::new(graph);
        let mut bare = product.x;
        for node in product.between.iter().rev() {
            bare = patch.value(graph.node(*node).op.clone(), &[bare])?;
        }
        let operands = if is_lhs { [bare, rhs] } else { [lhs, bare] };
        let unscaled = patch.value(Op::Matmul(op), &operands)?;
        let new = scaled(&mut patch, unscaled, product.factor, graph.ty(at.result(0)))?;
        return Ok(replacing(graph, at, patch, new));
    }
    Ok(None)
}

struct ScaledOperand {
    x: ValueId,
    factor: f64,
    /// Layout ops and float casts behind the scale, last first.
    between: Vec<NodeId>,
}

fn find_scale(graph: &Graph, operand: ValueId) -> Option<ScaledOperand> {
    let mut between = Vec::new();
    let mut value = operand;
    loop {
        if let Some((x, factor)) = scale_at(graph, value) {
            return Some(ScaledOperand { x, factor, between });
        }
        let source = only_operand(graph, value.node)?;
        let is_float = graph.ty(source).dtype.is_float();
        if !(graph.def(value).is_view() || matches!(graph.def(value), Op::Cast(_)) && is_float) {
            return None;
        }
        between.push(value.node);
        value = source;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{Ran, dim, graph_of, run};
    use minuend_ir::ops::Matmul;
    use minuend_ir::{DType, Dim, TensorType};

    fn tensor(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
        graph.argument(name, TensorType::fixed(DType::F32, shape)).unwrap()
    }

    fn times(graph: &mut Graph, x: ValueId, factor: f64) -> ValueId {
        let factor = graph.real(DType::F32, factor).unwrap();
        graph.mul(x, factor).unwrap()
    }

    fn factor(ran: &Ran) -> f64 {
        let result = ran.graph.outputs()[0];
        let operands = as_binary(&ran.graph, result, BinaryOp::Mul).unwrap();
        by_constant(&ran.graph, operands).unwrap().1
    }

    #[test]
    fn roots_on_both_sides_become_one_scale() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[2, 4, 3, 8]);
            let k = tensor(graph, "k", &[2, 3, 4, 8]);
            let q = times(graph, q, 0.5);
            let k = times(graph, k, 0.25);
            let k = graph.transpose(k, &[0, 2, 1, 3]).unwrap();
            let k = graph.swap_last_axes(k).unwrap();
            vec![graph.matmul(q, k).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!(ran.ops(), ["transpose", "matmul", "mul"]);
        assert_eq!(factor(&ran), 0.125);
    }

    #[test]
    fn layout_ops_and_float_casts_lie_between() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[2, 3, 8]);
            let k = tensor(graph, "k", &[2, 5, 8]);
            let q = times(graph, q, 3.0);
            let q = graph.cast(q, DType::Bf16).unwrap();
            let q = graph.reshape(q, &[2.into(), 1.into(), 3.into(), Dim::from(8)]).unwrap();
            vec![graph.matmul_transposed(q, k).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!(ran.ops(), ["cast", "reshape", "matmul", "mul"]);
    }

    #[test]
    fn an_exported_attention_has_one_scale_behind_its_scores() {
        let graph = graph_of(|graph| {
            let (b, s) = (dim(graph, "B"), dim(graph, "S"));
            let mut tensor = |name: &str, heads: i64| {
                let shape = [b.clone(), s.clone(), Dim::from(heads), Dim::from(8)];
                graph.argument(name, TensorType::new(DType::F32, shape)).unwrap()
            };
            let (q, k) = (tensor("q", 4), tensor("k", 2));
            let merged = &b * 4;
            let q = graph.transpose(q, &[0, 2, 1, 3]).unwrap();
            let q = times(graph, q, 0.5);
            let q = graph.reshape(q, &[merged.clone(), s.clone(), Dim::from(8)]).unwrap();
            let k = graph.transpose(k, &[0, 2, 1, 3]).unwrap();
            let k = graph.repeat_interleaved(k, 1, &Dim::from(2)).unwrap();
            let k = graph.swap_last_axes(k).unwrap();
            let k = times(graph, k, 0.5);
            let k = graph.reshape(k, &[merged, Dim::from(8), s.clone()]).unwrap();
            let scores = graph.matmul(q, k).unwrap();
            vec![graph.reshape(scores, &[b.clone(), Dim::from(4), s.clone(), s]).unwrap()]
        });
        let ran = run(&graph, &pass(), &[("B", 2), ("S", 3)]);
        let expected = ["transpose", "transpose", "reshape", "broadcast", "reshape"];
        assert_eq!(ran.ops(), [&expected[..], &["matmul", "mul"]].concat());
        assert_eq!(factor(&ran), 0.25);
        assert_eq!(ran.the("matmul"), &Op::Matmul(Matmul { transpose_rhs: true }));
    }

    #[test]
    fn a_scale_with_other_readers_stays_in_front_of_layout_ops() {
        let graph = graph_of(|graph| {
            let x = tensor(graph, "x", &[3, 8]);
            let x = times(graph, x, 3.0);
            vec![graph.transpose(x, &[1, 0]).unwrap(), x]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["mul", "transpose"]);
    }

    #[test]
    fn a_scale_in_front_of_a_projection_stays() {
        let graph = graph_of(|graph| {
            let x = tensor(graph, "x", &[3, 8]);
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[5, 8])).unwrap();
            let x = times(graph, x, 3.0);
            vec![graph.matmul_transposed(x, w).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["mul", "matmul"]);
    }

    #[test]
    fn what_is_no_constant_factor_stays() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[3, 8]);
            let k = tensor(graph, "k", &[5, 8]);
            let gain = tensor(graph, "gain", &[]);
            let q = graph.mul(q, gain).unwrap();
            let k = times(graph, k, 0.0);
            vec![graph.matmul_transposed(q, k).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["mul", "mul", "matmul"]);
    }
}
