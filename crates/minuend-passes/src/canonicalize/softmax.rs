//! A softmax written out.

use minuend_ir::ops::{BinaryOp, Reduce, ReduceKind, UnaryOp};
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use super::replacing;
use crate::matcher::{as_binary, as_unary, match_commutative};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![Rule { name: "form-softmax", try_at: form_softmax }]
}

/// `e / sum(e)`, or `e * reciprocal(sum(e))`, with `e = exp(x - max(x))`, along one axis.
fn form_softmax(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let value = at.result(0);
    let quotient = as_binary(graph, value, BinaryOp::Div).or_else(|| {
        match_commutative(as_binary(graph, value, BinaryOp::Mul)?, |e, inverse| {
            Some((e, as_unary(graph, inverse, UnaryOp::Reciprocal)?))
        })
    });
    let Some((e, sum)) = quotient else { return Ok(None) };
    let Some((x, axis)) = shifted_exponential(graph, e) else { return Ok(None) };
    // The sum may be over a copy of the same exponentials.
    let summed = reduced(graph, sum, ReduceKind::Sum);
    let is_its_sum = summed.is_some_and(|(other, along)| {
        along == axis && (other == e || shifted_exponential(graph, other) == Some((x, axis)))
    });
    if !is_its_sum {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.softmax(axis, x)?;
    Ok(replacing(graph, at, patch, new))
}

/// `x` and the axis of `exp(x - max(x))`.
fn shifted_exponential(graph: &Graph, value: ValueId) -> Option<(ValueId, usize)> {
    let shifted = as_unary(graph, value, UnaryOp::Exp)?;
    let (x, max) = as_binary(graph, shifted, BinaryOp::Sub)?;
    let (source, axis) = reduced(graph, max, ReduceKind::Max)?;
    (source == x).then_some((x, axis))
}

fn reduced(graph: &Graph, value: ValueId, kind: ReduceKind) -> Option<(ValueId, usize)> {
    match graph.def(value) {
        Op::Reduce(Reduce { kind: found, axis }) if *found == kind => {
            Some((graph.operand(value.node, 0)?, *axis))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::Softmax;
    use minuend_ir::{DType, TensorType};

    struct Written {
        max_axis: usize,
        sum_axis: usize,
        twice: bool,
        reciprocal: bool,
    }

    const STANDARD: Written = Written { max_axis: 1, sum_axis: 1, twice: false, reciprocal: false };

    fn exponential(graph: &mut Graph, x: ValueId, axis: usize) -> ValueId {
        let max = graph.reduce(ReduceKind::Max, axis, x).unwrap();
        let shifted = graph.sub(x, max).unwrap();
        graph.unary(UnaryOp::Exp, shifted).unwrap()
    }

    fn written(form: &Written) -> Graph {
        graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[3, 3])).unwrap();
            let e = exponential(graph, x, form.max_axis);
            let summed = if form.twice { exponential(graph, x, form.max_axis) } else { e };
            let sum = graph.reduce(ReduceKind::Sum, form.sum_axis, summed).unwrap();
            let result = if form.reciprocal {
                let inverse = graph.unary(UnaryOp::Reciprocal, sum).unwrap();
                graph.mul(inverse, e)
            } else {
                graph.binary(BinaryOp::Div, e, sum)
            };
            vec![result.unwrap()]
        })
    }

    #[test]
    fn every_spelling_is_a_softmax() {
        for form in [
            STANDARD,
            Written { twice: true, ..STANDARD },
            Written { reciprocal: true, ..STANDARD },
        ] {
            let ran = run(&written(&form), &pass(), &[]);
            assert_eq!(ran.ops(), ["softmax"]);
            assert_eq!(ran.the("softmax"), &Op::Softmax(Softmax { axis: 1 }));
        }
    }

    #[test]
    fn a_sum_along_another_axis_is_none() {
        let ran = run(&written(&Written { sum_axis: 0, ..STANDARD }), &pass(), &[]);
        assert!(!ran.ops().contains(&"softmax"));
    }

    #[test]
    fn the_sum_of_other_exponentials_is_none() {
        let graph = graph_of(|graph| {
            let ty = TensorType::fixed(DType::F32, &[3, 3]);
            let x = graph.argument("x", ty.clone()).unwrap();
            let y = graph.argument("y", ty).unwrap();
            let (e, other) = (exponential(graph, x, 1), exponential(graph, y, 1));
            let sum = graph.reduce(ReduceKind::Sum, 1, other).unwrap();
            vec![graph.binary(BinaryOp::Div, e, sum).unwrap()]
        });
        assert!(!run(&graph, &pass(), &[]).ops().contains(&"softmax"));
    }
}
