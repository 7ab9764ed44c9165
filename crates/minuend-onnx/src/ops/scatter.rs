//! Writes by index, as selections: each element of the result looks whether an update is for it.

use minuend_ir::ops::{CompareOp, ReduceKind, Slice};
use minuend_ir::{DType, Dim, Emit, ValueId};

use super::indexing::{flat_index, from_start, indexed_axes};
use crate::node::{Node, Refusal, Results, one};

fn check_reduction(n: &Node<'_>) -> Result<(), Refusal> {
    match n.attr_text("reduction") {
        Some(reduction) if reduction != "none" => {
            Err(Refusal::new(format!("reduction = {reduction:?}"), "only none is supported"))
        }
        _ => Ok(()),
    }
}

/// `ScatterElements(data, indices, updates)` along one axis; no two indices of a row are equal.
pub(super) fn elements(n: &mut Node<'_>) -> Results {
    check_reduction(n)?;
    let (data, indices, updates) = (n.tensor(0)?, n.tensor(1)?, n.tensor(2)?);
    let shape = n.graph().type_of(data).shape.clone();
    let axis = n.axis(n.attr_int("axis", 0), shape.len())?;
    let wanted = n.graph().type_of(indices).shape.clone();
    let mut expected = wanted.clone();
    if let (Some(slot), Some(size)) = (expected.get_mut(axis), shape.get(axis)) {
        *slot = size.clone();
    }
    if expected != shape {
        return Err(Refusal::new(
            "its indices have other sizes than the data along the other axes",
            "write it with Where",
        ));
    }
    let size = shape.get(axis).cloned().unwrap_or_default();
    // The axis goes last: data [rows, size], indices and updates [rows, count].
    let mut perm: Vec<usize> = (0..shape.len()).filter(|at| *at != axis).collect();
    perm.push(axis);
    let rows: Dim = perm.iter().take(shape.len() - 1).map(|at| &shape[*at]).product();
    let count = wanted.get(axis).cloned().unwrap_or_default();
    let mut flat = |value: ValueId, last: &Dim| -> Result<ValueId, Refusal> {
        let turned = n.graph().transpose(value, &perm)?;
        Ok(n.graph().reshape(turned, &[rows.clone(), last.clone()])?)
    };
    let (data, indices, updates) =
        (flat(data, &size)?, flat(indices, &count)?, flat(updates, &count)?);
    let indices = n.graph().cast(indices, DType::I64)?;
    let indices = from_start(n, indices, &size)?;
    let written = written(n, data, indices, updates, [&rows, &count, &size])?;
    let g = n.graph();
    let turned: Vec<Dim> = perm.iter().map(|at| shape[*at].clone()).collect();
    let written = g.reshape(written, &turned)?;
    let mut inverse = vec![0; perm.len()];
    for (to, from) in perm.iter().enumerate() {
        inverse[*from] = to;
    }
    one(g.transpose(written, &inverse)?)
}

/// `data [rows, size]` with `updates [rows, count]` at `indices [rows, count]`.
fn written(
    n: &mut Node<'_>,
    data: ValueId,
    indices: ValueId,
    updates: ValueId,
    [rows, count, size]: [&Dim; 3],
) -> Result<ValueId, Refusal> {
    let dtype = n.graph().type_of(data).dtype;
    if !dtype.is_float() && dtype != DType::Bool {
        return Err(Refusal::new(format!("scattered {dtype}"), "scatter a float type and cast"));
    }
    let g = n.graph();
    let float = if dtype.is_float() { dtype } else { DType::F32 };
    let column = [rows.clone(), count.clone(), Dim::one()];
    let index = g.reshape(indices, &column)?;
    let value = g.cast(updates, float)?;
    let value = g.reshape(value, &column)?;
    let place = g.iota(size.clone())?;
    let is_here = g.compare(CompareOp::Eq, index, place)?;
    let (zero, unit) = (g.real(float, 0.0)?, g.real(float, 1.0)?);
    let values = g.select(is_here, value, zero)?;
    let hits = g.select(is_here, unit, zero)?;
    let flat = [rows.clone(), size.clone()];
    let values = g.reduce(ReduceKind::Sum, 1, values)?;
    let values = g.reshape(values, &flat)?;
    let values = g.cast(values, dtype)?;
    let hits = g.reduce(ReduceKind::Max, 1, hits)?;
    let hits = g.reshape(hits, &flat)?;
    let is_written = g.compare(CompareOp::Gt, hits, zero)?;
    Ok(g.select(is_written, values, data)?)
}

/// `ScatterND(data, indices, updates)`: whole blocks at the places that the last axis of the indices names.
pub(super) fn nd(n: &mut Node<'_>) -> Results {
    check_reduction(n)?;
    let data = n.tensor(0)?;
    let shape = n.graph().type_of(data).shape.clone();
    let depth = indexed_axes(&n.shape(1)?, shape.len())?;
    let updates = n.tensor(2)?;
    if let Some(result) = run_of_rows(n, data, updates, depth)? {
        return one(result);
    }
    let indices = n.tensor(1)?;
    let rows: Dim = shape[..depth].iter().product();
    let block: Dim = shape[depth..].iter().product();
    let number = flat_index(n, indices, &shape[..depth])?;
    let count: Dim = n.graph().type_of(number).shape.iter().product();
    // Blocks are the rows of `written`: each looks at the same indices.
    let g = n.graph();
    let number = g.reshape(number, &[Dim::one(), count.clone()])?;
    let number = g.broadcast(number, &[block.clone(), count.clone()])?;
    let data = g.reshape(data, &[rows.clone(), block.clone()])?;
    let data = g.transpose(data, &[1, 0])?;
    let updates = g.reshape(updates, &[count.clone(), block.clone()])?;
    let updates = g.transpose(updates, &[1, 0])?;
    let result = written(n, data, number, updates, [&block, &count, &rows])?;
    let result = n.graph().transpose(result, &[1, 0])?;
    one(n.graph().reshape(result, &shape)?)
}

/// Consecutive rows of the first axis, known while importing: the rows before, the updates, the rows behind.
fn run_of_rows(
    n: &mut Node<'_>,
    data: ValueId,
    updates: ValueId,
    depth: usize,
) -> Result<Option<ValueId>, Refusal> {
    let Some(indices) = n.known_sizes(1)?.filter(|_| depth == 1) else { return Ok(None) };
    let Some(first) = indices.elements.first().cloned() else { return Ok(Some(data)) };
    let is_run = indices.elements.iter().zip(0i64..).all(|(index, at)| *index == &first + at);
    let size = n.graph().size(data, 0);
    let count = Dim::from(indices.elements.len());
    let end = &first + &count;
    let symbols = n.symbols();
    if !is_run || !first.at_least(0, symbols) || !(&size - &end).at_least(0, symbols) {
        return Ok(None);
    }
    let shape = n.graph().type_of(data).shape.clone();
    let mut wanted = shape.clone();
    if let Some(slot) = wanted.first_mut() {
        *slot = count;
    }
    let g = n.graph();
    let updates = g.reshape(updates, &wanted)?;
    let mut parts = Vec::new();
    if !first.is(0) {
        parts.push(g.slice(data, Slice::range(0, 0, first))?);
    }
    parts.push(updates);
    if end != size {
        parts.push(g.slice(data, Slice { axis: 0, start: end, end: None, step: 1 })?);
    }
    if let [whole] = parts.as_slice() {
        return Ok(Some(*whole));
    }
    Ok(Some(g.concat(0, &parts)?))
}
