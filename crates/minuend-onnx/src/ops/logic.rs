//! Comparisons, truth values and choices.

use std::cmp::Ordering;

use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{DType, Dim, Emit};

use crate::node::{Node, Results, one};
use crate::sizes::{broadcast, elementwise, order, place};
use crate::stored::Stored;
use crate::value::{Sizes, Value};

/// Compares numbers; truth values for equality. Sizes where the answer is the same for all of them.
pub(super) fn compare(n: &mut Node<'_>, op: CompareOp) -> Results {
    if let (Some(a), Some(b)) = (n.known_sizes(0)?, n.known_sizes(1)?) {
        let answer = |a: &Dim, b: &Dim| {
            order(a, b, n.symbols())
                .map(|order| holds(op, order))
                .or_else(|| ruled_out(op, a, b, n))
        };
        if let Some((shape, truths)) = elementwise(&a, &b, answer) {
            return Ok(vec![truth_values(shape, &truths)]);
        }
    }
    let (a, b) = (n.tensor(0)?, n.tensor(1)?);
    let g = n.graph();
    if g.type_of(a).dtype != DType::Bool {
        return one(g.compare(op, a, b)?);
    }
    // Truth values are equal where neither is true alone.
    let not_b = g.unary(UnaryOp::Not, b)?;
    one(g.select(a, b, not_b)?)
}

fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order == Ordering::Equal,
        CompareOp::Ne => order != Ordering::Equal,
        CompareOp::Lt => order == Ordering::Less,
        CompareOp::Le => order != Ordering::Greater,
        CompareOp::Gt => order == Ordering::Greater,
        CompareOp::Ge => order != Ordering::Less,
    }
}

/// An answer that does not take to know the order: `a <= b` where `a < b` is not known.
fn ruled_out(op: CompareOp, a: &Dim, b: &Dim, n: &Node<'_>) -> Option<bool> {
    let at_least = |dim: Dim| dim.at_least(0, n.symbols());
    match op {
        CompareOp::Le if at_least(b - a) => Some(true),
        CompareOp::Gt if at_least(b - a) => Some(false),
        CompareOp::Ge if at_least(a - b) => Some(true),
        CompareOp::Lt if at_least(a - b) => Some(false),
        _ => None,
    }
}

/// Known truth values.
fn truth_values(shape: Vec<usize>, truths: &[bool]) -> Value {
    let data: Vec<u8> = truths.iter().map(|truth| u8::from(*truth)).collect();
    Value::of_stored(Stored::new("", DType::Bool, shape, data.into()))
}

pub(super) fn truth(n: &mut Node<'_>, op: BinaryOp) -> Results {
    let (a, b) = (n.tensor(0)?, n.tensor(1)?);
    one(n.graph().binary(op, a, b)?)
}

pub(super) fn xor(n: &mut Node<'_>) -> Results {
    let (a, b) = (n.tensor(0)?, n.tensor(1)?);
    let not_b = n.graph().unary(UnaryOp::Not, b)?;
    one(n.graph().select(a, not_b, b)?)
}

pub(super) fn not(n: &mut Node<'_>) -> Results {
    if let Some(truths) = n.stored(0).and_then(|stored| stored.bools())
        && truths.len() <= crate::value::MOST_SIZES
    {
        let shape = n.stored(0).map(|stored| stored.shape.clone()).unwrap_or_default();
        let inverse: Vec<bool> = truths.iter().map(|truth| !truth).collect();
        return Ok(vec![truth_values(shape, &inverse)]);
    }
    let x = n.tensor(0)?;
    one(n.graph().unary(UnaryOp::Not, x)?)
}

/// Only NaN differs from itself.
pub(super) fn is_nan(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    one(n.graph().compare(CompareOp::Ne, x, x)?)
}

/// `Where(condition, a, b)`. Exporters choose between sizes too, by conditions that are known.
pub(super) fn choose(n: &mut Node<'_>) -> Results {
    if let (Some(a), Some(b)) = (n.known_sizes(1)?, n.known_sizes(2)?)
        && let Some(chosen) = chosen_sizes(n, &a, &b)
    {
        return Ok(vec![Value::Sizes(chosen)]);
    }
    let (condition, a, b) = (n.tensor(0)?, n.tensor(1)?, n.tensor(2)?);
    one(n.graph().select(condition, a, b)?)
}

fn chosen_sizes(n: &Node<'_>, a: &Sizes, b: &Sizes) -> Option<Sizes> {
    let condition = n.stored(0)?;
    let truths = condition.bools()?;
    let shape = broadcast(&broadcast(&a.shape, &b.shape)?, &condition.shape)?;
    let count: usize = shape.iter().product();
    if count > crate::value::MOST_SIZES {
        return None;
    }
    let element = |index| {
        let from = if *truths.get(place(index, &shape, &condition.shape)?)? { a } else { b };
        from.elements.get(place(index, &shape, &from.shape)?).cloned()
    };
    let elements = (0..count).map(element).collect::<Option<_>>()?;
    Some(Sizes { dtype: a.dtype, shape, elements })
}
