//! Layout ops and casts: those that change nothing go, neighbours become one.

use minuend_ir::ops::{Slice, Transpose};
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
