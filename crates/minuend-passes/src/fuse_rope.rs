//! Rotations of feature pairs by `position * theta^(-2i/d)` become `rope`.
//!
//! Cosines and sines may be a table of the positions 0, 1, 2 and so on, of which the rotation reads a
//! range of rows, or the rows of given position indices. The positions of `rope` are then that range, or
//! these indices, and the table is no longer needed. An index outside of the table is an error of
//! `gather` and none of `rope`, which rotates by any position: the length of a table says how many
//! positions a file holds, not which rotation a position has, so a graph that ran gives the same as
//! before, and one that failed for a long text does not fail any more.

mod angle;
mod rotation;
#[cfg(test)]
mod tests;
mod theta;
mod window;

use minuend_ir::ops::{BinaryOp, Rope};
use minuend_ir::{
    DType, Dim, Emit, Emitted, Graph, NodeId, Op, Patch, PatchBuilder, Shape, TypeError, ValueId,
};

use smallvec::SmallVec;

use crate::pass::PassContext;
use crate::rewrite::{RewritePass, Rewritten, Rule};
use crate::storage::Storage;
use angle::{Angle, Positions};
use rotation::{Rotation, Source, rotation};

const NAME: &str = "fuse-rope";

/// The pass `fuse-rope`. The rotated value is `[B, heads, S, d]` or `[B, S, heads, d]`, in any spelling
/// that takes its pairs by layout ops and concatenations: interleaved, by halves, or with the negated
/// half moved and full tables.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(NAME, vec![Rule { name: NAME, try_at: fuse }])
}

fn fuse(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let may_end_here = matches!(
        graph.node(at).op,
        Op::Binary(BinaryOp::Add | BinaryOp::Sub) | Op::Concat(_) | Op::Reshape(_)
    );
    let result = at.result(0);
    if !may_end_here {
        return Ok(None);
    }
    let shapes = split_in_heads(graph, result);
    let found = shapes.into_iter().find_map(|shape| {
        let rotation = rotation(graph, result, &shape)?;
        Some((rotation, shape))
    });
    let Some((rotation, shape)) = found else { return Ok(None) };
    match recognized(graph, &rotation) {
        Ok((angle, theta)) => {
            let op = Rope { layout: rotation.layout, theta: theta.into() };
            build(graph, (result, &shape), &rotation.x, &angle.positions, op).map(Some)
        }
        Err(reason) => {
            cx.remark(graph, at, reason);
            Ok(None)
        }
    }
}

/// The shapes `[_, _, _, d]` with an even `d` in which floats may have been rotated: their own, or that without
/// an axis of size 1 which a reshape has put in (as groups of heads have it).
fn split_in_heads(graph: &Graph, value: ValueId) -> SmallVec<[Shape; 2]> {
    let ty = graph.ty(value);
    let features = ty.shape.last().and_then(Dim::as_const);
    if !ty.dtype.is_float() || features.is_none_or(|d| d < 2 || d % 2 != 0) {
        return SmallVec::new();
    }
    match (graph.def(value), ty.rank()) {
        (_, 4) => SmallVec::from_iter([ty.shape.clone()]),
        (Op::Reshape(_), 5) => {
            let units = (0..4).filter(|axis| ty.shape[*axis].is(1));
            let without = |axis| {
                let mut shape = ty.shape.clone();
                shape.remove(axis);
                shape
            };
            units.map(without).collect()
        }
        _ => SmallVec::new(),
    }
}

/// The angle and base of a rotation, or why it is not rotary position embedding.
fn recognized(graph: &Graph, rotation: &Rotation) -> Result<(Angle, f64), String> {
    if !rotation.is_forward {
        return Err("the rotation is by the negative angle".into());
    }
    let [first, others @ ..] = &rotation.tables;
    if let Some(table) = rotation.tables.iter().find(|table| table.scale != 1.0) {
        return Err(format!("a table of cosines or sines is scaled by {}", table.scale));
    }
    let angle = first.angle(graph)?;
    for table in others {
        if table.angle(graph)? != angle {
            return Err("cosines and sines are of different angles".into());
        }
    }
    let theta = theta::theta_of(&angle.frequencies)?;
    Ok((angle, theta))
}

/// Replaces the result, which was rotated in that shape.
fn build(
    graph: &Graph,
    (result, shape): (ValueId, &Shape),
    x: &Source,
    positions: &Positions,
    op: Rope,
) -> Result<Patch, TypeError> {
    let storage = Storage::of(graph, result, graph.ty(x.value).dtype);
    // Exchanges the axes of heads and tokens, in both directions.
    let order = if positions.token_axis == 1 { [0, 2, 1, 3] } else { [0, 1, 2, 3] };
    let mut patch = PatchBuilder::new(graph);
    let indices = emit_positions(graph, &mut patch, positions)?;
    let x = match &x.features {
        Some(slice) => patch.slice(x.value, slice.clone())?,
        None => reshaped(graph, &mut patch, x.value, shape)?,
    };
    let x = patch.cast(x, storage.dtype)?;
    let x = patch.transpose(x, &order)?;
    let rotated = patch.value(Op::Rope(op), &[x, indices])?;
    let rotated = patch.transpose(rotated, &order)?;
    let rotated = patch.reshape(rotated, &graph.ty(result).shape)?;
    storage.replace(&mut patch, rotated);
    Ok(patch.finish())
}

fn emit_positions(graph: &Graph, patch: &mut PatchBuilder<'_>, positions: &Positions) -> Emitted {
    let indices = match positions.value {
        Some(value) => reshaped(graph, patch, value, &positions.shape)?,
        None => patch.iota(positions.shape.iter().product())?,
    };
    let indices = patch.cast(indices, DType::I64)?;
    if positions.start.is(0) {
        return Ok(indices);
    }
    let start = patch.dim(positions.start.clone())?;
    patch.add_values(indices, start)
}

/// The elements of a value in row-major order under another shape, without a chain of reshapes.
fn reshaped(
    graph: &Graph,
    patch: &mut PatchBuilder<'_>,
    mut value: ValueId,
    shape: &[Dim],
) -> Emitted {
    while graph.ty(value).shape.as_slice() != shape
        && matches!(graph.def(value), Op::Reshape(_))
        && let Some(source) = graph.operand(value.node, 0)
    {
        value = source;
    }
    patch.reshape(value, shape)
}
