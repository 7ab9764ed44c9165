//! Rows and elements by index.

use minuend_ir::ops::{BinaryOp, CompareOp, Slice};
use minuend_ir::{DType, Dim, Emit, Shape, ValueId};

use super::arithmetic::int_like;
use crate::node::{Node, Refusal, Results, one};
use crate::sizes::gathered;
use crate::value::Value;

/// `Gather(data, indices)`: the axis is replaced by the axes of the indices.
pub(super) fn gather(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    let axis = n.axis(n.attr_int("axis", 0), shape.len())?;
    let known = n.known_sizes(1)?;
    if let (Value::Sizes(data), Some(indices)) = (n.value(0)?, &known)
        && let Some(chosen) = gathered(data, indices, axis)
    {
        return Ok(vec![Value::Sizes(chosen)]);
    }
    let data = n.tensor(0)?;
    let size = shape.get(axis).cloned().unwrap_or_default();
    // One index that is known is a slice, which costs nothing.
    if let Some(indices) = &known
        && let [index] = indices.elements.as_slice()
    {
        let start = if index.at_least(0, n.symbols()) { index.clone() } else { &size + index };
        n.demand_at_least_zero(&(&(&size - &start) + -1), |symbols| {
            format!("index {} of an axis of {}", index.display(symbols), size.display(symbols))
        })?;
        let part = n.graph().slice(data, Slice::range(axis, start.clone(), &start + 1))?;
        let mut kept: Vec<Dim> = shape.into_iter().collect();
        kept.splice(axis..=axis, indices.shape.iter().map(|_| Dim::one()));
        return one(n.graph().reshape(part, &kept)?);
    }
    let indices = n.tensor(1)?;
    // Known indices are made positive here; of others, exported models have none below 0.
    let may_be_negative = known
        .is_some_and(|known| known.elements.iter().any(|index| !index.at_least(0, n.symbols())));
    let indices = if may_be_negative { from_start(n, indices, &size)? } else { indices };
    one(n.graph().gather(axis, data, indices)?)
}

/// Indices that count from the end where they are negative, counted from the start.
pub(super) fn from_start(
    n: &mut Node<'_>,
    indices: ValueId,
    size: &Dim,
) -> Result<ValueId, Refusal> {
    let zero = int_like(n, indices, 0)?;
    let g = n.graph();
    let dtype = g.type_of(indices).dtype;
    let size = g.dim(size.clone())?;
    let size = g.cast(size, dtype)?;
    let is_negative = g.compare(CompareOp::Lt, indices, zero)?;
    let moved = g.add_values(indices, size)?;
    Ok(g.select(is_negative, moved, indices)?)
}

/// `GatherElements(data, indices)`: `out[.., i, ..] = data[.., indices[.., i, ..], ..]`.
pub(super) fn gather_elements(n: &mut Node<'_>) -> Results {
    let (data, indices) = (n.tensor(0)?, n.tensor(1)?);
    let shape = n.graph().type_of(data).shape.clone();
    let axis = n.axis(n.attr_int("axis", 0), shape.len())?;
    let wanted = n.graph().type_of(indices).shape.clone();
    let others = |shape: &Shape| {
        let mut shape = shape.clone();
        shape.remove(axis);
        shape
    };
    if wanted.len() != shape.len() || others(&wanted) != others(&shape) {
        return Err(Refusal::new(
            "its indices have other sizes than the data along the other axes",
            "slice the data to the sizes of the indices",
        ));
    }
    let size = shape.get(axis).cloned().unwrap_or_default();
    let indices = n.graph().cast(indices, DType::I64)?;
    let indices = from_start(n, indices, &size)?;
    // Every element has a number in row-major order: gather by number from the flat tensor.
    let g = n.graph();
    let mut number = None;
    let mut stride = Dim::one();
    for at in (0..shape.len()).rev() {
        let place = if at == axis {
            indices
        } else {
            let iota = g.iota(shape[at].clone())?;
            let mut apart: Vec<Dim> = vec![Dim::one(); shape.len()];
            apart[at] = shape[at].clone();
            g.reshape(iota, &apart)?
        };
        let scaled = if stride.is(1) {
            place
        } else {
            let stride = g.dim(stride.clone())?;
            g.mul(place, stride)?
        };
        number = Some(match number {
            None => scaled,
            Some(number) => g.add_values(number, scaled)?,
        });
        stride = &stride * &shape[at];
    }
    let number = number.ok_or_else(|| Refusal::new("a tensor without axes", ""))?;
    let number = g.broadcast(number, &wanted)?;
    let flat = g.reshape(data, &[stride])?;
    one(g.gather(0, flat, number)?)
}

/// `GatherND(data, indices)`: the last axis of the indices chooses along the first axes of the data.
pub(super) fn gather_nd(n: &mut Node<'_>) -> Results {
    let (data, indices) = (n.tensor(0)?, n.tensor(1)?);
    if n.attr_int("batch_dims", 0) != 0 {
        return Err(Refusal::new("batch_dims other than 0", "write it with GatherElements"));
    }
    let shape = n.graph().type_of(data).shape.clone();
    let depth = indexed_axes(&n.shape(1)?, shape.len())?;
    let number = flat_index(n, indices, &shape[..depth])?;
    let rows: Dim = shape[..depth].iter().product();
    let g = n.graph();
    let flat: Vec<Dim> = std::iter::once(rows).chain(shape[depth..].iter().cloned()).collect();
    let flat = g.reshape(data, &flat)?;
    one(g.gather(0, flat, number)?)
}

/// How many of the first `rank` axes each index of `indices [.., k]` chooses along: `k`.
pub(super) fn indexed_axes(indices: &[Dim], rank: usize) -> Result<usize, Refusal> {
    let axes = indices.last().and_then(Dim::as_const).and_then(|axes| usize::try_from(axes).ok());
    axes.filter(|axes| (1..=rank).contains(axes)).ok_or_else(|| {
        Refusal::new("the last axis of its indices has no size that fits the data", "")
    })
}

/// `indices [.., k]` into axes of these sizes, as one index into all of them: `[..]`.
pub(super) fn flat_index(
    n: &mut Node<'_>,
    indices: ValueId,
    sizes: &[Dim],
) -> Result<ValueId, Refusal> {
    let shape = n.graph().type_of(indices).shape.clone();
    let last = shape.len().saturating_sub(1);
    let indices = n.graph().cast(indices, DType::I64)?;
    let mut number = None;
    let mut stride = Dim::one();
    for (at, size) in sizes.iter().enumerate().rev() {
        let at = i64::try_from(at).map_err(|_| Refusal::new("too many axes", ""))?;
        let column = n.graph().slice(indices, Slice::range(last, at, at + 1))?;
        let column = n.graph().reshape(column, &shape[..last])?;
        let column = from_start(n, column, size)?;
        let g = n.graph();
        let stride_value = g.dim(stride.clone())?;
        let scaled = g.binary(BinaryOp::Mul, column, stride_value)?;
        number = Some(match number {
            None => scaled,
            Some(number) => g.add_values(number, scaled)?,
        });
        stride = &stride * size;
    }
    number.ok_or_else(|| Refusal::new("indices of no axes", ""))
}
