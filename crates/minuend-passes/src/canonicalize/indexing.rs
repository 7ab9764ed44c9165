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
