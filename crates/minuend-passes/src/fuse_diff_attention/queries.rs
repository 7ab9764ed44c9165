//! The queries of all heads, from those of the even and those of the odd heads.

use minuend_ir::view::{Factor, Factors, View};
use minuend_ir::{DType, Dim, Emit, Emitted, Graph, Op, PatchBuilder, SymbolTable, ValueId};

use crate::layout_ops::view_of;
use crate::matcher::pair;
use crate::reading::{Reading, Source};
use crate::remark::label;
use crate::trail::Trail;

/// Why heads `i` and `i + h` are not fused.
pub(super) const HALVES: &str =
    "halves pairing: heads i and i + h; only interleaved pairs, heads 2i and 2i + 1, are fused";

/// The queries `[B, 2h, S, d]` of all heads.
pub(super) struct AllHeads {
    source: Reading,
    /// Element type of the source.
    dtype: DType,
    /// Ops behind the source that treat every head alike, the last first, with their other operand.
    alike: Vec<(Op, ValueId)>,
}

impl AllHeads {
    /// Adds the queries, in this element type.
    pub(super) fn emit(&self, patch: &mut PatchBuilder<'_>, dtype: DType) -> Emitted {
        let source = self.source.emit(patch, self.dtype)?;
        let apply = |x, (op, other): &(Op, ValueId)| patch.value(op.clone(), &[x, *other]);
        let queries = self.alike.iter().rev().try_fold(source, apply)?;
        patch.cast(queries, dtype)
    }
}

/// Queries whose heads `2i` are those of `even` and `2i + 1` those of `odd`, both `[B, h, S, d]`: they
/// must be every second head of one tensor, rotated and normalised alike.
pub(super) fn interleaved(
    graph: &Graph,
    mut even: ValueId,
    mut odd: ValueId,
) -> Result<AllHeads, String> {
    let names = (label(graph, even.node), label(graph, odd.node));
    let mut alike = Vec::new();
    while let Some((op, operands)) = same_op(graph, even, odd) {
        alike.push(op);
        (even, odd) = operands;
    }
    let common = common_sources(graph, even, odd);
    let Some((_, first, second)) = common.first() else {
        return Err(format!("the queries {} and {} are no heads of one tensor", names.0, names.1));
    };
    let sources = common.iter().filter_map(|(value, first, second)| {
        let view = all_heads(first, second, graph.symbols())?;
        Some(Source { value: *value, view })
    });
    match Reading::best(graph, sources) {
        Some(source) => Ok(AllHeads { source, dtype: graph.ty(even).dtype, alike }),
        None => Err(mispaired(first, second, &names)),
    }
}

/// An op on every head alike that computes both, and what it reads for the one and the other.
fn same_op(
    graph: &Graph,
    even: ValueId,
    odd: ValueId,
) -> Option<((Op, ValueId), (ValueId, ValueId))> {
    let op = graph.def(even);
    if !matches!(op, Op::Rope(_) | Op::RmsNorm(_)) || op != graph.def(odd) {
        return None;
    }
    let (even, other) = pair(graph, even.node)?;
    let (odd, same) = pair(graph, odd.node)?;
    (other == same).then(|| ((op.clone(), other), (even, odd)))
}

/// The values of which both are views, with the views, nearest first.
fn common_sources(graph: &Graph, a: ValueId, b: ValueId) -> Vec<(ValueId, View, View)> {
    let views = |value| {
        let mut trail = Trail::from(value);
        let mut found = Vec::new();
        loop {
            found.extend(trail.view(graph).map(|view| (trail.at, view)));
            if !trail.step(graph) {
                return found;
            }
        }
    };
    let others: Vec<(ValueId, View)> = views(b);
    let both = |(value, view): (ValueId, View)| {
        let other = others.iter().find(|(other, _)| *other == value)?;
        Some((value, view, other.1.clone()))
    };
    views(a).into_iter().filter_map(both).collect()
}

/// The view whose heads `2i` are those of `even`, `2i + 1` those of `odd`; `None` unless these are every
/// second head of a run.
fn all_heads(even: &View, odd: &View, symbols: &SymbolTable) -> Option<View> {
    let [batch, heads, rows, features] = even.axes() else { return None };
    let apart = &odd.offset - &even.offset;
    if even.axes() != odd.axes() || apart.is(0) || !apart.at_least(0, symbols) {
        return None;
    }
    // A single pair has no distance between heads to compare with.
    if heads.last().is_some_and(|inner| inner.stride != &apart * 2) {
        return None;
    }
    let mut all: Factors = heads.clone();
    all.push(Factor { size: Dim::from(2), stride: apart });
    view_of(even.offset.clone(), &[batch, &all, rows, features])
}

fn mispaired(first: &View, second: &View, names: &(String, String)) -> String {
    let apart = &second.offset - &first.offset;
    if let (Some(heads), true) = (first.axes().get(1), first.axes() == second.axes())
        && let Some(inner) = heads.last()
    {
        if apart == &Dim::zero() - &inner.stride.exact_div(&Dim::from(2)).unwrap_or_default() {
            return "the pairs are swapped: head 2i is subtracted from head 2i + 1".into();
        }
        let half = &inner.size * &inner.stride;
        if heads.len() == 1 && (apart == half || apart == &Dim::zero() - &half) {
            return HALVES.into();
        }
    }
    format!("the queries {} and {} are not every second head of one tensor", names.0, names.1)
}
