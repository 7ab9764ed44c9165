//! Weights are read as they are stored: products and norms widen them exactly.

use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::{only_operand, replacing};
use crate::matcher::pair;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "matmul-by-stored-weight", try_at: matmul_by_stored_weight },
        Rule { name: "norm-by-stored-weight", try_at: norm_by_stored_weight },
    ]
}

/// True for a weight, seen through layout ops and casts.
pub(super) fn is_stored(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        let op = graph.def(value);
        let source = graph.operand(value.node, 0);
        match (op, source) {
            (Op::Weight(_), _) => return true,
            (op, Some(source)) if op.is_view() || matches!(op, Op::Cast(_)) => value = source,
            _ => return false,
        }
    }
}

/// The weight, or the view of one, that a cast widens exactly.
fn before_widening(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let Op::Cast(cast) = graph.def(value) else { return None };
    let source = only_operand(graph, value.node)?;
    let dtype = graph.ty(source).dtype;
    (dtype.is_float() && dtype.widens_to(cast.to) && is_stored(graph, source)).then_some(source)
}

fn matmul_by_stored_weight(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Matmul(op) = graph.node(at).op else { return Ok(None) };
    let Some((lhs, rhs)) = pair(graph, at) else { return Ok(None) };
    let Some(stored) = before_widening(graph, rhs) else { return Ok(None) };
    if graph.ty(rhs).dtype != graph.ty(lhs).dtype {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.value(Op::Matmul(op), &[lhs, stored])?;
    Ok(replacing(graph, at, patch, new))
}

fn norm_by_stored_weight(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    if !matches!(op, Op::RmsNorm(_) | Op::AddRmsNorm(_)) {
        return Ok(None);
    }
    let mut operands = graph.operands(at);
    let Some(weight) = operands.last_mut() else { return Ok(None) };
    let Some(stored) = before_widening(graph, *weight) else { return Ok(None) };
    *weight = stored;
    let mut patch = PatchBuilder::new(graph);
    let new = patch.emit(op.clone(), &operands)?;
    for result in (0u16..).take(graph.node(at).results.len()) {
        patch.replace(at.result(result), new.result(result));
    }
    Ok(Some(patch.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::RmsNorm;
    use minuend_ir::{DType, Real, TensorType};

    fn projected(stored: DType, cast: DType, transposed_behind: bool) -> Vec<&'static str> {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(cast, &[3, 8])).unwrap();
            let w = graph.weight("w", TensorType::fixed(stored, &[5, 8])).unwrap();
            let w = if transposed_behind {
                let w = graph.cast(w, cast).unwrap();
                graph.transpose(w, &[1, 0]).unwrap()
            } else {
                let w = graph.transpose(w, &[1, 0]).unwrap();
                graph.cast(w, cast).unwrap()
            };
            vec![graph.matmul(x, w).unwrap()]
        });
        run(&graph, &pass(), &[]).ops()
    }

    #[test]
    fn a_product_widens_its_weight() {
        assert_eq!(projected(DType::Bf16, DType::F32, true), ["matmul"]);
        assert_eq!(projected(DType::Bf16, DType::F32, false), ["matmul"]);
    }

    #[test]
    fn a_rounding_cast_stays() {
        assert_eq!(projected(DType::F32, DType::Bf16, true), ["cast", "matmul"]);
        assert_eq!(projected(DType::F16, DType::Bf16, true), ["cast", "matmul"]);
    }

    #[test]
    fn a_widened_activation_stays() {
        let graph = graph_of(|graph| {
            let q = graph.argument("q", TensorType::fixed(DType::F32, &[3, 8])).unwrap();
            let k = graph.argument("k", TensorType::fixed(DType::Bf16, &[5, 8])).unwrap();
            let k = graph.cast(k, DType::F32).unwrap();
            vec![graph.matmul_transposed(q, k).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["cast", "matmul"]);
    }

    #[test]
    fn a_norm_widens_its_weight() {
        let op = RmsNorm { epsilon: Real::new(1e-6) };
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[3, 8])).unwrap();
            let w = graph.weight("w", TensorType::fixed(DType::Bf16, &[8])).unwrap();
            let w = graph.cast(w, DType::F32).unwrap();
            let alone = graph.value(Op::RmsNorm(op), &[x, w]).unwrap();
            let both = graph.emit(Op::AddRmsNorm(op), &[x, alone, w]).unwrap();
            vec![both.result(0), both.result(1)]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["rms_norm", "add_rms_norm"]);
    }
}
