//! Operators that move elements.

use minuend_ir::ops::{CompareOp, Constant, Literal};
use minuend_ir::{DType, Dim, Emit, Op, Shape, TensorType, ValueId};

use super::arithmetic::number_like;
use crate::node::{Node, Refusal, Results, one};
use crate::sizes::concatenated;
use crate::value::{Sizes, Value};

/// `Identity`, and `Dropout`, which drops nothing outside of training.
pub(super) fn identity(n: &mut Node<'_>) -> Results {
    let is_training =
        n.stored(2).and_then(|mode| mode.bools()).is_some_and(|mode| mode.contains(&true));
    if is_training {
        return Err(Refusal::new("training_mode is true", "export the model in evaluation mode"));
    }
    let value = n.value(0)?.clone();
    if !n.has_output(1) {
        return Ok(vec![value]);
    }
    // The mask of a dropout that drops nothing.
    let shape = n.shape(0)?;
    let values = Literal::Bools([true].into());
    let ty = TensorType { dtype: DType::Bool, shape };
    let mask = n.graph().value(Op::Constant(Constant { ty, values }), &[])?;
    Ok(vec![value, Value::Tensor(mask)])
}

/// The shape in fixed sizes, if it has no others and its elements can be counted.
pub(super) fn fixed(shape: &[Dim]) -> Option<Vec<usize>> {
    let sizes: Option<Vec<usize>> =
        shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect();
    sizes.filter(|sizes| sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size)).is_some())
}

/// Known sizes, or else a value of the graph, in another shape of as many elements.
fn reshaped(n: &mut Node<'_>, shape: &[Dim]) -> Results {
    if let Value::Sizes(sizes) = n.value(0)?
        && let Some(fixed) = fixed(shape)
        && fixed.iter().product::<usize>() == sizes.elements.len()
    {
        return Ok(vec![Value::Sizes(sizes.clone().reshaped(fixed))]);
    }
    let x = n.tensor(0)?;
    one(n.graph().reshape(x, shape)?)
}

pub(super) fn reshape(n: &mut Node<'_>) -> Results {
    let own = n.shape(0)?;
    let asked = n.sizes(1, "the sizes of the new shape")?;
    let keeps_zero = n.attr_int("allowzero", 0) != 0;
    let mut shape: Vec<Dim> = Vec::with_capacity(asked.len());
    let mut open = None;
    for (axis, size) in asked.into_iter().enumerate() {
        if size.is(-1) {
            if open.replace(axis).is_some() {
                return Err(Refusal::new(
                    "two sizes of the new shape are -1",
                    "expected one at most",
                ));
            }
            shape.push(Dim::one());
        } else if size.is(0) && !keeps_zero {
            let kept = own.get(axis).cloned();
            shape.push(kept.ok_or_else(|| {
                Refusal::new(format!("size {axis} of the new shape is taken from no axis"), "")
            })?);
        } else {
            shape.push(size);
        }
    }
    if let Some(axis) = open {
        let elements: Dim = own.iter().product();
        let others: Dim = shape.iter().product();
        let size = elements.exact_div(&others).ok_or_else(|| {
            let symbols = n.symbols();
            Refusal::new(
                format!(
                    "{} elements do not fill rows of {} for every size",
                    elements.display(symbols),
                    others.display(symbols)
                ),
                "give every size of the new shape",
            )
        })?;
        if let Some(slot) = shape.get_mut(axis) {
            *slot = size;
        }
    }
    reshaped(n, &shape)
}

pub(super) fn flatten(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    // The axis may be the rank: then there is one column.
    let axis = n.attr_int("axis", 1);
    let axis = if i64::try_from(shape.len()) == Ok(axis) {
        shape.len()
    } else {
        n.axis(axis, shape.len())?
    };
    let rows: Dim = shape.iter().take(axis).product();
    let columns: Dim = shape.iter().skip(axis).product();
    reshaped(n, &[rows, columns])
}

pub(super) fn transpose(n: &mut Node<'_>) -> Results {
    let rank = n.shape(0)?.len();
    let perm: Vec<usize> = match n.attr_ints("perm") {
        None => (0..rank).rev().collect(),
        Some(perm) => {
            let perm: Option<Vec<usize>> =
                perm.iter().map(|axis| usize::try_from(*axis).ok()).collect();
            perm.ok_or_else(|| Refusal::new("perm has an axis below 0", ""))?
        }
    };
    if let Value::Sizes(sizes) = n.value(0)?
        && rank <= 1
    {
        return Ok(vec![Value::Sizes(sizes.clone())]);
    }
    let x = n.tensor(0)?;
    one(n.graph().value(Op::Transpose(minuend_ir::ops::Transpose { perm: perm.into() }), &[x])?)
}

pub(super) fn squeeze(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    let axes = match n.axes_argument(1)? {
        Some(axes) => n.axes(&axes, shape.len())?,
        None => (0..shape.len()).filter(|axis| shape.get(*axis).is_some_and(|d| d.is(1))).collect(),
    };
    let mut kept = Vec::new();
    for (axis, size) in shape.iter().enumerate() {
        if !axes.contains(&axis) {
            kept.push(size.clone());
        } else if !size.is(1) {
            let found = format!("axis {axis} has size {}, expected 1", size.display(n.symbols()));
            return Err(Refusal::new(found, ""));
        }
    }
    reshaped(n, &kept)
}

pub(super) fn unsqueeze(n: &mut Node<'_>) -> Results {
    let mut shape: Vec<Dim> = n.shape(0)?.into_iter().collect();
    let axes = n.axes_argument(1)?.ok_or_else(|| Refusal::new("axes are missing", ""))?;
    let rank = shape.len().saturating_add(axes.len());
    for axis in n.axes(&axes, rank)? {
        shape.insert(axis.min(shape.len()), Dim::one());
    }
    reshaped(n, &shape)
}

/// The shape to which two shapes broadcast, sizes compared as functions of the symbols.
fn broadcast_shapes(n: &Node<'_>, a: &[Dim], b: &[Dim]) -> Result<Shape, Refusal> {
    let rank = a.len().max(b.len());
    let size = |shape: &[Dim], axis: usize| {
        let own = (axis + shape.len()).checked_sub(rank);
        own.and_then(|axis| shape.get(axis)).cloned().unwrap_or_else(Dim::one)
    };
    let mut shape = Shape::new();
    for axis in 0..rank {
        let (a, b) = (size(a, axis), size(b, axis));
        if a == b || b.is(1) {
            shape.push(a);
        } else if a.is(1) {
            shape.push(b);
        } else {
            let symbols = n.symbols();
            let found = format!(
                "axis {axis} has sizes {} and {}, expected equal ones, or 1",
                a.display(symbols),
                b.display(symbols)
            );
            return Err(Refusal::new(
                found,
                "give axes that are always equal one name in the export",
            ));
        }
    }
    Ok(shape)
}

pub(super) fn expand(n: &mut Node<'_>) -> Results {
    let own = n.shape(0)?;
    let asked = n.sizes(1, "the sizes of the shape")?;
    let shape = broadcast_shapes(n, &own, &asked)?;
    if let Value::Sizes(sizes) = n.value(0)?
        && let ([element], Some(fixed)) = (sizes.elements.as_slice(), fixed(&shape))
        && fixed.iter().product::<usize>() <= crate::value::MOST_SIZES
    {
        let elements = vec![element.clone(); fixed.iter().product()];
        return Ok(vec![Value::Sizes(Sizes { dtype: sizes.dtype, shape: fixed, elements })]);
    }
    let x = n.tensor(0)?;
    one(n.graph().broadcast(x, &shape)?)
}

pub(super) fn tile(n: &mut Node<'_>) -> Results {
    let repeats = n.sizes(1, "repeats")?;
    let x = n.tensor(0)?;
    let own = n.graph().type_of(x).shape.clone();
    if repeats.len() != own.len() {
        let found = format!("{} repeats for {} axes", repeats.len(), own.len());
        return Err(Refusal::new(found, "expected one for each axis"));
    }
    // A repeated axis is broken into the repeats, outermost, and itself.
    let (mut apart, mut repeated, mut merged) = (Vec::new(), Vec::new(), Vec::new());
    for (size, repeat) in own.iter().zip(&repeats) {
        if !repeat.is(1) && !size.is(1) {
            apart.push(Dim::one());
            repeated.push(repeat.clone());
        }
        apart.push(size.clone());
        repeated.push(if size.is(1) { repeat.clone() } else { size.clone() });
        merged.push(size * repeat);
    }
    let g = n.graph();
    let x = g.reshape(x, &apart)?;
    let x = g.broadcast(x, &repeated)?;
    one(g.reshape(x, &merged)?)
}

pub(super) fn concat(n: &mut Node<'_>) -> Results {
    let rank = n.shape(0)?.len();
    let axis = n.axis(n.attr_int("axis", 0), rank)?;
    let mut known = Vec::new();
    for input in 0..n.inputs() {
        known.extend(n.known_sizes(input)?);
    }
    if known.len() == n.inputs()
        && let Some(joined) = concatenated(&known, axis)
    {
        return Ok(vec![Value::Sizes(joined)]);
    }
    let mut parts = Vec::with_capacity(n.inputs());
    for input in 0..n.inputs() {
        parts.push(n.tensor(input)?);
    }
    if let [part] = parts.as_slice() {
        return one(*part);
    }
    one(n.graph().concat(axis, &parts)?)
}

/// The upper or lower triangle of the last two axes; 0 elsewhere.
pub(super) fn trilu(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let diagonal = match n.has(1) {
        true => match n.sizes(1, "k")?.as_slice() {
            [k] => k.clone(),
            _ => return Err(Refusal::new("k has several elements", "expected one")),
        },
        false => Dim::zero(),
    };
    let is_upper = n.attr_int("upper", 1) != 0;
    let shape = n.graph().type_of(x).shape.clone();
    let [.., rows, columns] = shape.as_slice() else {
        return Err(Refusal::new("a tensor of less than 2 axes", "expected at least 2"));
    };
    let zero = number_like(n, x, 0)?;
    let g = n.graph();
    let column = g.iota(columns.clone())?;
    let row = g.iota(rows.clone())?;
    let row = g.reshape(row, &[rows.clone(), Dim::one()])?;
    let bound = if diagonal.is(0) {
        row
    } else {
        let diagonal = g.dim(diagonal)?;
        g.add_values(row, diagonal)?
    };
    let op = if is_upper { CompareOp::Ge } else { CompareOp::Le };
    let is_inside = g.compare(op, column, bound)?;
    one(g.select(is_inside, x, zero)?)
}

/// A constant around a tensor.
pub(super) fn pad(n: &mut Node<'_>) -> Results {
    let mode = n.attr_text("mode").unwrap_or_else(|| "constant".into());
    if mode != "constant" {
        return Err(Refusal::new(format!("mode {mode:?}"), "only constant padding is supported"));
    }
    let pads = n.sizes(1, "pads")?;
    let mut x = n.tensor(0)?;
    let rank = n.graph().type_of(x).rank();
    let axes = match n.has(3) {
        true => {
            let axes = n.ints(3, "axes")?;
            axes.iter().map(|axis| n.axis(*axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        false => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Refusal::new(format!("{} pads for {} axes", pads.len(), axes.len()), ""));
    }
    let fill = match n.optional_tensor(2)? {
        Some(fill) => {
            let dtype = n.graph().type_of(x).dtype;
            let fill = n.graph().reshape(fill, &[])?;
            n.graph().cast(fill, dtype)?
        }
        None => number_like(n, x, 0)?,
    };
    let (before, after) = pads.split_at(axes.len());
    for ((axis, before), after) in axes.into_iter().zip(before).zip(after) {
        let mut parts: Vec<ValueId> = Vec::new();
        for (size, place) in [(before, 0), (after, 1)] {
            if !size.at_least(0, n.symbols()) {
                let found = format!("a pad of {}", size.display(n.symbols()));
                return Err(Refusal::new(found, "use Slice to cut"));
            }
            if place == 1 {
                parts.push(x);
            }
            if !size.is(0) {
                let mut shape = n.graph().type_of(x).shape.clone();
                if let Some(slot) = shape.get_mut(axis) {
                    *slot = size.clone();
                }
                parts.push(n.graph().broadcast(fill, &shape)?);
            }
        }
        if parts.len() > 1 {
            x = n.graph().concat(axis, &parts)?;
        }
    }
    one(x)
}
