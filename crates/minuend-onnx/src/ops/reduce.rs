//! Reductions along axes.

use minuend_ir::ops::{CompareOp, ReduceKind, UnaryOp};
use minuend_ir::{DType, Dim, Emit, ValueId};

use crate::node::{Node, Refusal, Results, one};
use crate::value::{Sizes, Value};

/// The axes that are reduced; `None` for none at all.
fn reduced_axes(n: &Node<'_>, rank: usize) -> Result<Option<Vec<usize>>, Refusal> {
    match n.axes_argument(1)? {
        Some(axes) if !axes.is_empty() => n.axes(&axes, rank).map(Some),
        _ if n.attr_int("noop_with_empty_axes", 0) != 0 => Ok(None),
        _ => Ok(Some((0..rank).collect())),
    }
}

/// `x` reduced along axes, which keep size 1.
pub(super) fn along(
    n: &mut Node<'_>,
    kind: ReduceKind,
    axes: &[usize],
    mut x: ValueId,
) -> Result<ValueId, Refusal> {
    for axis in axes {
        x = n.graph().reduce(kind, *axis, x)?;
    }
    Ok(x)
}

/// Applies `before` to the elements, reduces them, and drops the axes if they are not to be kept.
fn reduced(
    n: &mut Node<'_>,
    kind: ReduceKind,
    before: impl Fn(&mut Node<'_>, ValueId) -> Result<ValueId, Refusal>,
    behind: impl Fn(&mut Node<'_>, ValueId) -> Result<ValueId, Refusal>,
) -> Results {
    let x = n.tensor(0)?;
    let shape = n.graph().type_of(x).shape.clone();
    let dtype = n.graph().type_of(x).dtype;
    if !dtype.is_float() {
        return Err(Refusal::new(format!("a reduction of {dtype}"), "cast to a float type first"));
    }
    let Some(axes) = reduced_axes(n, shape.len())? else { return one(x) };
    let x = before(n, x)?;
    let x = along(n, kind, &axes, x)?;
    let x = behind(n, x)?;
    if n.attr_int("keepdims", 1) != 0 {
        return one(x);
    }
    let kept = shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
    let kept: Vec<Dim> = kept.map(|(_, size)| size.clone()).collect();
    one(n.graph().reshape(x, &kept)?)
}

pub(super) fn reduce(n: &mut Node<'_>, kind: ReduceKind) -> Results {
    if kind == ReduceKind::Sum
        && let Some(sizes) = over_sizes(n, |a, b| a + b)?
    {
        return Ok(vec![sizes]);
    }
    reduced(n, kind, |_, x| Ok(x), |_, x| Ok(x))
}

/// The smallest: minus the largest of the negatives.
pub(super) fn minimum(n: &mut Node<'_>) -> Results {
    let negative = |n: &mut Node<'_>, x| Ok(n.graph().unary(UnaryOp::Neg, x)?);
    reduced(n, ReduceKind::Max, negative, negative)
}

pub(super) fn l2(n: &mut Node<'_>) -> Results {
    let square = |n: &mut Node<'_>, x| Ok(n.graph().mul(x, x)?);
    reduced(n, ReduceKind::Sum, square, |n, x| Ok(n.graph().unary(UnaryOp::Sqrt, x)?))
}

pub(super) fn sum_of_squares(n: &mut Node<'_>) -> Results {
    reduced(n, ReduceKind::Sum, |n, x| Ok(n.graph().mul(x, x)?), |_, x| Ok(x))
}

/// Products are of sizes.
pub(super) fn product(n: &mut Node<'_>) -> Results {
    match over_sizes(n, |a, b| a * b)? {
        Some(sizes) => Ok(vec![sizes]),
        None => Err(Refusal::new("a product of data", "only products of sizes are supported")),
    }
}

/// A vector of known sizes in one; `None` for other inputs.
fn over_sizes(n: &Node<'_>, f: impl Fn(&Dim, &Dim) -> Dim) -> Result<Option<Value>, Refusal> {
    let Some(sizes) = n.known_sizes(0)?.filter(|sizes| sizes.shape.len() <= 1) else {
        return Ok(None);
    };
    let rank = sizes.shape.len();
    let Some(axes) = reduced_axes(n, rank)? else { return Ok(Some(Value::Sizes(sizes))) };
    let mut elements = sizes.elements.iter();
    let Some(first) = elements.next().filter(|_| axes.len() == rank) else { return Ok(None) };
    let total = elements.fold(first.clone(), |total, size| f(&total, size));
    let shape = if n.attr_int("keepdims", 1) != 0 { vec![1; rank] } else { Vec::new() };
    Ok(Some(Value::Sizes(Sizes { dtype: sizes.dtype, shape, elements: vec![total] })))
}

/// Index of the largest; of equals the lowest.
pub(super) fn arg_max(n: &mut Node<'_>) -> Results {
    if n.attr_int("select_last_index", 0) != 0 {
        return Err(Refusal::new("select_last_index", "of equals only the first is supported"));
    }
    let x = n.tensor(0)?;
    let mut shape: Vec<Dim> = n.graph().type_of(x).shape.iter().cloned().collect();
    let axis = n.axis(n.attr_int("axis", 0), shape.len())?;
    let index = n.graph().arg_max(axis, x)?;
    if n.attr_int("keepdims", 1) == 0 {
        return one(index);
    }
    if let Some(size) = shape.get_mut(axis) {
        *size = Dim::one();
    }
    one(n.graph().reshape(index, &shape)?)
}

/// `out[i] = x[0] + .. + x[i]`: a product with a triangle of ones.
pub(super) fn cumulative_sum(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let ty = n.graph().type_of(x).clone();
    let axis = match n.ints(1, "the axis")?.as_slice() {
        [axis] => n.axis(*axis, ty.rank())?,
        _ => return Err(Refusal::new("several axes", "expected one")),
    };
    let is_exclusive = n.attr_int("exclusive", 0) != 0;
    let is_reverse = n.attr_int("reverse", 0) != 0;
    let size = ty.shape.get(axis).cloned().unwrap_or_default();
    // Counts of tokens are exact in f32; larger sums of integers need not be.
    let most = size.max(n.symbols());
    if !ty.dtype.is_float() && most >= 1 << 24 {
        return Err(Refusal::new(format!("sums of up to {most} integers"), "expected below 2^24"));
    }
    let last = ty.rank() - 1;
    let mut perm: Vec<usize> = (0..ty.rank()).collect();
    perm.swap(axis, last);
    let g = n.graph();
    let float = if ty.dtype.is_float() { ty.dtype } else { DType::F32 };
    let x = g.cast(x, float)?;
    let x = g.transpose(x, &perm)?;
    let turned = g.type_of(x).shape.clone();
    let rows: Dim = turned.iter().take(last).product();
    let x = g.reshape(x, &[rows, size.clone()])?;
    let column = g.iota(size.clone())?;
    let row = g.reshape(column, &[size, Dim::one()])?;
    let op = match (is_reverse, is_exclusive) {
        (false, false) => CompareOp::Ge,
        (false, true) => CompareOp::Gt,
        (true, false) => CompareOp::Le,
        (true, true) => CompareOp::Lt,
    };
    let is_added = g.compare(op, column, row)?;
    let triangle = g.cast(is_added, float)?;
    let sums = g.matmul(x, triangle)?;
    let sums = g.reshape(sums, &turned)?;
    let sums = g.transpose(sums, &perm)?;
    one(g.cast(sums, ty.dtype)?)
}
