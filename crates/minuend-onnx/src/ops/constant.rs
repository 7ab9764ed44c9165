//! Constants, and values that sizes alone decide.

use minuend_ir::ops::{Constant, Literal};
use minuend_ir::{DType, Dim, Emit, Op, Real, Shape, TensorType};

use super::layout::fixed;
use crate::external::ExternalFiles;
use crate::node::{Node, Refusal, Results, one};
use crate::stored::Stored;
use crate::value::{MOST_SIZES, Sizes, Value};

/// `Constant`, in each of its spellings.
pub(super) fn constant(n: &mut Node<'_>) -> Results {
    let name = n.flat.node.output.first().cloned().unwrap_or_default();
    if let Some(tensor) = n.attr_tensor("value") {
        let mut stored = Stored::of(tensor, &mut ExternalFiles::beside(None))?;
        stored.name = name;
        return Ok(vec![Value::of_stored(stored)]);
    }
    let ints = |values: &[i64], shape: Vec<usize>| {
        let elements = values.iter().copied().map(Dim::from).collect();
        Ok(vec![Value::Sizes(Sizes { dtype: DType::I64, shape, elements })])
    };
    let reals = |values: &[f32], shape: Vec<usize>| {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(vec![Value::of_stored(Stored::new(&name, DType::F32, shape, data.into()))])
    };
    if n.has_attribute("value_int") {
        return ints(&[n.attr_int("value_int", 0)], Vec::new());
    }
    if let Some(values) = n.attr_ints("value_ints") {
        return ints(values, vec![values.len()]);
    }
    if n.has_attribute("value_float") {
        return reals(&[n.attr_float("value_float", 0.0) as f32], Vec::new());
    }
    if let Some(values) = n.attr_floats("value_floats") {
        return reals(values, vec![values.len()]);
    }
    Err(Refusal::new("its value is no number and no dense tensor", "store it as a tensor"))
}

/// One value in every place.
pub(super) fn of_shape(n: &mut Node<'_>) -> Results {
    let shape: Shape = n.sizes(0, "the sizes of the shape")?.into_iter().collect();
    let fill = match n.attr_tensor("value") {
        Some(tensor) => Stored::of(tensor, &mut ExternalFiles::beside(None))?,
        None => Stored::new("", DType::F32, vec![1], 0f32.to_le_bytes().to_vec().into()),
    };
    if fill.elements() != 1 {
        return Err(Refusal::new(
            format!("a value of {} elements", fill.elements()),
            "expected one",
        ));
    }
    let dtype = n.activation(fill.dtype);
    if let (Some(value), Some(sizes)) = (fill.ints(), fixed(&shape)) {
        let count: usize = sizes.iter().product();
        if count <= MOST_SIZES {
            let value = value.first().copied().unwrap_or(0);
            let elements = vec![Dim::from(value); count];
            return Ok(vec![Value::Sizes(Sizes { dtype, shape: sizes, elements })]);
        }
    }
    let reals = fill.reals().map(|v| Literal::Reals(v.into_iter().map(Real::new).collect()));
    let ints = || fill.ints().map(|v| Literal::Ints(v.into()));
    let bools = || fill.bools().map(|v| Literal::Bools(v.into()));
    let values = reals.or_else(ints).or_else(bools);
    let values = values.ok_or_else(|| Refusal::new("its value has no number", ""))?;
    let constant = Constant { ty: TensorType { dtype, shape }, values };
    one(n.graph().value(Op::Constant(constant), &[])?)
}

/// `start, start + delta, ..` below `limit`.
pub(super) fn range(n: &mut Node<'_>) -> Results {
    let scalar = |n: &Node<'_>, input: usize| -> Result<Option<Dim>, Refusal> {
        let sizes = n.known_sizes(input)?;
        Ok(sizes.and_then(|sizes| sizes.elements.into_iter().next()))
    };
    let (start, limit, delta) = (scalar(n, 0)?, scalar(n, 1)?, scalar(n, 2)?);
    let dtype = n.importer.ty(n.value(0)?).dtype;
    let (start, limit, delta) = match (start, limit, delta) {
        (Some(start), Some(limit), Some(delta)) => (start, limit, delta),
        // Floats that are whole numbers, as exporters write arange in a float type.
        _ => {
            let mut whole = Vec::new();
            for input in 0..3 {
                let value = n
                    .stored(input)
                    .and_then(|stored| stored.reals())
                    .and_then(|v| v.first().copied());
                let size = scalar(n, input)?;
                let number = value
                    .filter(|v| v.fract() == 0.0 && v.abs() < 1e9)
                    .map(|v| Dim::from(v as i64));
                whole.extend(size.or(number));
            }
            let [start, limit, delta] = whole.as_slice() else {
                return Err(Refusal::new(
                    "its bounds are computed from data",
                    "make them constants, or functions of the input's sizes",
                ));
            };
            (start.clone(), limit.clone(), delta.clone())
        }
    };
    let span = &limit - &start;
    let step = delta.as_const().filter(|step| *step != 0);
    let step =
        step.ok_or_else(|| Refusal::new("its step is 0 or no number", "expected a number"))?;
    let count = match (span.as_const(), step) {
        (Some(span), step) => {
            let whole = span.checked_div(step).unwrap_or(0);
            let is_more = span.checked_rem(step).unwrap_or(0) != 0 && (span < 0) == (step < 0);
            Some(Dim::from((whole + i64::from(is_more)).max(0)))
        }
        (None, step) => span.exact_div(&Dim::from(step)),
    };
    let count = count.ok_or_else(|| {
        let found = format!("{} numbers by steps of {step}", span.display(n.symbols()));
        Refusal::new(found, "use a step of 1")
    })?;
    n.demand_at_least_zero(&count, |symbols| format!("{} numbers", count.display(symbols)))?;
    if let (Some(first), Some(number)) = (start.as_const(), count.as_const())
        && dtype.is_int()
        && usize::try_from(number).is_ok_and(|number| number <= MOST_SIZES)
    {
        let elements = (0..number).map(|i| Dim::from(first.saturating_add(i.saturating_mul(step))));
        let elements: Vec<Dim> = elements.collect();
        return Ok(vec![Value::Sizes(Sizes { dtype, shape: vec![elements.len()], elements })]);
    }
    let g = n.graph();
    let mut values = g.iota(count)?;
    if step != 1 {
        let step = g.int(step)?;
        values = g.mul(values, step)?;
    }
    if !start.is(0) {
        let start = g.dim(start)?;
        values = g.add_values(values, start)?;
    }
    one(g.cast(values, dtype)?)
}
