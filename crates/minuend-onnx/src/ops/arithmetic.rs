//! Functions of numbers, element by element.

use minuend_ir::ops::{BinaryOp, Constant, Literal, UnaryOp};
use minuend_ir::{DType, Emit, Op, TensorType, ValueId};

use crate::element_type::ElementType;
use crate::materialise::is_weight;
use crate::node::{Node, Refusal, Results, one};
use crate::sizes::{SizeOp, elementwise};
use crate::value::{Sizes, Value};

/// A function of two inputs; of sizes where both are known.
pub(super) fn binary(n: &mut Node<'_>, op: BinaryOp, on_sizes: Option<SizeOp>) -> Results {
    if let Some(on_sizes) = on_sizes
        && let (Some(a), Some(b)) = (n.known_sizes(0)?, n.known_sizes(1)?)
        && let Some(sizes) = of_sizes(n, &a, &b, on_sizes)
    {
        return Ok(vec![Value::Sizes(sizes)]);
    }
    let (a, b) = (n.tensor(0)?, n.tensor(1)?);
    one(n.graph().binary(op, a, b)?)
}

fn of_sizes(n: &Node<'_>, a: &Sizes, b: &Sizes, op: SizeOp) -> Option<Sizes> {
    let (shape, elements) = elementwise(a, b, |a, b| op.apply(a, b, n.symbols()))?;
    Some(Sizes { dtype: a.dtype, shape, elements })
}

/// A function of any number of inputs, one after the other.
pub(super) fn of_many(n: &mut Node<'_>, op: BinaryOp, on_sizes: Option<SizeOp>) -> Results {
    if n.inputs() == 2 {
        return binary(n, op, on_sizes);
    }
    let mut result = n.tensor(0)?;
    for input in 1..n.inputs() {
        let next = n.tensor(input)?;
        result = n.graph().binary(op, result, next)?;
    }
    one(result)
}

pub(super) fn unary(n: &mut Node<'_>, op: UnaryOp) -> Results {
    let x = n.tensor(0)?;
    one(n.graph().unary(op, x)?)
}

pub(super) fn negative(n: &mut Node<'_>) -> Results {
    if let Some(sizes) = n.known_sizes(0)? {
        let elements = sizes.elements.iter().map(|size| size * -1).collect();
        return Ok(vec![Value::Sizes(Sizes { elements, ..sizes })]);
    }
    unary(n, UnaryOp::Neg)
}

/// The exponent may be of another type than the base.
pub(super) fn pow(n: &mut Node<'_>) -> Results {
    let (base, exponent) = (n.tensor(0)?, n.tensor(1)?);
    let dtype = n.graph().type_of(base).dtype;
    if !dtype.is_float() {
        return Err(Refusal::new(format!("a power of {dtype}"), "cast the base to a float type"));
    }
    let exponent = n.graph().cast(exponent, dtype)?;
    one(n.graph().binary(BinaryOp::Pow, base, exponent)?)
}

/// The rest of a division of integers, with the sign of the divisor.
pub(super) fn modulo(n: &mut Node<'_>) -> Results {
    if let (Some(a), Some(b)) = (n.known_sizes(0)?, n.known_sizes(1)?)
        && let Some(sizes) = of_sizes(n, &a, &b, SizeOp::Mod)
    {
        return Ok(vec![Value::Sizes(sizes)]);
    }
    let (a, b) = (n.tensor(0)?, n.tensor(1)?);
    let dtype = n.graph().type_of(a).dtype;
    if !dtype.is_int() || n.attr_int("fmod", 0) != 0 {
        return Err(Refusal::new(
            format!("the rest of a division of {dtype} with fmod = {}", n.attr_int("fmod", 0)),
            "only integers with fmod = 0 are supported",
        ));
    }
    let g = n.graph();
    let quotient = g.binary(BinaryOp::Div, a, b)?;
    let product = g.mul(quotient, b)?;
    let rest = g.sub(a, product)?;
    // Of other sign than the divisor: their product is negative.
    let signs = g.mul(rest, b)?;
    let zero = int_like(n, rest, 0)?;
    let g = n.graph();
    let is_apart = g.compare(minuend_ir::ops::CompareOp::Lt, signs, zero)?;
    let moved = g.add_values(rest, b)?;
    one(g.select(is_apart, moved, rest)?)
}

/// An integer scalar of the element type of `like`.
pub(super) fn int_like(n: &mut Node<'_>, like: ValueId, value: i64) -> Result<ValueId, Refusal> {
    let dtype = n.graph().type_of(like).dtype;
    let constant =
        Constant { ty: TensorType::scalar(dtype), values: Literal::Ints([value].into()) };
    Ok(n.graph().value(Op::Constant(constant), &[])?)
}

/// A scalar of the element type of `like`.
pub(super) fn number_like(n: &mut Node<'_>, like: ValueId, value: i64) -> Result<ValueId, Refusal> {
    match n.graph().type_of(like).dtype {
        DType::F32 | DType::F16 | DType::Bf16 => n.real_like(like, value as f64),
        DType::I64 | DType::I32 => int_like(n, like, value),
        DType::Bool => {
            let values = Literal::Bools([value != 0].into());
            let constant = Constant { ty: TensorType::scalar(DType::Bool), values };
            Ok(n.graph().value(Op::Constant(constant), &[])?)
        }
    }
}

/// Another element type.
pub(super) fn cast(n: &mut Node<'_>) -> Results {
    let to = if n.has(1) {
        let like = n.value(1)?;
        n.importer.ty(like).dtype
    } else {
        let number = i32::try_from(n.attr_int("to", 0)).unwrap_or(0);
        let ty = ElementType::of(number).map_err(|found| {
            Refusal::new(format!("a cast to {found}"), "cast to a float type, int32, int64 or bool")
        })?;
        n.activation(ty.dtype())
    };
    if let Value::Sizes(sizes) = n.value(0)?
        && to.is_int()
    {
        return Ok(vec![Value::Sizes(Sizes { dtype: to, ..sizes.clone() })]);
    }
    if let Some(stored) = n.stored(0).filter(|stored| to.is_float() && is_weight(stored)) {
        return one(n.importer.weight(&stored, to)?);
    }
    let x = n.tensor(0)?;
    one(n.graph().cast(x, to)?)
}

/// Between two bounds, each of which may be left out.
pub(super) fn clip(n: &mut Node<'_>) -> Results {
    let mut x = n.tensor(0)?;
    for (input, op) in [(1, BinaryOp::Max), (2, BinaryOp::Min)] {
        if let Some(bound) = n.optional_tensor(input)? {
            x = n.graph().binary(op, x, bound)?;
        }
    }
    one(x)
}
