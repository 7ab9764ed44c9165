//! Sizes as values.

use minuend_ir::Dim;

use crate::node::{Node, Refusal, Results};
use crate::value::{Sizes, Value};

/// `Shape(data)`, from axis `start` to axis `end`.
pub(super) fn shape(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    let rank = i64::try_from(shape.len()).map_err(|_| Refusal::new("too many axes", ""))?;
    let bound = |axis: i64| {
        let axis = if axis < 0 { axis.saturating_add(rank) } else { axis };
        // No truncation: between 0 and the rank.
        axis.clamp(0, rank) as usize
    };
    let start = bound(n.attr_int("start", 0));
    let end = bound(if n.has_attribute("end") { n.attr_int("end", rank) } else { rank });
    let sizes = shape.get(start..end.max(start)).unwrap_or_default();
    Ok(vec![Value::Sizes(Sizes::vector(sizes.to_vec()))])
}

/// The number of elements.
pub(super) fn size(n: &mut Node<'_>) -> Results {
    let elements: Dim = n.shape(0)?.iter().product();
    Ok(vec![Value::Sizes(Sizes::scalar(elements))])
}
