//! `gather` by literal indices that a slice can express.

use minuend_ir::ops::{Constant, Literal, Slice};
use minuend_ir::{Dim, Emit, Graph, NodeId, Op, PatchBuilder};

use super::replacing;
use crate::matcher::pair;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![Rule { name: "gather-to-slice", try_at: gather_to_slice }]
}

fn gather_to_slice(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Gather(op) = graph.node(at).op else { return Ok(None) };
    let Some((data, indices)) = pair(graph, at) else { return Ok(None) };
    let Op::Constant(Constant { ty, values: Literal::Ints(values) }) = graph.def(indices) else {
        return Ok(None);
    };
    // One value for several elements is one index several times.
    if ty.rank() > 1 || !ty.elements().is(i64::try_from(values.len()).unwrap_or(-1)) {
        return Ok(None);
    }
    let Some(slice) = progression(op.axis, values) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    // An index outside the axis is an error of the run, which a slice must not turn into one here.
    let Ok(rows) = patch.slice(data, slice) else { return Ok(None) };
    let new = patch.reshape(rows, &graph.ty(at.result(0)).shape)?;
    Ok(replacing(graph, at, patch, new))
}

/// The slice of these indices, if they rise by equal steps.
fn progression(axis: usize, indices: &[i64]) -> Option<Slice> {
    let (first, last) = (*indices.first()?, *indices.last()?);
    let step = match indices {
        [a, b, ..] => b.checked_sub(*a)?,
        _ => 1,
    };
    let is_even = indices.windows(2).all(|two| two[1].checked_sub(two[0]) == Some(step));
    let step = u32::try_from(step).ok().filter(|step| *step > 0 && is_even)?;
    let end = Some(Dim::from(last.checked_add(1)?));
    Some(Slice { axis, start: Dim::from(first), end, step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{Ran, graph_of, run};
    use minuend_ir::{DType, TensorType};

    fn gathered(shape: &[usize], values: &[i64]) -> Ran {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[2, 6, 3])).unwrap();
            let indices = Constant {
                ty: TensorType::fixed(DType::I64, shape),
                values: Literal::Ints(values.into()),
            };
            let indices = graph.value(Op::Constant(indices), &[]).unwrap();
            vec![graph.gather(1, x, indices).unwrap()]
        });
        run(&graph, &pass(), &[])
    }

    #[test]
    fn even_steps_are_a_slice() {
        let ran = gathered(&[3], &[0, 2, 4]);
        assert_eq!(ran.ops(), ["slice"]);
        assert_eq!(ran.the("slice"), &Op::Slice(Slice::strided(1, 0, 2)));
        assert_eq!(gathered(&[3], &[1, 2, 3]).the("slice"), &Op::Slice(Slice::range(1, 1, 4)));
        assert_eq!(gathered(&[1], &[5]).ops(), ["slice"]);
        assert_eq!(gathered(&[], &[3]).ops(), ["slice", "reshape"]);
    }

    #[test]
    fn other_indices_stay() {
        assert_eq!(gathered(&[3], &[0, 1, 3]).ops(), ["gather"]);
        assert_eq!(gathered(&[3], &[4, 2, 0]).ops(), ["gather"]);
        assert_eq!(gathered(&[2], &[1, 1]).ops(), ["gather"]);
        assert_eq!(gathered(&[2], &[1]).ops(), ["gather"]);
        assert_eq!(gathered(&[2, 2], &[0, 1, 2, 3]).ops(), ["gather"]);
    }

    #[test]
    fn indices_outside_the_axis_stay() {
        for values in [[4, 6], [-2, 0], [i64::MIN, i64::MAX]] {
            let mut cx = PassContext::new(None);
            let mut graph = graph_of(|graph| {
                let x = graph.argument("x", TensorType::fixed(DType::F32, &[6])).unwrap();
                let ty = TensorType::fixed(DType::I64, &[2]);
                let indices = Constant { ty, values: Literal::Ints(values.into()) };
                let indices = graph.value(Op::Constant(indices), &[]).unwrap();
                vec![graph.gather(0, x, indices).unwrap()]
            });
            crate::Pass::run(&pass(), &mut graph, &mut cx).unwrap();
            assert_eq!(graph.op_counts().get("gather"), Some(&1));
        }
    }
}
