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

/// The whole number that a scalar is: a function of the sizes, or a number of the file. Exporters write bounds
/// of a float type, too, which are sizes behind a cast.
fn whole(n: &Node<'_>, input: usize) -> Result<Option<Dim>, Refusal> {
    if let Some(sizes) = n.known_sizes(input)? {
        return Ok(sizes.elements.into_iter().next());
    }
    let of_real = |real: f64| {
        let is_whole = real.fract() == 0.0 && real.abs() < 1e9;
        is_whole.then(|| Dim::from(real as i64))
    };
    Ok(match n.value(input)? {
        Value::Stored(stored) => {
            stored.reals().and_then(|reals| reals.first().copied()).and_then(of_real)
        }
        Value::Tensor(value) => {
            let (graph, mut at) = (&n.importer.graph, *value);
            loop {
                match graph.def(at) {
                    // The number is meant, whatever type it goes through.
                    Op::Cast(cast) if cast.to != DType::Bool => {}
                    Op::Reshape(_) => {}
                    Op::DimValue(value) => break Some(value.size.clone()),
                    Op::Constant(constant) => {
                        let int = constant.as_int().map(Dim::from);
                        break int.or_else(|| constant.as_real().and_then(of_real));
                    }
                    _ => break None,
                }
                match graph.operand(at.node, 0) {
                    Some(operand) => at = operand,
                    None => break None,
                }
            }
        }
        Value::Sizes(_) | Value::Unknown => None,
    })
}

/// `start, start + delta, ..` below `limit`.
pub(super) fn range(n: &mut Node<'_>) -> Results {
    let dtype = n.importer.ty(n.value(0)?).dtype;
    let (Some(start), Some(limit), Some(delta)) = (whole(n, 0)?, whole(n, 1)?, whole(n, 2)?) else {
        return Err(Refusal::new(
            "its bounds are computed from data",
            "make them constants, or functions of the input's sizes",
        ));
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
