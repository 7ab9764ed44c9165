//! From which tensor an operand of a fused op is best read.

use minuend_ir::view::View;
use minuend_ir::{Emit, Graph, Op, PatchBuilder, ValueId};

use crate::layout_ops::{emit_ops, layout_ops};
use crate::trail::Trail;

/// A value, and an operand as a view of it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) value: ValueId,
    pub(crate) view: View,
}

/// A value, and the layout ops that make an operand of it.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) value: ValueId,
    ops: Vec<Op>,
}

/// The places from which an operand can be read: the end of a trail and what that is a view of, nearest
/// first. `operand` makes the operand's view from the view that the trail's start is. Casts that narrow
/// are not passed: they are where a graph saves memory.
pub(crate) fn sources(
    graph: &Graph,
    mut trail: Trail,
    operand: impl Fn(View) -> Option<View>,
) -> Vec<Source> {
    let mut found = Vec::new();
    loop {
        if let Some(view) = trail.view(graph).and_then(&operand) {
            found.push(Source { value: trail.at, view });
        }
        let dtype = graph.ty(trail.at).dtype;
        if !trail.step(graph) || !graph.ty(trail.at).dtype.widens_to(dtype) {
            return found;
        }
    }
}

impl Reading {
    /// The reading that takes fewest layout ops; of those the one of the narrowest type; of those the
    /// last, which makes the layout ops before it superfluous. `None` if layout ops can make none of
    /// the views.
    pub(crate) fn best(
        graph: &Graph,
        sources: impl DoubleEndedIterator<Item = Source>,
    ) -> Option<Reading> {
        let read = |Source { value, view }| {
            let ops = layout_ops(&view, &graph.ty(value).shape, graph.symbols())?;
            is_certain(graph, value, &ops).then_some(Reading { value, ops })
        };
        let cost = |reading: &Reading| (reading.ops.len(), graph.ty(reading.value).dtype.bytes());
        sources.rev().filter_map(read).min_by_key(cost)
    }

    /// Adds the operand, in this element type.
    pub(crate) fn emit(
        &self,
        patch: &mut PatchBuilder<'_>,
        dtype: minuend_ir::DType,
    ) -> Result<ValueId, minuend_ir::TypeError> {
        let value = emit_ops(patch, self.value, &self.ops)?;
        patch.cast(value, dtype)
    }
}

/// True if every op is well typed: the bounds of a slice may depend on symbols.
fn is_certain(graph: &Graph, value: ValueId, ops: &[Op]) -> bool {
    let ty = graph.ty(value).clone();
    let last = ops.iter().try_fold(ty, |ty, op| {
        op.infer(&[&ty], graph.symbols()).ok().and_then(|types| types.into_iter().next())
    });
    last.is_some()
}
