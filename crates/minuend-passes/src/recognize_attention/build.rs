//! The attention that a recognised pattern is: its operands as `[B, heads, rows, features]`, each read
//! from the nearest value of which it is a plain view.

use minuend_ir::ops::{Attention, Broadcast, Reshape, Transpose};
use minuend_ir::view::{Factor, Factors, View};
use minuend_ir::{DType, Dim, Emit, Graph, Op, PatchBuilder, Real, Shape, ValueId};
use smallvec::SmallVec;

use super::scores::Scores;
use super::{Product, weights};
use crate::layout_ops::{layout_ops, view_of, with_tail};
use crate::matcher::pair;
use crate::reading::{Reading, Source, sources};
use crate::remark::label;
use crate::storage::Storage;
use crate::trail::Trail;

/// An attention about to be added.
pub(super) struct RaisedAttention {
    op: Attention,
    q: Reading,
    k: Reading,
    v: Reading,
}

impl RaisedAttention {
    /// The attention that a product is, if its weights come from a softmax.
    pub(super) fn of(graph: &Graph, product: Product) -> Result<RaisedAttention, String> {
        let scores = weights::scores_of(graph, product.weights)?;
        let heads = Heads::new(graph, &scores, product)?;
        let at = label(graph, scores.product.node);
        let (q, k) = pair(graph, scores.product.node).ok_or("a product has two operands")?;
        let is_transposed =
            matches!(graph.def(scores.product), Op::Matmul(product) if product.transpose_rhs);
        let q = candidates(graph, q, false, |tail| heads.of_product(tail));
        let k = candidates(graph, k, !is_transposed, |tail| heads.of_product(tail));
        let v =
            candidates(graph, product.values, product.is_transposed, |tail| heads.of_values(tail));
        let repeat = gcd(most_repeats(&k), most_repeats(&v));
        let reading = |what, sources: Vec<Source>, repeat| {
            let narrowed = sources.into_iter().filter_map(|source| {
                let view = without_repeats(&source.view, repeat)?;
                Some(Source { view, ..source })
            });
            Reading::best(graph, narrowed).ok_or_else(|| {
                format!("the heads of {what} of {at} cannot be read by layout ops from one tensor")
            })
        };
        Ok(RaisedAttention {
            op: Attention { mask: scores.mask, scale: Real::new(scores.scale) },
            q: reading("the queries", q, 1)?,
            k: reading("the keys", k, repeat)?,
            v: reading("the values", v, repeat)?,
        })
    }

    /// Adds the attention in place of `result`. It computes in the type in which q, k and v meet, unless
    /// the result is wider and stays so: an attention rounds its result to its own type.
    pub(super) fn emit(
        &self,
        graph: &Graph,
        patch: &mut PatchBuilder<'_>,
        result: ValueId,
    ) -> Result<(), String> {
        let ty = graph.ty(result);
        let read = [&self.q, &self.k, &self.v];
        let native = common_dtype(read.map(|reading| graph.ty(reading.value).dtype));
        let storage = Storage::of(graph, result, native);
        let dtype = if ty.dtype.widens_to(native) { native } else { storage.dtype };
        let emitted = read.map(|reading| reading.emit(patch, dtype));
        let [q, k, v] = emitted;
        let attention = q.and_then(|q| patch.attention(self.op, q, k?, v?));
        let attention = attention
            .and_then(|attention| patch.cast(attention, storage.dtype))
            .and_then(|attention| patch.reshape(attention, &ty.shape));
        storage.replace(patch, attention.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// How batch and heads of the pattern's values become the two axes of an attention. All axes but the
/// last two and the first are heads, outermost first.
struct Heads {
    /// Outer axes of the product `q k^T`.
    product: Shape,
    /// From them to those of the weights: which heads are selected, and in which order.
    selection: Vec<Op>,
    /// Outer axes of the result.
    result: Shape,
    /// The result's first axis, and all its other outer axes in one.
    merged: [Dim; 2],
}

impl Heads {
    fn new(graph: &Graph, scores: &Scores, of: Product) -> Result<Heads, String> {
        let inexpressible = || {
            let at = label(graph, of.weights.node);
            format!("the heads that {at} selects behind the softmax are no selection of queries")
        };
        let product = outer(&graph.ty(scores.product).shape);
        let selected = outer_view(&scores.view, &graph.ty(scores.product).shape);
        let selected = selected.ok_or_else(inexpressible)?;
        let selection =
            layout_ops(&selected, &product, graph.symbols()).ok_or_else(inexpressible)?;
        let mut result = selected.shape();
        let values = outer(&graph.ty(of.values).shape);
        // Outer axes broadcast: the product of weights and values has been typed.
        while result.len() < values.len() {
            result.insert(0, Dim::one());
        }
        for (own, other) in result.iter_mut().rev().zip(values.iter().rev()) {
            if own.is(1) {
                *own = other.clone();
            }
        }
        let batch = result.first().cloned().unwrap_or_else(Dim::one);
        let heads = result.iter().skip(1).product();
        Ok(Heads { product, selection, result, merged: [batch, heads] })
    }

    /// From an operand of the product, with these last two axes.
    fn of_product(&self, tail: &[Dim]) -> Vec<Op> {
        let mut ops = vec![broadcast(&self.product, tail)];
        ops.extend(with_tail(&self.selection, tail));
        ops.extend(self.of_values(tail));
        ops
    }

    /// From weights or values, with these last two axes.
    fn of_values(&self, tail: &[Dim]) -> Vec<Op> {
        let shape = self.merged.iter().chain(tail).cloned().collect();
        vec![broadcast(&self.result, tail), Op::Reshape(Reshape { shape })]
    }
}

fn outer(shape: &[Dim]) -> Shape {
    shape.iter().take(shape.len().saturating_sub(2)).cloned().collect()
}

/// The view of the outer axes alone, where the view of the whole leaves the last two as they are.
fn outer_view(view: &View, base: &[Dim]) -> Option<View> {
    let [.., queries, keys] = base else { return None };
    let block = queries * keys;
    let axes = view.axes().iter().take(view.axes().len().checked_sub(2)?);
    let narrow = |factor: &Factor| {
        let stride = factor.stride.exact_div(&block)?;
        Some(Factor { size: factor.size.clone(), stride })
    };
    let axes = axes.map(|factors| factors.iter().map(narrow).collect::<Option<Factors>>());
    let axes = axes.collect::<Option<Vec<_>>>()?;
    let axes: Vec<&[Factor]> = axes.iter().map(|factors| factors.as_slice()).collect();
    view_of(view.offset.exact_div(&block)?, &axes)
}

fn broadcast(outer: &[Dim], tail: &[Dim]) -> Op {
    Op::Broadcast(Broadcast { shape: outer.iter().chain(tail).cloned().collect() })
}

fn swap_last_axes(rank: usize) -> Option<Op> {
    let mut perm: SmallVec<[usize; 4]> = (0..rank).collect();
    perm.swap(rank.checked_sub(1)?, rank.checked_sub(2)?);
    Some(Op::Transpose(Transpose { perm }))
}

/// Where an operand can be read: `value`, its last two axes swapped if `is_swapped`, and what `ops`
/// makes of a value of these last two axes.
fn candidates(
    graph: &Graph,
    value: ValueId,
    is_swapped: bool,
    ops: impl Fn(&[Dim]) -> Vec<Op>,
) -> Vec<Source> {
    let [.., rows, features] = graph.ty(value).shape.as_slice() else { return Vec::new() };
    let (first, ops) = if is_swapped {
        let swap = swap_last_axes(graph.ty(value).rank());
        (swap, ops(&[features.clone(), rows.clone()]))
    } else {
        (None, ops(&[rows.clone(), features.clone()]))
    };
    let operand = |view: View| first.iter().chain(&ops).try_fold(view, |view, op| view.apply(op));
    sources(graph, Trail::from(value), operand)
}

/// How often the innermost heads repeat one element.
fn repeats(view: &View) -> i64 {
    let heads = view.axes().get(1).and_then(|factors| factors.last());
    let repeat =
        heads.filter(|factor| factor.stride.is(0)).and_then(|factor| factor.size.as_const());
    repeat.unwrap_or(1)
}

fn most_repeats(sources: &[Source]) -> i64 {
    sources.iter().map(|source| repeats(&source.view)).max().unwrap_or(1)
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.max(1), b.max(1));
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}

/// The view whose innermost heads are read once where they repeat `repeat` times.
fn without_repeats(view: &View, repeat: i64) -> Option<View> {
    if repeat == 1 {
        return Some(view.clone());
    }
    let [batch, heads, rows, features] = view.axes() else { return None };
    let (last, outer) = heads.split_last()?;
    let size = last.size.exact_div(&Dim::from(repeat)).filter(|_| last.stride.is(0))?;
    let mut heads: Factors = outer.into();
    heads.push(Factor { size, stride: Dim::zero() });
    view_of(view.offset.clone(), &[batch, &heads, rows, features])
}

/// The type in which q, k and v meet: theirs where it is one, else the widest.
fn common_dtype(dtypes: [DType; 3]) -> DType {
    let [q, k, v] = dtypes;
    if q == k && k == v { q } else { DType::F32 }
}
