//! Elementwise ops broadcast their operands themselves.

use minuend_ir::ops::Constant;
use minuend_ir::{Emit, Graph, NodeId, Op, Patch, PatchBuilder, TensorType, ValueId};

use super::{only_operand, replacing};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "absorb-broadcast", try_at: absorb_broadcast },
        Rule { name: "shrink-splat", try_at: shrink_splat },
    ]
}

fn broadcasts(op: &Op) -> bool {
    matches!(op, Op::Binary(_) | Op::Compare(_) | Op::Select)
}

/// An operand that was repeated, or only got outer axes of size 1, is read as it was before, if the
/// other operands still give the result its shape.
fn absorb_broadcast(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    if !broadcasts(&graph.node(at).op) {
        return Ok(None);
    }
    for (slot, operand) in graph.operands(at).into_iter().enumerate() {
        let Some(source) = before_broadcast(graph, operand) else { continue };
        let patch = with_operand(graph, at, slot, |_| Some(source));
        if patch.is_some() {
            return Ok(patch);
        }
    }
    Ok(None)
}

fn before_broadcast(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let x = only_operand(graph, value.node)?;
    match graph.def(value) {
        Op::Broadcast(_) => Some(x),
        Op::Reshape(op) => {
            let inner = &graph.ty(x).shape;
            let added = op.shape.len().checked_sub(inner.len())?;
            let (outer, rest) = op.shape.split_at(added);
            (rest == inner.as_slice() && outer.iter().all(|dim| dim.is(1))).then_some(x)
        }
        _ => None,
    }
}

/// One value for every element is a scalar where the other operands give the result its shape.
fn shrink_splat(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    if !broadcasts(&graph.node(at).op) {
        return Ok(None);
    }
    for (slot, operand) in graph.operands(at).into_iter().enumerate() {
        let Op::Constant(Constant { ty, values }) = graph.def(operand) else { continue };
        if ty.rank() == 0 || values.len() != 1 {
            continue;
        }
        let scalar = Constant { ty: TensorType::scalar(ty.dtype), values: values.clone() };
        let patch =
            with_operand(graph, at, slot, |patch| patch.value(Op::Constant(scalar), &[]).ok());
        if patch.is_some() {
            return Ok(patch);
        }
    }
    Ok(None)
}

/// The node with another operand in one slot, if its result keeps its type.
fn with_operand(
    graph: &Graph,
    at: NodeId,
    slot: usize,
    operand: impl FnOnce(&mut PatchBuilder<'_>) -> Option<ValueId>,
) -> Option<Patch> {
    let mut patch = PatchBuilder::new(graph);
    let mut operands = graph.operands(at);
    *operands.get_mut(slot)? = operand(&mut patch)?;
    let new = patch.value(graph.node(at).op.clone(), &operands).ok()?;
    replacing(graph, at, patch, new)
}

#[cfg(test)]
mod tests {
    use crate::canonicalize::pass;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::{CompareOp, UnaryOp};
    use minuend_ir::{DType, Dim, Emit, Graph, TensorType, ValueId};

    fn vector(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
        graph.argument(name, TensorType::fixed(DType::F32, shape)).unwrap()
    }

    fn dims(sizes: &[i64]) -> Vec<Dim> {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    #[test]
    fn repeated_operands_are_read_as_they_were() {
        let graph = graph_of(|graph| {
            let x = vector(graph, "x", &[2, 3, 4]);
            let y = vector(graph, "y", &[3, 1]);
            let wide = graph.broadcast(y, &dims(&[2, 3, 4])).unwrap();
            let sum = graph.add_values(wide, x).unwrap();
            let mask = graph.compare(CompareOp::Lt, x, wide).unwrap();
            let outer = graph.reshape(y, &dims(&[1, 3, 1])).unwrap();
            vec![graph.select(mask, sum, outer).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["lt", "add", "select"]);
    }

    #[test]
    fn a_repetition_that_shapes_the_result_stays() {
        let graph = graph_of(|graph| {
            let x = vector(graph, "x", &[1, 4]);
            let y = vector(graph, "y", &[1, 4]);
            let x = graph.broadcast(x, &dims(&[3, 4])).unwrap();
            let y = graph.broadcast(y, &dims(&[3, 4])).unwrap();
            vec![graph.mul(x, y).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["broadcast", "mul"]);
        let graph = graph_of(|graph| {
            let x = vector(graph, "x", &[4]);
            let outer = graph.reshape(x, &dims(&[1, 4])).unwrap();
            let inner = graph.reshape(x, &dims(&[4, 1])).unwrap();
            let column = graph.unary(UnaryOp::Exp, inner).unwrap();
            let sum = graph.add_values(outer, x).unwrap();
            vec![sum, column]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["reshape", "add", "reshape", "exp"]);
    }
}
