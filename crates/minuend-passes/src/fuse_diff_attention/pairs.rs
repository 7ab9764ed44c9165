//! Which heads are paired, decided by the sets of heads that the two sides select.

use minuend_ir::ops::Attention;
use minuend_ir::view::{Factor, Factors, dense_strides};
use minuend_ir::{Dim, Graph, Op, Shape, ValueId};

use super::queries::{self, AllHeads};
use crate::layout_ops::{Extent, Pieces, layout_ops, pieces, view_of};
use crate::remark::label;
use crate::trail::Trail;

/// Names of an attention's axes.
const AXES: [&str; 4] = ["batch", "heads", "tokens", "features"];

/// Where an attention's heads are.
const HEADS: usize = 1;

/// One side of the difference: all of an attention's result but for a selection of heads.
pub(super) struct Signal {
    /// The attention.
    pub(super) attention: ValueId,
    /// The axes of the difference in terms of those of the attention.
    pieces: Pieces,
    heads: Extent,
}

impl Signal {
    /// What a trail from the difference to an attention reads of it.
    pub(super) fn of(graph: &Graph, trail: &Trail) -> Result<Signal, String> {
        let attention = trail.at;
        let name = label(graph, attention.node);
        let shape = &graph.ty(attention).shape;
        let inexpressible =
            || format!("the elements of {name} are selected or ordered in no regular way");
        let view = trail.view(graph).ok_or_else(inexpressible)?;
        let pieces = pieces(&view, shape, graph.symbols()).ok_or_else(inexpressible)?;
        if pieces.axes.iter().flatten().any(|piece| piece.axis.is_none()) {
            return Err(format!("elements of {name} are repeated"));
        }
        for (axis, (size, what)) in shape.iter().zip(AXES).enumerate() {
            let extent = pieces.extent(axis).ok_or_else(inexpressible)?;
            let is_whole = extent.start.is(0) && extent.count == *size;
            if axis != HEADS && !is_whole {
                return Err(format!("only part of the {what} of {name} is read"));
            }
        }
        let heads = pieces.extent(HEADS).ok_or_else(inexpressible)?;
        Ok(Signal { attention, pieces, heads })
    }
}

/// Heads that are paired as neighbours.
pub(super) struct Paired {
    /// The axes of the difference in terms of a result `[B, h, S, d_v]`.
    pub(super) pieces: Pieces,
    /// Shape of that result.
    pub(super) shape: Shape,
    /// The queries of all `2h` heads, where the pattern has two attentions of `h` heads.
    pub(super) queries: Option<AllHeads>,
}

impl Paired {
    /// The layout ops from the result to the difference.
    pub(super) fn result_layout(&self, graph: &Graph) -> Option<Vec<Op>> {
        let strides = dense_strides(&self.shape);
        let mut axes: Vec<Factors> = Vec::new();
        for pieces in &self.pieces.axes {
            let factor = |piece: &crate::layout_ops::Piece| {
                let stride = &piece.step * strides.get(piece.axis?)?;
                Some(Factor { size: piece.size.clone(), stride })
            };
            axes.push(pieces.iter().map(factor).collect::<Option<_>>()?);
        }
        let axes: Vec<&[Factor]> = axes.iter().map(|factors| factors.as_slice()).collect();
        layout_ops(&view_of(Dim::zero(), &axes)?, &self.shape, graph.symbols())
    }
}

/// The pairs, or why they are not neighbours that read one K/V head.
pub(super) fn pair(graph: &Graph, a: &Signal, b: &Signal) -> Result<Paired, String> {
    if a.attention == b.attention {
        of_one_attention(graph, a, b)
    } else {
        of_two_attentions(graph, a, b)
    }
}

fn of_one_attention(graph: &Graph, a: &Signal, b: &Signal) -> Result<Paired, String> {
    let ty = graph.ty(a.attention);
    let show = |dim: &Dim| dim.display(graph.symbols()).to_string();
    let all = &ty.shape[HEADS];
    let half = all.exact_div(&Dim::from(2));
    let half = half.filter(|half| a.heads.count == *half && b.heads.count == *half);
    let Some(half) = half else {
        return Err(format!(
            "{} heads are paired with {} of {} heads, expected half of them each",
            show(&a.heads.count),
            show(&b.heads.count),
            show(all)
        ));
    };
    let step = &a.heads.step;
    let groups = groups(graph, a.attention)?;
    let (first, second) = (&a.heads.start, &b.heads.start);
    let are_even = half.is(1) || (step.is(2) && b.heads.step.is(2));
    let are_halves = step.is(1) && b.heads.step.is(1);
    if are_even && first.is(1) && second.is(0) {
        return Err("the pairs are swapped: head 2i is subtracted from head 2i + 1".into());
    }
    if !(are_even && first.is(0) && second.is(1)) {
        let is_half = |start: &Dim| start.is(0) || *start == half;
        if are_halves && is_half(first) && is_half(second) && first != second {
            return Err(halves(all, &half, &groups));
        }
        return Err(format!(
            "heads {} + {}i are paired with heads {} + {}i, expected 2i with 2i + 1",
            show(first),
            show(step),
            show(second),
            show(&b.heads.step)
        ));
    }
    if half.exact_div(&groups).is_none() {
        return Err(format!(
            "a pair straddles K/V groups: {} heads read {} groups, expected an even number of heads \
             in a group",
            show(all),
            show(&groups)
        ));
    }
    if a.pieces.axes != b.pieces.axes {
        return Err("the paired heads stand in different orders".into());
    }
    let mut pieces = a.pieces.clone();
    for piece in pieces.axes.iter_mut().flatten().filter(|piece| piece.axis == Some(HEADS)) {
        piece.step = piece.step.exact_div(&Dim::from(2)).ok_or("heads are paired unevenly")?;
    }
    let mut shape = ty.shape.clone();
    shape[HEADS] = half;
    Ok(Paired { pieces, shape, queries: None })
}

/// Why heads `i` and `i + h` of `2h` are not fused.
fn halves(all: &Dim, half: &Dim, groups: &Dim) -> String {
    let numbers = (all.as_const(), half.as_const(), groups.as_const());
    if let (Some(all), Some(half), Some(groups)) = numbers
        && groups > 1
        && let Some(group) = all.checked_div(groups).and_then(|heads| half.checked_div(heads))
    {
        return format!(
            "pair heads read different K/V groups: heads 0 and {half} read groups 0 and {group}; \
             only interleaved pairs, heads 2i and 2i + 1, are fused"
        );
    }
    queries::HALVES.into()
}

fn groups(graph: &Graph, attention: ValueId) -> Result<Dim, String> {
    let k = graph.operand(attention.node, 1).ok_or("an attention reads q, k and v")?;
    Ok(graph.ty(k).shape[HEADS].clone())
}

fn of_two_attentions(graph: &Graph, a: &Signal, b: &Signal) -> Result<Paired, String> {
    let names = [a.attention, b.attention].map(|attention| label(graph, attention.node));
    let [first, second] = &names;
    for (signal, name) in [(a, first), (b, second)] {
        let heads = &graph.ty(signal.attention).shape[HEADS];
        if !signal.heads.start.is(0) || signal.heads.count != *heads {
            return Err(format!("of two attentions, only part of the heads of {name} is read"));
        }
    }
    let (Op::Attention(one), Op::Attention(other)) =
        (graph.def(a.attention), graph.def(b.attention))
    else {
        return Err(format!("{first} and {second} are no attentions"));
    };
    check_attributes(one, other, &names)?;
    let (left, right) = (graph.operands(a.attention.node), graph.operands(b.attention.node));
    let ([q, k, v], [other_q, other_k, other_v]) = (left.as_slice(), right.as_slice()) else {
        return Err("an attention reads q, k and v".into());
    };
    for (what, one, other) in [("keys", k, other_k), ("values", v, other_v)] {
        if !is_same_tensor(graph, *one, *other) {
            let (one, other) = (label(graph, one.node), label(graph, other.node));
            return Err(format!("{first} and {second} read different {what}: {one} and {other}"));
        }
    }
    if graph.ty(a.attention) != graph.ty(b.attention) || graph.ty(*q) != graph.ty(*other_q) {
        return Err(format!("{first} and {second} are of different types"));
    }
    if a.pieces.axes != b.pieces.axes {
        return Err("the paired heads stand in different orders".into());
    }
    let queries = queries::interleaved(graph, *q, *other_q)?;
    let shape = graph.ty(a.attention).shape.clone();
    Ok(Paired { pieces: a.pieces.clone(), shape, queries: Some(queries) })
}

fn check_attributes(a: &Attention, b: &Attention, names: &[String; 2]) -> Result<(), String> {
    let [first, second] = names;
    if a.mask != b.mask {
        let (one, other) = (a.mask, b.mask);
        return Err(format!("different masks: {first} is {one}, {second} is {other}"));
    }
    if a.scale != b.scale {
        let (one, other) = (a.scale, b.scale);
        return Err(format!("different scales: {first} has {one}, {second} has {other}"));
    }
    Ok(())
}

/// True if two values are one view of one tensor.
fn is_same_tensor(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    if a == b {
        return true;
    }
    let (left, right) = (Trail::from(a).climb(graph), Trail::from(b).climb(graph));
    let views = (left.view(graph), right.view(graph));
    left.at == right.at && matches!(views, (Some(left), Some(right)) if left == right)
}
