//! Elementwise ops on single values, in float64 and i64. What could differ between devices, integer
//! overflow above all, is not folded.

use minuend_ir::ops::{BinaryOp, CompareOp, Literal, UnaryOp};
use minuend_ir::{DType, Op, Real};

/// One value of a literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element {
    Real(f64),
    Int(i64),
    Bool(bool),
}

pub(crate) fn element_at(values: &Literal, index: usize) -> Option<Element> {
    match values {
        Literal::Reals(values) => values.get(index).map(|value| Element::Real(value.get())),
        Literal::Ints(values) => values.get(index).map(|value| Element::Int(*value)),
        Literal::Bools(values) => values.get(index).map(|value| Element::Bool(*value)),
    }
}

/// The literal of these values, all of the kind that `dtype` stores.
pub(crate) fn literal(
    dtype: DType,
    elements: impl IntoIterator<Item = Element>,
) -> Option<Literal> {
    let elements = elements.into_iter();
    if dtype.is_float() {
        let real = |element| match element {
            Element::Real(value) => Some(Real::new(value)),
            Element::Int(_) | Element::Bool(_) => None,
        };
        elements.map(real).collect::<Option<_>>().map(Literal::Reals)
    } else if dtype.is_int() {
        let int = |element| match element {
            Element::Int(value) => Some(value),
            Element::Real(_) | Element::Bool(_) => None,
        };
        elements.map(int).collect::<Option<_>>().map(Literal::Ints)
    } else {
        let truth = |element| match element {
            Element::Bool(value) => Some(value),
            Element::Real(_) | Element::Int(_) => None,
        };
        elements.map(truth).collect::<Option<_>>().map(Literal::Bools)
    }
}

/// The op applied to one element of each operand; the result is stored as `dtype`.
pub(crate) fn compute(op: &Op, operands: &[Element], dtype: DType) -> Option<Element> {
    let element = match (op, operands) {
        (Op::Unary(op), [x]) => unary(*op, *x)?,
        (Op::Binary(op), [a, b]) => binary(*op, *a, *b)?,
        (Op::Compare(op), [a, b]) => compare(*op, *a, *b)?,
        (Op::Select, [Element::Bool(condition), a, b]) => {
            if *condition {
                *a
            } else {
                *b
            }
        }
        (Op::Cast(op), [x]) => cast(*x, op.to)?,
        (Op::Swiglu, [Element::Real(gate), Element::Real(up)]) => Element::Real(silu(*gate) * up),
        _ => return None,
    };
    let fits = match element {
        Element::Int(value) => dtype == DType::I64 || i32::try_from(value).is_ok(),
        Element::Real(_) | Element::Bool(_) => true,
    };
    fits.then_some(element)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

fn unary(op: UnaryOp, x: Element) -> Option<Element> {
    let x = match (op, x) {
        (UnaryOp::Neg, Element::Int(x)) => return x.checked_neg().map(Element::Int),
        (UnaryOp::Abs, Element::Int(x)) => return x.checked_abs().map(Element::Int),
        (UnaryOp::Not, Element::Bool(x)) => return Some(Element::Bool(!x)),
        (_, Element::Real(x)) => x,
        _ => return None,
    };
    Some(Element::Real(match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => x.sqrt().recip(),
        UnaryOp::Reciprocal => x.recip(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => sigmoid(x),
        UnaryOp::Silu => silu(x),
        // The standard library has no error function.
        UnaryOp::Erf | UnaryOp::Not => return None,
    }))
}

fn binary(op: BinaryOp, a: Element, b: Element) -> Option<Element> {
    match (a, b) {
        (Element::Real(a), Element::Real(b)) => {
            let either_nan = a.is_nan() || b.is_nan();
            Some(Element::Real(match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div => a / b,
                BinaryOp::Pow => a.powf(b),
                BinaryOp::Max | BinaryOp::Min if either_nan => f64::NAN,
                BinaryOp::Max => a.max(b),
                BinaryOp::Min => a.min(b),
                BinaryOp::And | BinaryOp::Or => return None,
            }))
        }
        (Element::Int(a), Element::Int(b)) => {
            let value = match op {
                BinaryOp::Add => a.checked_add(b)?,
                BinaryOp::Sub => a.checked_sub(b)?,
                BinaryOp::Mul => a.checked_mul(b)?,
                BinaryOp::Div if b == 0 => 0,
                BinaryOp::Div => a.checked_div(b)?,
                BinaryOp::Max => a.max(b),
                BinaryOp::Min => a.min(b),
                BinaryOp::Pow | BinaryOp::And | BinaryOp::Or => return None,
            };
            Some(Element::Int(value))
        }
        (Element::Bool(a), Element::Bool(b)) => match op {
            BinaryOp::And => Some(Element::Bool(a && b)),
            BinaryOp::Or => Some(Element::Bool(a || b)),
            _ => None,
        },
        _ => None,
    }
}

fn compare(op: CompareOp, a: Element, b: Element) -> Option<Element> {
    // No order between a NaN and anything: every comparison but `ne` is then false.
    let order = match (a, b) {
        (Element::Real(a), Element::Real(b)) => a.partial_cmp(&b),
        (Element::Int(a), Element::Int(b)) => Some(a.cmp(&b)),
        _ => return None,
    };
    Some(Element::Bool(match op {
        CompareOp::Eq => order.is_some_and(|order| order.is_eq()),
        CompareOp::Ne => order.is_none_or(|order| order.is_ne()),
        CompareOp::Lt => order.is_some_and(|order| order.is_lt()),
        CompareOp::Le => order.is_some_and(|order| order.is_le()),
        CompareOp::Gt => order.is_some_and(|order| order.is_gt()),
        CompareOp::Ge => order.is_some_and(|order| order.is_ge()),
    }))
}

fn cast(x: Element, to: DType) -> Option<Element> {
    Some(match (x, to) {
        (Element::Real(x), DType::Bool) => Element::Bool(x != 0.0),
        (Element::Int(x), DType::Bool) => Element::Bool(x != 0),
        (Element::Bool(x), DType::Bool) => Element::Bool(x),
        (Element::Real(x), to) if to.is_float() => Element::Real(x),
        (Element::Int(x), to) if to.is_float() => Element::Real(x as f64),
        (Element::Bool(x), to) if to.is_float() => Element::Real(f64::from(u8::from(x))),
        // `as` truncates towards zero and saturates, as the op does; a NaN has no integer.
        (Element::Real(x), _) if x.is_nan() => return None,
        (Element::Real(x), DType::I32) => Element::Int(i64::from(x as i32)),
        (Element::Real(x), _) => Element::Int(x as i64),
        (Element::Int(x), _) => Element::Int(x),
        (Element::Bool(x), _) => Element::Int(i64::from(x)),
    })
}
