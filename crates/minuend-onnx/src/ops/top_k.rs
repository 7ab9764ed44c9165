//! The largest elements of an axis and where they are.

use minuend_ir::ops::{CompareOp, ReduceKind, UnaryOp};
use minuend_ir::{Dim, Emit};

use crate::node::{Node, Refusal, Results};
use crate::value::Value;

/// Most elements that are taken: each takes a pass over the axis.
const MOST: i64 = 64;

/// `TopK(x, k)`: the largest is found and taken out `k` times. Of equals the lower index comes first.
///
/// Elements must be finite, as the scores of a router are.
pub(super) fn top_k(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let shape = n.graph().type_of(x).shape.clone();
    let axis = n.axis(n.attr_int("axis", -1), shape.len())?;
    let k = match n.ints(1, "k")?.as_slice() {
        [k] if (1..=MOST).contains(k) => *k,
        found => {
            let found = format!("k = {found:?}");
            return Err(Refusal::new(found, format!("expected a number of 1 to {MOST}")));
        }
    };
    let size = shape.get(axis).cloned().unwrap_or_default();
    n.demand_at_least_zero(&(&size - &Dim::from(k)), |symbols| {
        format!("the {k} largest of {} elements", size.display(symbols))
    })?;
    let is_largest = n.attr_int("largest", 1) != 0;
    let g = n.graph();
    let mut rest = if is_largest { x } else { g.unary(UnaryOp::Neg, x)? };
    let dtype = g.type_of(x).dtype;
    let taken = g.real(dtype, f64::NEG_INFINITY)?;
    let place = g.iota(size.clone())?;
    let mut apart: Vec<Dim> = vec![Dim::one(); shape.len()];
    if let Some(slot) = apart.get_mut(axis) {
        *slot = size;
    }
    let place = g.reshape(place, &apart)?;
    let mut kept = shape.clone();
    if let Some(slot) = kept.get_mut(axis) {
        *slot = Dim::one();
    }
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    for _ in 0..k {
        let most = g.reduce(ReduceKind::Max, axis, rest)?;
        let index = g.arg_max(axis, rest)?;
        let index = g.reshape(index, &kept)?;
        let is_this = g.compare(CompareOp::Eq, place, index)?;
        rest = g.select(is_this, taken, rest)?;
        values.push(if is_largest { most } else { g.unary(UnaryOp::Neg, most)? });
        indices.push(index);
    }
    let (values, indices) = match k {
        1 => (values[0], indices[0]),
        _ => (g.concat(axis, &values)?, g.concat(axis, &indices)?),
    };
    Ok(vec![Value::Tensor(values), Value::Tensor(indices)])
}
