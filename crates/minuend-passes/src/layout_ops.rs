//! From a view back to layout ops: which axes of a dense base a view steps through, and the slice,
//! reshape, transpose and broadcast that make it.

use minuend_ir::ops::{Broadcast, Reshape, Slice, Transpose};
use minuend_ir::view::{Factor, Factors, View, dense_strides};
use minuend_ir::{Dim, Emit, Emitted, Op, PatchBuilder, Shape, SymbolTable, ValueId};
use smallvec::SmallVec;

/// Part of an axis of a view: `size` positions, `step` apart on one axis of the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The axis of the base; `None` repeats one element.
    pub(crate) axis: Option<usize>,
    /// Distance of neighbours along it.
    pub(crate) step: Dim,
    /// Number of positions.
    pub(crate) size: Dim,
}

/// A view in terms of the axes of its dense base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// For each axis of the base, the index of the view's first element.
    pub(crate) starts: SmallVec<[Dim; 4]>,
    /// For each axis of the view its pieces, outermost first; none for size 1.
    pub(crate) axes: Vec<Vec<Piece>>,
}

/// The part of one axis of the base that a view reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First index.
    pub(crate) start: Dim,
    /// Distance between indices; 1 for a single index.
    pub(crate) step: Dim,
    /// Number of indices.
    pub(crate) count: Dim,
}

/// Takes a view apart into steps along the axes of its base. `None` if a step crosses axes, or if it
/// depends on the symbols whether it does.
pub(crate) fn pieces(view: &View, base: &[Dim], symbols: &SymbolTable) -> Option<Pieces> {
    let strides = dense_strides(base);
    let starts = split_offset(&view.offset, base, &strides, symbols)?;
    let split = |factors: &Factors| {
        let mut found = Vec::new();
        for factor in factors.iter().rev() {
            split_factor(factor, base, &strides, symbols, &mut found)?;
        }
        found.reverse();
        Some(found)
    };
    let axes = view.axes().iter().map(split).collect::<Option<Vec<_>>>()?;
    Some(Pieces { starts, axes })
}

fn split_offset(
    offset: &Dim,
    base: &[Dim],
    strides: &[Dim],
    symbols: &SymbolTable,
) -> Option<SmallVec<[Dim; 4]>> {
    let mut rest = offset.clone();
    let mut starts = SmallVec::new();
    for (size, stride) in base.iter().zip(strides) {
        let start = match (rest.as_const(), stride.as_const()) {
            (Some(rest), Some(stride)) => Dim::from(rest.checked_div(stride)?),
            _ => rest.exact_div(stride).unwrap_or_default(),
        };
        if !start.is(0) && !(&(size - &start) - &Dim::one()).at_least(0, symbols) {
            return None;
        }
        rest = &rest - &(&start * stride);
        starts.push(start);
    }
    rest.is(0).then_some(starts)
}

/// Appends the pieces of a factor, innermost first.
fn split_factor(
    factor: &Factor,
    base: &[Dim],
    strides: &[Dim],
    symbols: &SymbolTable,
    found: &mut Vec<Piece>,
) -> Option<()> {
    let Factor { mut size, mut stride } = factor.clone();
    if stride.is(0) {
        found.push(Piece { axis: None, step: Dim::zero(), size });
        return Some(());
    }
    // Every turn moves to an axis farther out.
    for axis in (0..base.len()).rev() {
        let (whole, unit) = (base.get(axis)?, strides.get(axis)?);
        if whole.is(1) {
            continue;
        }
        let Some(step) = stride.exact_div(unit) else { continue };
        let count = whole.exact_div(&step);
        let stays_inside = match (step.as_const(), whole.as_const()) {
            (Some(step), Some(whole)) => 0 < step && step < whole,
            _ => step.is(1) || (step != *whole && count.is_some()),
        };
        if !stays_inside {
            continue;
        }
        let fits = count.as_ref().is_some_and(|count| count.exact_div(&size).is_some())
            || (&(whole - &(&step * &(&size + -1))) + -1).at_least(0, symbols);
        if fits {
            found.push(Piece { axis: Some(axis), step, size });
            return Some(());
        }
        let count = count?;
        let outer = size.exact_div(&count)?;
        stride = &stride * &count;
        found.push(Piece { axis: Some(axis), step, size: count });
        size = outer;
    }
    None
}

impl Pieces {
    /// What the view reads of one axis of the base; `None` if that is not evenly spaced, or an index is
    /// read twice.
    pub(crate) fn extent(&self, axis: usize) -> Option<Extent> {
        let sorted = self.sorted(axis)?;
        let step = sorted.last().map_or_else(Dim::one, |piece| piece.step.clone());
        let count = sorted.iter().map(|piece| &piece.size).product();
        Some(Extent { start: self.starts.get(axis)?.clone(), step, count })
    }

    /// Where the pieces of the view stand, counted through its axes, in the order of the base: axis by
    /// axis, outermost first.
    pub(crate) fn in_base_order(&self) -> Option<SmallVec<[usize; 4]>> {
        let flat: Vec<&Piece> = self.axes.iter().flatten().collect();
        let mut order = SmallVec::new();
        for axis in 0..self.starts.len() {
            for piece in self.sorted(axis)? {
                order.push(flat.iter().position(|other| std::ptr::eq(*other, piece))?);
            }
        }
        (order.len() == flat.len()).then_some(order)
    }

    /// The pieces along one axis of the base, outermost first; `None` unless they nest without gap.
    fn sorted(&self, axis: usize) -> Option<Vec<&Piece>> {
        let on_axis = |piece: &&Piece| piece.axis == Some(axis);
        let mut rest: Vec<&Piece> = self.axes.iter().flatten().filter(on_axis).collect();
        let mut sorted: Vec<&Piece> = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let next = rest.iter().position(|piece| match sorted.last() {
                Some(inner) => piece.step == &inner.step * &inner.size,
                None => rest.iter().all(|other| other.step.exact_div(&piece.step).is_some()),
            })?;
            sorted.push(rest.remove(next));
        }
        sorted.reverse();
        Some(sorted)
    }
}

/// The layout ops that make a view of a dense base, fewest first thought of; none for the identity.
/// `None` if they cannot.
pub(crate) fn layout_ops(view: &View, base: &[Dim], symbols: &SymbolTable) -> Option<Vec<Op>> {
    let shape = view.shape();
    if *view == View::dense(base) && shape.as_slice() == base {
        return Some(Vec::new());
    }
    // Row-major order under another shape; views of one shape do not tell size-1 axes apart.
    if view.offset.is(0) && View::dense(base).apply(&reshape(&shape)).as_ref() == Some(view) {
        return Some(vec![reshape(&shape)]);
    }
    let pieces = pieces(view, base, symbols)?;
    let mut ops = Vec::new();
    let mut current: Shape = base.into();
    for (axis, size) in base.iter().enumerate() {
        let extent = pieces.extent(axis)?;
        if let Some(slice) = slice_of(&extent, axis, size, symbols)? {
            ops.push(Op::Slice(slice));
            *current.get_mut(axis)? = extent.count;
        }
    }
    if let Some(perm) = plain_permutation(&pieces, &current) {
        if !is_identity(&perm) {
            ops.push(Op::Transpose(Transpose { perm }));
        }
        return Some(ops);
    }
    rearrange(&pieces, &current, &shape, &mut ops)?;
    Some(ops)
}

fn slice_of(
    extent: &Extent,
    axis: usize,
    size: &Dim,
    symbols: &SymbolTable,
) -> Option<Option<Slice>> {
    let Extent { start, step, count } = extent;
    if count == size && start.is(0) {
        return Some(None);
    }
    let step = u32::try_from(step.as_const()?).ok()?;
    let last = start + &(&(count + -1) * i64::from(step));
    if !(&(size - &last) + -1).at_least(0, symbols) {
        return None;
    }
    // Up to the end where that selects as many: the form in which exporters write pairs.
    let to_end = size - start;
    let all = match to_end.as_const() {
        Some(span) => Some(Dim::from((span + i64::from(step) - 1).checked_div(i64::from(step))?)),
        None => to_end.exact_div(&Dim::from(i64::from(step))),
    };
    if step > 1 && all.as_ref() == Some(count) {
        return Some(Some(Slice::strided(axis, start.clone(), step)));
    }
    if step > 1 && last.as_const().is_none() {
        return None;
    }
    let slice = Slice { axis, start: start.clone(), end: Some(&last + 1), step };
    Some(Some(slice))
}

/// The permutation that makes the view, where each of its axes is one whole axis.
fn plain_permutation(pieces: &Pieces, current: &[Dim]) -> Option<SmallVec<[usize; 4]>> {
    if pieces.axes.len() != current.len() {
        return None;
    }
    let mut units = (0..current.len()).filter(|axis| current.get(*axis).is_some_and(|d| d.is(1)));
    let mut perm = SmallVec::new();
    for axis in &pieces.axes {
        match axis.as_slice() {
            [] => perm.push(units.next()?),
            [piece] => {
                let source = piece.axis?;
                if current.get(source) != Some(&piece.size) {
                    return None;
                }
                perm.push(source);
            }
            _ => return None,
        }
    }
    Some(perm)
}

/// Splits axes into pieces, orders them, repeats, and merges them into the axes of the view.
fn rearrange(pieces: &Pieces, current: &[Dim], shape: &[Dim], ops: &mut Vec<Op>) -> Option<()> {
    let mut source: Vec<&Piece> = Vec::new();
    for axis in 0..current.len() {
        source.extend(pieces.sorted(axis)?);
    }
    let target: Vec<&Piece> = pieces.axes.iter().flatten().collect();
    let moved = target.iter().filter(|piece| piece.axis.is_some());
    let place = |piece: &&Piece| source.iter().position(|other| std::ptr::eq(*other, *piece));
    let perm: SmallVec<[usize; 4]> = moved.map(place).collect::<Option<_>>()?;
    let mut current: Shape = current.into();
    if !is_identity(&perm) {
        let split: Shape = source.iter().map(|piece| piece.size.clone()).collect();
        let ordered = perm.iter().map(|from| split.get(*from).cloned()).collect::<Option<_>>()?;
        reshape_to(split, &mut current, ops);
        ops.push(Op::Transpose(Transpose { perm }));
        current = ordered;
    }
    if target.iter().any(|piece| piece.axis.is_none()) {
        // Where the view is a broadcast as it stands, it needs no axis taken apart.
        let is_whole = |axis: &Vec<Piece>| axis.len() <= 1 || axis.iter().all(|p| p.axis.is_some());
        let (narrow, wide): (Shape, Shape) = if pieces.axes.iter().all(is_whole) {
            let axes = pieces.axes.iter().zip(shape);
            let repeats = |axis: &[Piece]| axis.first().is_some_and(|piece| piece.axis.is_none());
            let narrow =
                axes.map(|(axis, size)| if repeats(axis) { Dim::one() } else { size.clone() });
            (narrow.collect(), shape.into())
        } else {
            let size = |piece: &&Piece| match piece.axis {
                Some(_) => piece.size.clone(),
                None => Dim::one(),
            };
            (target.iter().map(size).collect(), target.iter().map(|p| p.size.clone()).collect())
        };
        // Missing outer axes are repeated without being there.
        let outer = narrow.iter().take_while(|size| size.is(1)).count();
        if narrow.get(outer..) != Some(current.as_slice()) {
            reshape_to(narrow, &mut current, ops);
        }
        ops.push(Op::Broadcast(Broadcast { shape: wide.clone() }));
        current = wide;
    }
    reshape_to(shape.into(), &mut current, ops);
    Some(())
}

fn reshape_to(shape: Shape, current: &mut Shape, ops: &mut Vec<Op>) {
    if *current != shape {
        ops.push(reshape(&shape));
        *current = shape;
    }
}

fn reshape(shape: &[Dim]) -> Op {
    Op::Reshape(Reshape { shape: shape.into() })
}

fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(to, from)| to == *from)
}

/// A view from the factors of its axes.
pub(crate) fn view_of(offset: Dim, axes: &[&[Factor]]) -> Option<View> {
    let flat = || axes.iter().copied().flatten();
    let sizes: Shape = flat().map(|factor| factor.size.clone()).collect();
    let strides: Shape = flat().map(|factor| factor.stride.clone()).collect();
    let size = |factors: &&[Factor]| factors.iter().map(|factor| &factor.size).product();
    let shape: Shape = axes.iter().map(size).collect();
    View::strided(offset, &sizes, &strides).apply(&reshape(&shape))
}

/// The ops behind `tail` more axes that none of them touches.
pub(crate) fn with_tail(ops: &[Op], tail: &[Dim]) -> Vec<Op> {
    let longer = |shape: &Shape| shape.iter().chain(tail).cloned().collect::<Shape>();
    let extended = |op: &Op| match op {
        Op::Reshape(op) => Op::Reshape(Reshape { shape: longer(&op.shape) }),
        Op::Broadcast(op) => Op::Broadcast(Broadcast { shape: longer(&op.shape) }),
        Op::Transpose(op) => {
            let rank = op.perm.len();
            let perm = op.perm.iter().copied().chain(rank..rank + tail.len()).collect();
            Op::Transpose(Transpose { perm })
        }
        other => other.clone(),
    };
    ops.iter().map(extended).collect()
}

/// Adds layout ops to a patch.
pub(crate) fn emit_ops(patch: &mut PatchBuilder<'_>, base: ValueId, ops: &[Op]) -> Emitted {
    ops.iter().try_fold(base, |value, op| patch.value(op.clone(), &[value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[i64]) -> Shape {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    fn transpose(perm: &[usize]) -> Op {
        Op::Transpose(Transpose { perm: perm.into() })
    }

    fn broadcast(sizes: &[i64]) -> Op {
        Op::Broadcast(Broadcast { shape: shape(sizes) })
    }

    fn seen(base: &[Dim], ops: &[Op]) -> View {
        ops.iter().fold(View::dense(base), |view, op| view.apply(op).unwrap())
    }

    /// The layout ops found for a view make that view, and are as many as expected.
    #[track_caller]
    fn assert_made(base: &[Dim], symbols: &SymbolTable, ops: &[Op], count: usize) {
        let view = seen(base, ops);
        let found = layout_ops(&view, base, symbols).unwrap();
        assert_eq!(seen(base, &found), view, "{found:?}");
        assert_eq!(found.len(), count, "{found:?}");
    }

    #[test]
    fn views_are_made_again_by_few_ops() {
        let symbols = SymbolTable::default();
        let base = shape(&[2, 8, 5, 4]);
        let odd = Op::Slice(Slice::strided(1, 1, 2));
        assert_made(&base, &symbols, &[], 0);
        assert_made(&base, &symbols, &[transpose(&[0, 2, 1, 3]), transpose(&[0, 2, 1, 3])], 0);
        assert_made(&base, &symbols, &[odd.clone(), transpose(&[0, 2, 1, 3])], 2);
        let pairs = [
            reshape(&shape(&[2, 4, 2, 5, 4])),
            Op::Slice(Slice::range(2, 1, 2)),
            reshape(&shape(&[2, 4, 5, 4])),
        ];
        assert_made(&base, &symbols, &pairs, 1);
        let split = [reshape(&shape(&[2, 2, 4, 5, 4])), transpose(&[0, 2, 1, 3, 4])];
        assert_made(&base, &symbols, &split, 2);
        let merged = [split[0].clone(), split[1].clone(), reshape(&shape(&[2, 8, 20]))];
        assert_made(&base, &symbols, &merged, 3);
        let rows = Op::Slice(Slice { axis: 2, start: 1.into(), end: Some(4.into()), step: 2 });
        assert_made(&base, &symbols, &[rows, odd], 2);
        let one = [Op::Slice(Slice::range(1, 3, 4)), broadcast(&[2, 6, 5, 4])];
        assert_made(&base, &symbols, &one, 2);
    }

    #[test]
    fn repeats_inside_and_outside() {
        let symbols = SymbolTable::default();
        let base = shape(&[2, 3, 5]);
        let grouped = [
            reshape(&shape(&[2, 3, 1, 5])),
            broadcast(&[2, 3, 4, 5]),
            reshape(&shape(&[2, 12, 5])),
        ];
        assert_made(&base, &symbols, &grouped, 3);
        assert_made(&base, &symbols, &[broadcast(&[7, 2, 3, 5])], 1);
    }

    #[test]
    fn symbolic_sizes() {
        let mut symbols = SymbolTable::default();
        let b = Dim::symbol(symbols.declare("B", 1, 64).unwrap());
        let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
        let p = Dim::symbol(symbols.declare("P", 0, 64).unwrap());
        let t = &p + &s;
        let base = [b.clone(), t.clone(), 48.into()];
        let heads = [b.clone(), t.clone(), 6.into(), 8.into()];
        let split = [reshape(&heads), transpose(&[0, 2, 1, 3])];
        assert_made(&base, &symbols, &split, 2);
        let merged = [&b * &t, 48.into()];
        let apart = [reshape(&merged), reshape(&heads), transpose(&[0, 2, 1, 3])];
        assert_made(&base, &symbols, &apart, 2);
        // The last S of P + S tokens.
        let last = Op::Slice(Slice::range(1, p.clone(), t.clone()));
        assert_made(&base, &symbols, &[last], 1);
        // Which tokens a diagonal reads depends on the sizes.
        let diagonal = View::strided(Dim::zero(), &[s], &[Dim::from(49)]);
        assert_eq!(layout_ops(&diagonal, &base, &symbols), None);
    }
}
