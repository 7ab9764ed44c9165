//! Numbers that are a choice between two constants: arithmetic and comparisons with constants are done
//! on both at once. `1 - mask`, `mask == 0` and `min * mask`, of a mask that a truth value was written
//! as, are then that truth value, its negation, or another choice.

use minuend_ir::ops::{BinaryOp, Constant, UnaryOp};
use minuend_ir::{DType, Emit, Emitted, Graph, NodeId, Op, PatchBuilder, TensorType, ValueId};
use smallvec::SmallVec;

use super::{only_operand, replacing};
use crate::fold_constants::element::{Element, compute, element_at, literal};
use crate::matcher::pair;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "compute-on-choice", try_at: compute_on_choice },
        Rule { name: "combine-choices", try_at: combine_choices },
    ]
}

/// One constant where a truth value holds, another where it does not.
struct Choice {
    condition: ValueId,
    if_true: Element,
    if_false: Element,
    /// The value that chooses, and the layout ops behind it, last first.
    chosen: ValueId,
    layout: SmallVec<[NodeId; 2]>,
}

/// The one number or truth value that a value holds, seen through layout ops and casts.
pub(super) fn splat(graph: &Graph, value: ValueId) -> Option<Element> {
    match graph.def(value) {
        Op::Constant(constant) if constant.values.len() == 1 => element_at(&constant.values, 0),
        op if op.is_view() => splat(graph, only_operand(graph, value.node)?),
        op @ Op::Cast(_) => {
            let source = splat(graph, only_operand(graph, value.node)?)?;
            compute(op, &[source], graph.ty(value).dtype)
        }
        _ => None,
    }
}

fn choice(graph: &Graph, mut value: ValueId) -> Option<Choice> {
    let mut layout = SmallVec::new();
    while graph.def(value).is_view() {
        layout.push(value.node);
        value = only_operand(graph, value.node)?;
    }
    let operands = graph.operands(value.node);
    match (graph.def(value), operands.as_slice()) {
        (Op::Select, [condition, a, b]) => {
            let (if_true, if_false) = (splat(graph, *a)?, splat(graph, *b)?);
            Some(Choice { condition: *condition, if_true, if_false, chosen: value, layout })
        }
        (op @ Op::Cast(_), [condition]) if graph.ty(*condition).dtype == DType::Bool => {
            let dtype = graph.ty(value).dtype;
            let if_true = compute(op, &[Element::Bool(true)], dtype)?;
            let if_false = compute(op, &[Element::Bool(false)], dtype)?;
            Some(Choice { condition: *condition, if_true, if_false, chosen: value, layout })
        }
        _ => None,
    }
}

impl Choice {
    /// The condition in the shape of the value.
    fn condition(&self, graph: &Graph, patch: &mut PatchBuilder<'_>) -> Emitted {
        let shape = &graph.ty(self.chosen).shape;
        let mut condition = self.condition;
        if !self.layout.is_empty() {
            condition = patch.broadcast(condition, shape)?;
        }
        for node in self.layout.iter().rev() {
            condition = patch.value(graph.node(*node).op.clone(), &[condition])?;
        }
        Ok(condition)
    }
}

/// A scalar constant.
fn scalar(patch: &mut PatchBuilder<'_>, dtype: DType, value: Element) -> Option<ValueId> {
    let values = literal(dtype, [value])?;
    patch.value(Op::Constant(Constant { ty: TensorType::scalar(dtype), values }), &[]).ok()
}

/// One element where the condition holds and another where it does not, of this type.
fn emit(
    patch: &mut PatchBuilder<'_>,
    condition: ValueId,
    [if_true, if_false]: [Element; 2],
    ty: &TensorType,
) -> Option<ValueId> {
    let new = match (if_true, if_false) {
        (Element::Bool(true), Element::Bool(false)) => condition,
        (Element::Bool(false), Element::Bool(true)) => patch.unary(UnaryOp::Not, condition).ok()?,
        (a, b) if a == b => scalar(patch, ty.dtype, a)?,
        (a, b) => {
            let (a, b) = (scalar(patch, ty.dtype, a)?, scalar(patch, ty.dtype, b)?);
            patch.select(condition, a, b).ok()?
        }
    };
    patch.broadcast(new, &ty.shape).ok()
}

/// An elementwise op of one choice and otherwise constants.
fn compute_on_choice(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    if !matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Cast(_)) {
        return Ok(None);
    }
    let ty = graph.ty(at.result(0));
    let operands = graph.operands(at);
    let Some((slot, choice)) = operands
        .iter()
        .enumerate()
        .find_map(|(slot, operand)| Some((slot, choice(graph, *operand)?)))
    else {
        return Ok(None);
    };
    let result = |chosen: Element| -> Option<Element> {
        let elements = operands.iter().enumerate().map(|(index, operand)| {
            if index == slot { Some(chosen) } else { splat(graph, *operand) }
        });
        compute(op, &elements.collect::<Option<SmallVec<[Element; 2]>>>()?, ty.dtype)
    };
    let (Some(if_true), Some(if_false)) = (result(choice.if_true), result(choice.if_false)) else {
        return Ok(None);
    };
    let mut patch = PatchBuilder::new(graph);
    let condition = choice.condition(graph, &mut patch)?;
    let new = emit(&mut patch, condition, [if_true, if_false], ty);
    Ok(new.and_then(|new| replacing(graph, at, patch, new)))
}

/// Arithmetic on two choices whose result is one constant but for the case that both conditions hold,
/// or that neither does: `cast(a) * cast(b)` is 1 where `a` and `b` hold.
fn combine_choices(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    if !matches!(op, Op::Binary(_)) {
        return Ok(None);
    }
    let ty = graph.ty(at.result(0));
    let choices = pair(graph, at).and_then(|(a, b)| Some((choice(graph, a)?, choice(graph, b)?)));
    let Some((a, b)) = choices else { return Ok(None) };
    let result = |a: Element, b: Element| compute(op, &[a, b], ty.dtype);
    let (Some(both), Some(neither)) =
        (result(a.if_true, b.if_true), result(a.if_false, b.if_false))
    else {
        return Ok(None);
    };
    let one = [result(a.if_true, b.if_false), result(a.if_false, b.if_true)];
    let mut patch = PatchBuilder::new(graph);
    let first = a.condition(graph, &mut patch)?;
    let second = b.condition(graph, &mut patch)?;
    let condition = if first == second {
        first
    } else if one == [Some(neither); 2] {
        patch.binary(BinaryOp::And, first, second)?
    } else if one == [Some(both); 2] {
        patch.binary(BinaryOp::Or, first, second)?
    } else {
        return Ok(None);
    };
    let new = emit(&mut patch, condition, [both, neither], ty);
    Ok(new.and_then(|new| replacing(graph, at, patch, new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{Ran, graph_of, run};
    use minuend_ir::Dim;
    use minuend_ir::ops::CompareOp;

    /// The pass on what `build` makes of two truth values `[2, 3]`.
    fn ran(build: impl Fn(&mut Graph, ValueId, ValueId) -> Emitted) -> Ran {
        let graph = graph_of(|graph| {
            let ty = TensorType::fixed(DType::Bool, &[2, 3]);
            let (a, b) = (graph.argument("a", ty.clone()), graph.argument("b", ty));
            vec![build(graph, a.unwrap(), b.unwrap()).unwrap()]
        });
        run(&graph, &pass(), &[])
    }

    fn real(graph: &mut Graph, value: f64) -> ValueId {
        graph.real(DType::F32, value).unwrap()
    }

    fn number(graph: &mut Graph, truth: ValueId, a: f64, b: f64) -> ValueId {
        let (a, b) = (real(graph, a), real(graph, b));
        graph.select(truth, a, b).unwrap()
    }

    #[test]
    fn a_comparison_of_a_choice_is_its_condition() {
        for (op, with, left) in [
            (CompareOp::Eq, 1.0, vec![]),
            (CompareOp::Eq, 0.0, vec!["not"]),
            (CompareOp::Ne, 0.0, vec![]),
            (CompareOp::Gt, 0.5, vec![]),
            (CompareOp::Le, 0.0, vec!["not"]),
            (CompareOp::Ge, 0.0, vec!["broadcast"]),
            (CompareOp::Eq, 7.0, vec!["broadcast"]),
            (CompareOp::Eq, f64::NAN, vec!["broadcast"]),
        ] {
            let result = ran(|graph, a, _| {
                let number = number(graph, a, 1.0, 0.0);
                let with = real(graph, with);
                graph.compare(op, number, with)
            });
            assert_eq!(result.ops(), left, "{op:?} {with}");
            let cast = ran(|graph, a, _| {
                let number = graph.cast(a, DType::F32)?;
                let with = real(graph, with);
                graph.compare(op, number, with)
            });
            assert_eq!(cast.ops(), left, "{op:?} {with}");
        }
        let result = ran(|graph, a, _| {
            let number = graph.cast(a, DType::I64)?;
            let zero = graph.int(0)?;
            graph.compare(CompareOp::Eq, zero, number)
        });
        assert_eq!(result.ops(), ["not"]);
    }

    #[test]
    fn layout_ops_between_move_to_the_condition() {
        let result = ran(|graph, a, _| {
            let number = number(graph, a, 0.0, -1e30);
            let number = graph.transpose(number, &[1, 0])?;
            let number = graph.reshape(number, &[Dim::from(3), Dim::one(), Dim::from(2)])?;
            let zero = real(graph, 0.0);
            graph.compare(CompareOp::Lt, number, zero)
        });
        assert_eq!(result.ops(), ["transpose", "reshape", "not"]);
    }

    #[test]
    fn arithmetic_with_constants_is_another_choice() {
        let inverted = ran(|graph, a, _| {
            let number = graph.cast(a, DType::F32)?;
            let (one, least) = (real(graph, 1.0), real(graph, -3.0));
            let inverted = graph.sub(one, number)?;
            graph.mul(inverted, least)
        });
        assert_eq!(inverted.ops(), ["select"]);
        let through_types = ran(|graph, a, _| {
            let number = graph.cast(a, DType::I64)?;
            let number = graph.cast(number, DType::F16)?;
            let number = graph.cast(number, DType::F32)?;
            graph.cast(number, DType::Bool)
        });
        assert!(through_types.ops().is_empty());
        let unknown = ran(|graph, a, _| {
            let number = graph.cast(a, DType::F32)?;
            let other = graph.argument("x", TensorType::fixed(DType::F32, &[2, 3])).unwrap();
            graph.mul(number, other)
        });
        assert_eq!(unknown.ops(), ["cast", "mul"]);
    }

    #[test]
    fn products_of_masks_are_one_mask() {
        let product = |x: [f64; 2], y: [f64; 2]| {
            let result = ran(|graph, a, b| {
                let x = number(graph, a, x[0], x[1]);
                let y = number(graph, b, y[0], y[1]);
                graph.mul(x, y)
            });
            result.ops()
        };
        assert_eq!(product([-3e38, 0.0], [1.0, 0.0]), ["and", "select"]);
        assert_eq!(product([0.0, 2.0], [0.0, 3.0]), ["or", "select"]);
        assert_eq!(product([5.0, 2.0], [1.0, 3.0]), ["select", "select", "mul"]);
        // -inf * 0 is no number: the four cases are three results.
        let infinite = [f64::NEG_INFINITY, 0.0];
        assert_eq!(product(infinite, [1.0, 0.0]), ["select", "select", "mul"]);
        let same = ran(|graph, a, _| {
            let x = number(graph, a, 2.0, 1.0);
            let y = number(graph, a, 4.0, 3.0);
            graph.add_values(x, y)
        });
        assert_eq!(same.ops(), ["select"]);
    }
}
