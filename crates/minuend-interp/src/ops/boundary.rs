//! Weights, literals and sizes.

use std::sync::Arc;

use minuend_ir::ops::{Constant, DimValue, Literal, Weight};

use crate::error::{Fault, TypeText};
use crate::eval::Weights;
use crate::ops::layout::concat;
use crate::ops::{Computed, Context, ResultType};
use crate::tensor::{Data, Tensor};

/// The parts of a weight stacked along axis 0. A weight of one part is shared, not copied.
pub(crate) fn weight(
    op: &Weight,
    ty: &ResultType,
    weights: &dyn Weights,
) -> Result<Arc<Tensor>, Fault> {
    let mut parts = Vec::with_capacity(op.parts.len());
    for name in &op.parts {
        let part = weights.weight(name);
        parts.push(part.ok_or_else(|| Fault::MissingWeight { name: name.to_string() })?);
    }
    if let [part] = parts.as_slice() {
        if part.dtype() == ty.dtype && part.shape() == ty.shape {
            return Ok(Arc::clone(part));
        }
        return Err(part_mismatch(&op.parts[0], part, TypeText(ty.dtype, &ty.shape).to_string()));
    }
    let inner = ty.shape.get(1..).unwrap_or_default();
    for (name, part) in op.parts.iter().zip(&parts) {
        let part_inner = part.shape().get(1..);
        if part.dtype() != ty.dtype || ty.shape.is_empty() || part_inner != Some(inner) {
            let whole = TypeText(ty.dtype, &ty.shape).to_string();
            return Err(part_mismatch(name, part, format!("a part of {whole} along axis 0")));
        }
    }
    let rows = |part: &Arc<Tensor>| part.shape().first().copied().unwrap_or(0);
    let stacked: usize = parts.iter().map(rows).sum();
    if ty.shape.first() != Some(&stacked) {
        return Err(Fault::WeightType {
            name: op.parts.join(" + "),
            found: format!("{stacked} rows"),
            expected: format!("{} rows", ty.shape.first().copied().unwrap_or(0)),
        });
    }
    Ok(Arc::new(Tensor::new(ty.dtype, &ty.shape, concat(0, &parts)?)?))
}

fn part_mismatch(name: &str, part: &Tensor, expected: String) -> Fault {
    Fault::WeightType { name: name.to_string(), found: part.type_text(), expected }
}

/// The literal, its one value repeated if it has only one.
pub(crate) fn constant(op: &Constant, ty: &ResultType) -> Data {
    let data = match &op.values {
        Literal::Reals(values) => Data::Reals(values.iter().map(|value| value.get()).collect()),
        Literal::Ints(values) => Data::Ints(values.to_vec()),
        Literal::Bools(values) => Data::Bools(values.to_vec()),
    };
    if data.len() == 1 { data.pick(std::iter::repeat_n(0, ty.elements)) } else { data }
}

/// The value of the size.
pub(crate) fn dim_value(op: &DimValue, context: &Context<'_>) -> Computed {
    let unbound = || Fault::Unbound { size: op.size.display(context.symbols).to_string() };
    op.size.eval(context.bindings).map(|value| Data::Ints(vec![value])).ok_or_else(unbound)
}

/// `0, 1, ..., size - 1`.
pub(crate) fn iota(ty: &ResultType) -> Data {
    Data::Ints((0..).take(ty.elements).collect())
}
