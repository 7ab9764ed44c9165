//! Truth values: one spelling for negations, and nothing that is decided already.

use minuend_ir::ops::{BinaryOp, CompareOp, Constant, Literal, UnaryOp};
use minuend_ir::{DType, Emit, Graph, NodeId, Op, PatchBuilder, TensorType, ValueId};

use super::choice::splat;
use super::replacing;
use crate::fold_constants::element::Element;
use crate::matcher::{as_unary, opposite, pair};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "drop-double-not", try_at: drop_double_not },
        Rule { name: "negate-comparison", try_at: negate_comparison },
        Rule { name: "decide-truth", try_at: decide_truth },
        Rule { name: "compare-with-itself", try_at: compare_with_itself },
        Rule { name: "select-by-not", try_at: select_by_not },
        Rule { name: "decide-select", try_at: decide_select },
        Rule { name: "select-truth", try_at: select_truth },
    ]
}

/// The truth value that every element is.
fn truth(graph: &Graph, value: ValueId) -> Option<bool> {
    match splat(graph, value)? {
        Element::Bool(truth) => Some(truth),
        Element::Real(_) | Element::Int(_) => None,
    }
}

/// The edit that puts `new`, repeated to the shape of the node's result, in the place of the result.
fn repeated(graph: &Graph, at: NodeId, mut patch: PatchBuilder<'_>, new: ValueId) -> Rewritten {
    let new = patch.broadcast(new, &graph.ty(at.result(0)).shape)?;
    Ok(replacing(graph, at, patch, new))
}

fn decided(graph: &Graph, at: NodeId, truth: bool) -> Rewritten {
    let mut patch = PatchBuilder::new(graph);
    let ty = TensorType::scalar(DType::Bool);
    let values = Literal::Bools([truth].into());
    let new = patch.value(Op::Constant(Constant { ty, values }), &[])?;
    repeated(graph, at, patch, new)
}

fn drop_double_not(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let inner = as_unary(graph, at.result(0), UnaryOp::Not);
    let Some(x) = inner.and_then(|inner| as_unary(graph, inner, UnaryOp::Not)) else {
        return Ok(None);
    };
    Ok(replacing(graph, at, PatchBuilder::new(graph), x))
}

/// `not(a < b)` is `a >= b`, of integers; of floats, where one may be a NaN, only equality has an
/// opposite.
fn negate_comparison(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some(compared) = as_unary(graph, at.result(0), UnaryOp::Not) else { return Ok(None) };
    let Op::Compare(op) = *graph.def(compared) else { return Ok(None) };
    let Some((a, b)) = pair(graph, compared.node) else { return Ok(None) };
    let is_equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
    if !is_equality && !graph.ty(a).dtype.is_int() {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.compare(opposite(op), a, b)?;
    Ok(replacing(graph, at, patch, new))
}

/// `and` and `or` with what is always true or false, or with the same value.
fn decide_truth(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Binary(op @ (BinaryOp::And | BinaryOp::Or)) = graph.node(at).op else {
        return Ok(None);
    };
    let Some((a, b)) = pair(graph, at) else { return Ok(None) };
    let neutral = op == BinaryOp::And;
    for (x, other) in [(a, b), (b, a)] {
        match truth(graph, other) {
            Some(truth) if truth == neutral => {
                return repeated(graph, at, PatchBuilder::new(graph), x);
            }
            Some(truth) => return decided(graph, at, truth),
            None if x == other => return Ok(replacing(graph, at, PatchBuilder::new(graph), x)),
            None => {}
        }
    }
    Ok(None)
}

/// A comparison of integers with themselves. Floats may be NaN, which equals nothing.
fn compare_with_itself(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Compare(op) = graph.node(at).op else { return Ok(None) };
    match pair(graph, at) {
        Some((a, b)) if a == b && graph.ty(a).dtype.is_int() => {
            let holds = matches!(op, CompareOp::Eq | CompareOp::Le | CompareOp::Ge);
            decided(graph, at, holds)
        }
        _ => Ok(None),
    }
}

fn select_operands(graph: &Graph, at: NodeId) -> Option<[ValueId; 3]> {
    if graph.node(at).op != Op::Select {
        return None;
    }
    graph.operands(at).as_slice().try_into().ok()
}

/// `select(not c, a, b)` is `select(c, b, a)`.
fn select_by_not(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some([condition, a, b]) = select_operands(graph, at) else { return Ok(None) };
    let Some(condition) = as_unary(graph, condition, UnaryOp::Not) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.select(condition, b, a)?;
    Ok(replacing(graph, at, patch, new))
}

/// A choice that is decided: by a constant, by equal sides, or by the same condition on one side.
fn decide_select(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some([condition, a, b]) = select_operands(graph, at) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    if let Some(truth) = truth(graph, condition) {
        return repeated(graph, at, patch, if truth { a } else { b });
    }
    let is_same = a == b || splat(graph, a).is_some_and(|a| splat(graph, b) == Some(a));
    if is_same {
        return repeated(graph, at, patch, a);
    }
    // The side that the same condition takes within `side`.
    let taken = |side: ValueId, index: usize| {
        let inner = select_operands(graph, side.node)?;
        (inner[0] == condition).then_some(inner[index])
    };
    let (a, b) = match (taken(a, 1), taken(b, 2)) {
        (None, None) => return Ok(None),
        (inner_a, inner_b) => (inner_a.unwrap_or(a), inner_b.unwrap_or(b)),
    };
    let new = patch.select(condition, a, b)?;
    repeated(graph, at, patch, new)
}

/// A choice of truth values is `and`, `or` or the condition itself.
fn select_truth(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some([condition, a, b]) = select_operands(graph, at) else { return Ok(None) };
    if graph.ty(a).dtype != DType::Bool {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = match (truth(graph, a), truth(graph, b)) {
        (Some(true), Some(false)) => condition,
        (Some(true), None) => patch.binary(BinaryOp::Or, condition, b)?,
        (None, Some(false)) => patch.binary(BinaryOp::And, condition, a)?,
        (Some(false), other) => {
            let not = patch.unary(UnaryOp::Not, condition)?;
            if other.is_some() { not } else { patch.binary(BinaryOp::And, not, b)? }
        }
        (None, Some(true)) => {
            let not = patch.unary(UnaryOp::Not, condition)?;
            patch.binary(BinaryOp::Or, not, a)?
        }
        _ => return Ok(None),
    };
    repeated(graph, at, patch, new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{Ran, graph_of, run};
    use minuend_ir::Emitted;

    /// The pass on what `build` makes of a truth value `[2, 3]` and one `[3]`.
    fn ran(build: impl Fn(&mut Graph, ValueId, ValueId) -> Emitted) -> Ran {
        let graph = graph_of(|graph| {
            let a = graph.argument("a", TensorType::fixed(DType::Bool, &[2, 3])).unwrap();
            let b = graph.argument("b", TensorType::fixed(DType::Bool, &[3])).unwrap();
            vec![build(graph, a, b).unwrap()]
        });
        run(&graph, &pass(), &[])
    }

    fn constant(graph: &mut Graph, truth: bool) -> ValueId {
        let ty = TensorType::fixed(DType::Bool, &[2, 3]);
        let values = Literal::Bools([truth].into());
        graph.value(Op::Constant(Constant { ty, values }), &[]).unwrap()
    }

    fn compared(graph: &mut Graph, dtype: DType, op: CompareOp) -> Emitted {
        let x = graph.argument("x", TensorType::fixed(dtype, &[2, 3])).unwrap();
        let y = graph.argument("y", TensorType::fixed(dtype, &[2, 3])).unwrap();
        graph.compare(op, x, y)
    }

    #[test]
    fn negations_meet() {
        let twice = ran(|graph, a, _| {
            let a = graph.unary(UnaryOp::Not, a)?;
            graph.unary(UnaryOp::Not, a)
        });
        assert!(twice.ops().is_empty());
        for (dtype, op, left) in [
            (DType::I64, CompareOp::Lt, vec!["ge"]),
            (DType::I64, CompareOp::Eq, vec!["ne"]),
            (DType::F32, CompareOp::Ne, vec!["eq"]),
            (DType::F32, CompareOp::Lt, vec!["lt", "not"]),
        ] {
            let result = ran(|graph, _, _| {
                let compared = compared(graph, dtype, op)?;
                graph.unary(UnaryOp::Not, compared)
            });
            assert_eq!(result.ops(), left);
        }
        let branches = ran(|graph, a, _| {
            let (x, y) = (graph.real(DType::F32, 1.0)?, graph.real(DType::F32, 2.0)?);
            let not = graph.unary(UnaryOp::Not, a)?;
            graph.select(not, x, y)
        });
        assert_eq!(branches.ops(), ["select"]);
    }

    #[test]
    fn constants_decide() {
        for (op, truth, left) in [
            (BinaryOp::And, true, vec!["broadcast"]),
            (BinaryOp::And, false, vec![]),
            (BinaryOp::Or, false, vec!["broadcast"]),
            (BinaryOp::Or, true, vec![]),
        ] {
            let result = ran(|graph, _, b| {
                let constant = constant(graph, truth);
                graph.binary(op, constant, b)
            });
            let ops = result.ops();
            assert!(ops == left || (left.is_empty() && ops == ["broadcast"]), "{op:?} {ops:?}");
        }
        let same = ran(|graph, a, _| graph.binary(BinaryOp::Or, a, a));
        assert!(same.ops().is_empty());
        for truth in [true, false] {
            let chosen = ran(|graph, _, _| {
                let condition = constant(graph, truth);
                let x = graph.argument("x", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
                let y = graph.argument("y", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
                graph.select(condition, x, y)
            });
            assert!(chosen.ops().is_empty());
        }
    }

    #[test]
    fn choices_of_truth_values_are_and_or() {
        for (first, second, left) in [
            (Some(true), Some(false), vec![]),
            (Some(false), Some(true), vec!["not"]),
            (Some(true), None, vec!["or"]),
            (Some(false), None, vec!["not", "and"]),
            (None, Some(true), vec!["not", "or"]),
            (None, Some(false), vec!["and"]),
            (None, None, vec!["select"]),
        ] {
            let result = ran(|graph, a, b| {
                let c = graph.argument("c", TensorType::fixed(DType::Bool, &[3])).unwrap();
                let first = first.map_or(b, |truth| constant(graph, truth));
                let second = second.map_or(c, |truth| constant(graph, truth));
                graph.select(a, first, second)
            });
            assert_eq!(result.ops(), left, "{first:?} {second:?}");
        }
    }

    #[test]
    fn one_condition_decides_once() {
        let nested = ran(|graph, a, _| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
            let y = graph.argument("y", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
            let least = graph.real(DType::F32, -1e30)?;
            let inner = graph.select(a, x, y)?;
            graph.select(a, inner, least)
        });
        assert_eq!(nested.ops(), ["select"]);
        let other = ran(|graph, a, b| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
            let y = graph.argument("y", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
            let inner = graph.select(b, x, y)?;
            graph.select(a, inner, y)
        });
        assert_eq!(other.ops(), ["select", "select"]);
    }

    #[test]
    fn a_number_equals_itself_unless_it_may_be_nan() {
        let compared = |dtype| {
            let result = ran(|graph, _, _| {
                let x = graph.argument("x", TensorType::fixed(dtype, &[2, 3])).unwrap();
                graph.compare(CompareOp::Ne, x, x)
            });
            result.ops()
        };
        assert_eq!(compared(DType::F32), ["ne"]);
        assert_eq!(compared(DType::I32), ["broadcast"]);
    }
}
