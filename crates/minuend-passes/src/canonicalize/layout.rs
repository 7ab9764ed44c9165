//! Layout ops and casts: those that change nothing go, neighbours become one.

use minuend_ir::ops::{Concat, Slice, Transpose};
use minuend_ir::{Dim, Emit, Graph, NodeId, Op, PatchBuilder};

use super::{only_operand, replacing};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "drop-identity", try_at: drop_identity },
        Rule { name: "merge-reshapes", try_at: merge_reshapes },
        Rule { name: "merge-transposes", try_at: merge_transposes },
        Rule { name: "merge-slices", try_at: merge_slices },
        Rule { name: "merge-broadcasts", try_at: merge_broadcasts },
        Rule { name: "merge-widening-cast", try_at: merge_widening_cast },
        Rule { name: "transpose-to-reshape", try_at: transpose_to_reshape },
        Rule { name: "broadcast-to-reshape", try_at: broadcast_to_reshape },
        Rule { name: "concat-to-broadcast", try_at: concat_to_broadcast },
        Rule { name: "normalize-slice-end", try_at: normalize_slice_end },
    ]
}

fn drop_identity(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some(x) = only_operand(graph, at) else { return Ok(None) };
    let is_identity = match &graph.node(at).op {
        // A slice of the axis' own size starts at 0 and leaves nothing out, whatever its step.
        Op::Reshape(_) | Op::Broadcast(_) | Op::Cast(_) | Op::Slice(_) | Op::Concat(_) => {
            graph.ty(x) == graph.ty(at.result(0))
        }
        Op::Transpose(op) => op.perm.iter().enumerate().all(|(to, from)| to == *from),
        _ => false,
    };
    Ok(is_identity.then(|| PatchBuilder::new(graph).replacing(at.result(0), x)))
}

fn merge_reshapes(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Reshape(outer) = &graph.node(at).op else { return Ok(None) };
    let Some(inner) = only_operand(graph, at) else { return Ok(None) };
    let (Op::Reshape(_), Some(x)) = (graph.def(inner), only_operand(graph, inner.node)) else {
        return Ok(None);
    };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.reshape(x, &outer.shape)?;
    Ok(replacing(graph, at, patch, new))
}

fn merge_transposes(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Transpose(outer) = &graph.node(at).op else { return Ok(None) };
    let Some(inner) = only_operand(graph, at) else { return Ok(None) };
    let (Op::Transpose(first), Some(x)) = (graph.def(inner), only_operand(graph, inner.node))
    else {
        return Ok(None);
    };
    let perm: Vec<usize> = outer.perm.iter().map(|axis| first.perm[*axis]).collect();
    let mut patch = PatchBuilder::new(graph);
    let new = patch.transpose(x, &perm)?;
    Ok(replacing(graph, at, patch, new))
}

fn merge_slices(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Slice(outer) = &graph.node(at).op else { return Ok(None) };
    let Some(inner) = only_operand(graph, at) else { return Ok(None) };
    let (Op::Slice(first), Some(x)) = (graph.def(inner), only_operand(graph, inner.node)) else {
        return Ok(None);
    };
    let Some(step) = first.step.checked_mul(outer.step).filter(|_| first.axis == outer.axis) else {
        return Ok(None);
    };
    let size = &graph.ty(inner).shape[outer.axis];
    let end = match &outer.end {
        Some(end) if end != size => Some(&first.start + &(end * i64::from(first.step))),
        _ => first.end.clone(),
    };
    let start = &first.start + &(&outer.start * i64::from(first.step));
    let mut patch = PatchBuilder::new(graph);
    // Where the symbols' ranges do not prove the bounds, the two slices stay.
    let Ok(new) = patch.slice(x, Slice { axis: outer.axis, start, end, step }) else {
        return Ok(None);
    };
    Ok(replacing(graph, at, patch, new))
}

fn merge_broadcasts(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Broadcast(outer) = &graph.node(at).op else { return Ok(None) };
    let Some(inner) = only_operand(graph, at) else { return Ok(None) };
    let (Op::Broadcast(_), Some(x)) = (graph.def(inner), only_operand(graph, inner.node)) else {
        return Ok(None);
    };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.broadcast(x, &outer.shape)?;
    Ok(replacing(graph, at, patch, new))
}

/// A cast of an exact cast is a cast of the source. A narrowing inner cast rounds and stays.
fn merge_widening_cast(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Cast(outer) = graph.node(at).op else { return Ok(None) };
    let Some(inner) = only_operand(graph, at) else { return Ok(None) };
    let (Op::Cast(first), Some(x)) = (graph.def(inner), only_operand(graph, inner.node)) else {
        return Ok(None);
    };
    if !graph.ty(x).dtype.widens_to(first.to) {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.cast(x, outer.to)?;
    Ok(replacing(graph, at, patch, new))
}

/// A transpose that keeps the order of all axes but those of size 1 moves no element.
fn transpose_to_reshape(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Transpose(Transpose { perm }) = &graph.node(at).op else { return Ok(None) };
    let Some(x) = only_operand(graph, at) else { return Ok(None) };
    let kept: Vec<usize> =
        perm.iter().copied().filter(|axis| !graph.ty(x).shape[*axis].is(1)).collect();
    if !kept.is_sorted() {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.reshape(x, &graph.ty(at.result(0)).shape)?;
    Ok(replacing(graph, at, patch, new))
}

/// A broadcast that only adds axes of size 1 repeats nothing.
fn broadcast_to_reshape(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Broadcast(op) = &graph.node(at).op else { return Ok(None) };
    let Some(x) = only_operand(graph, at) else { return Ok(None) };
    if graph.ty(x).elements() != graph.ty(at.result(0)).elements() {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.reshape(x, &op.shape)?;
    Ok(replacing(graph, at, patch, new))
}

/// Copies of one value along an axis of size 1 are that value repeated.
fn concat_to_broadcast(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Concat(Concat { axis }) = graph.node(at).op else { return Ok(None) };
    let operands = graph.operands(at);
    let [x, others @ ..] = operands.as_slice() else { return Ok(None) };
    let is_repeated = !others.is_empty() && others.iter().all(|other| other == x);
    if !is_repeated || !graph.ty(*x).shape[axis].is(1) {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.broadcast(*x, &graph.ty(at.result(0)).shape)?;
    Ok(replacing(graph, at, patch, new))
}

/// A slice that reaches the end of its axis has no `end`; a strided slice of constant length that does
/// not ends right behind its last element.
fn normalize_slice_end(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Slice(op) = &graph.node(at).op else { return Ok(None) };
    let (Some(x), Some(end)) = (only_operand(graph, at), &op.end) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let to_end = Slice { end: None, ..op.clone() };
    if let Ok(new) = patch.slice(x, to_end)
        && patch.type_of(new) == graph.ty(at.result(0))
    {
        return Ok(Some(patch.replacing(at.result(0), new)));
    }
    let Some(count) = graph.ty(at.result(0)).shape[op.axis].as_const().filter(|n| *n > 0) else {
        return Ok(None);
    };
    let span = Dim::from((count - 1).saturating_mul(i64::from(op.step)).saturating_add(1));
    let tight = &op.start + &span;
    if tight == *end {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let Ok(new) = patch.slice(x, Slice { end: Some(tight), ..op.clone() }) else {
        return Ok(None);
    };
    Ok(replacing(graph, at, patch, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{dim, graph_of, run};
    use minuend_ir::{DType, TensorType, ValueId};

    fn ops(
        shape: &[usize],
        build: impl Fn(&mut Graph, ValueId) -> ValueId,
    ) -> (Vec<&'static str>, Op) {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, shape)).unwrap();
            vec![build(graph, x)]
        });
        let ran = run(&graph, &pass(), &[]);
        (ran.ops(), ran.graph.def(ran.graph.outputs()[0]).clone())
    }

    fn dims(sizes: &[i64]) -> Vec<Dim> {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    #[test]
    fn ops_that_change_nothing_go() {
        let (left, _) = ops(&[2, 3], |graph, x| {
            let x = graph.value(Op::Reshape(reshape(&[2, 3])), &[x]).unwrap();
            let x = graph.slice(x, Slice::range(1, 0, 3)).unwrap();
            let x = graph.slice(x, Slice::strided(0, 0, 1)).unwrap();
            let perm = [0, 1].into_iter().collect();
            let x = graph.value(Op::Transpose(Transpose { perm }), &[x]).unwrap();
            graph.value(Op::Concat(Concat { axis: 1 }), &[x]).unwrap()
        });
        assert!(left.is_empty());
    }

    fn reshape(sizes: &[i64]) -> minuend_ir::ops::Reshape {
        minuend_ir::ops::Reshape { shape: dims(sizes).into_iter().collect() }
    }

    #[test]
    fn a_square_transpose_is_no_identity() {
        let (left, _) = ops(&[3, 3], |graph, x| graph.transpose(x, &[1, 0]).unwrap());
        assert_eq!(left, ["transpose"]);
    }

    #[test]
    fn neighbours_become_one() {
        let (left, _) = ops(&[4, 6], |graph, x| {
            let x = graph.reshape(x, &dims(&[24])).unwrap();
            graph.reshape(x, &dims(&[2, 12])).unwrap()
        });
        assert_eq!(left, ["reshape"]);
        let (left, op) = ops(&[2, 3, 4], |graph, x| {
            let x = graph.transpose(x, &[1, 2, 0]).unwrap();
            graph.transpose(x, &[1, 0, 2]).unwrap()
        });
        assert_eq!(left, ["transpose"]);
        assert_eq!(op, Op::Transpose(Transpose { perm: [2, 1, 0].into_iter().collect() }));
        let (left, _) = ops(&[1, 3], |graph, x| {
            let x = graph.broadcast(x, &dims(&[4, 3])).unwrap();
            graph.broadcast(x, &dims(&[2, 4, 3])).unwrap()
        });
        assert_eq!(left, ["broadcast"]);
    }

    #[test]
    fn slices_of_one_axis_compose() {
        // Every pair of slices of an axis of 11, against the interpreter.
        for (start, end, step) in [(0, 11, 1), (1, 11, 2), (2, 9, 3), (3, 10, 1)] {
            for (from, to, by) in [(0, 2, 1), (1, 3, 1), (0, 3, 2), (1, 3, 3), (2, 2, 1)] {
                let (left, _) = ops(&[11, 2], |graph, x| {
                    let first = Slice { step, ..Slice::range(0, start, end) };
                    let x = graph.slice(x, first).unwrap();
                    graph.slice(x, Slice { step: by, ..Slice::range(0, from, to) }).unwrap()
                });
                assert_eq!(left, ["slice"], "{start} {end} {step}, {from} {to} {by}");
            }
        }
        let (left, _) = ops(&[4, 4], |graph, x| {
            let x = graph.slice(x, Slice::range(0, 1, 3)).unwrap();
            graph.slice(x, Slice::range(1, 1, 3)).unwrap()
        });
        assert_eq!(left, ["slice", "slice"]);
    }

    #[test]
    fn slices_of_symbolic_axes_compose_where_the_bounds_are_proven() {
        let graph = graph_of(|graph| {
            let rows = |rows: Dim| TensorType::new(DType::F32, [rows, Dim::from(2)]);
            let (old, new) = (rows(dim(graph, "P")), rows(dim(graph, "S")));
            let (old, new) = (graph.argument("old", old), graph.argument("new", new));
            let x = graph.concat(0, &[old.unwrap(), new.unwrap()]).unwrap();
            let (past, queries) = (dim(graph, "P"), dim(graph, "S"));
            let tail = graph.slice(x, Slice::range(0, past, dim(graph, "T"))).unwrap();
            vec![graph.slice(tail, Slice::range(0, &queries - &Dim::one(), queries)).unwrap()]
        });
        let ran = run(&graph, &pass(), &[("S", 3), ("P", 4)]);
        let Op::Slice(last) = ran.the("slice") else { panic!() };
        let total = dim(&ran.graph, "T");
        assert_eq!(last, &Slice { axis: 0, start: &total - &Dim::one(), end: None, step: 1 });
    }

    #[test]
    fn one_end_for_one_selection() {
        let end = |start: i64, end: i64, step| {
            let (_, op) = ops(&[8], |graph, x| {
                graph.slice(x, Slice { step, ..Slice::range(0, start, end) }).unwrap()
            });
            let Op::Slice(slice) = op else { panic!("{op:?}") };
            slice.end
        };
        assert_eq!(end(1, 8, 2), None);
        assert_eq!(end(0, 7, 2), None);
        assert_eq!(end(0, 4, 2), Some(Dim::from(3)));
        assert_eq!(end(0, 3, 2), Some(Dim::from(3)));
        assert_eq!(end(0, 6, 1), Some(Dim::from(6)));
    }

    #[test]
    fn moving_axes_of_size_one_moves_nothing() {
        let (left, _) = ops(&[2, 1, 3, 4], |graph, x| graph.transpose(x, &[0, 2, 1, 3]).unwrap());
        assert_eq!(left, ["reshape"]);
        let (left, _) = ops(&[2, 1, 3, 4], |graph, x| graph.transpose(x, &[0, 3, 1, 2]).unwrap());
        assert_eq!(left, ["transpose"]);
        let (left, _) = ops(&[3], |graph, x| graph.broadcast(x, &dims(&[1, 1, 3])).unwrap());
        assert_eq!(left, ["reshape"]);
    }

    #[test]
    fn copies_along_an_axis_of_size_one_are_a_repetition() {
        let copies = |shape: &[usize], axis: usize| {
            let (left, _) = ops(shape, |graph, x| graph.concat(axis, &[x, x, x]).unwrap());
            left
        };
        assert_eq!(copies(&[2, 1, 3], 1), ["broadcast"]);
        assert_eq!(copies(&[2, 1, 3], 2), ["concat"]);
        let (left, _) = ops(&[2, 1], |graph, x| {
            let y = graph.unary(minuend_ir::ops::UnaryOp::Neg, x).unwrap();
            graph.concat(1, &[x, y, x]).unwrap()
        });
        assert_eq!(left, ["neg", "concat"]);
    }

    #[test]
    fn a_symbolic_axis_is_not_of_size_one() {
        let graph = graph_of(|graph| {
            let ty = TensorType::new(DType::F32, [dim(graph, "S"), Dim::from(3)]);
            let x = graph.argument("x", ty).unwrap();
            vec![graph.transpose(x, &[1, 0]).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[("S", 1)]).ops(), ["transpose"]);
    }

    #[test]
    fn casts_merge_unless_the_first_rounds() {
        let casts = |from: DType, by: DType, to: DType| {
            let graph = graph_of(|graph| {
                let x = graph.argument("x", TensorType::fixed(from, &[4])).unwrap();
                let x = graph.cast(x, by).unwrap();
                vec![graph.cast(x, to).unwrap()]
            });
            run(&graph, &pass(), &[]).ops().len()
        };
        assert_eq!(casts(DType::Bf16, DType::F32, DType::Bf16), 0);
        assert_eq!(casts(DType::Bf16, DType::F32, DType::F16), 1);
        assert_eq!(casts(DType::I32, DType::I64, DType::F32), 1);
        assert_eq!(casts(DType::F32, DType::Bf16, DType::F32), 2);
        assert_eq!(casts(DType::F16, DType::Bf16, DType::F32), 2);
        assert_eq!(casts(DType::F32, DType::I64, DType::F32), 2);
    }
}
