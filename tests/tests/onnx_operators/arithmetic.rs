//! Functions of numbers, element by element.

use std::f64::consts::{E, PI};

use minuend::ir::DType;
use minuend_onnx::proto::data_type;
use minuend_tests::onnx::writer::{int, ints, reals, truths};

use crate::case::{Case, case, halves, ints32};

pub(crate) fn cases() -> Vec<Case> {
    [of_two(), of_many(), of_one(), casts()].concat()
}

fn of_two() -> Vec<Case> {
    let column = || reals(&[3, 1], &[1.0, 2.0, -4.0]);
    let row = || reals(&[2], &[10.0, 0.5]);
    vec![
        case("Add", "a row and a column")
            .of(column())
            .of(row())
            .gives(reals(&[3, 2], &[11.0, 1.5, 12.0, 2.5, 6.0, -3.5])),
        case("Add", "integers")
            .of(ints(&[2], &[5, -7]))
            .of(ints(&[], &[2]))
            .gives(ints(&[2], &[7, -5])),
        case("Sub", "a row from a column")
            .of(column())
            .of(row())
            .gives(reals(&[3, 2], &[-9.0, 0.5, -8.0, 1.5, -14.0, -4.5])),
        case("Mul", "a scalar")
            .of(column())
            .of(reals(&[], &[-3.0]))
            .gives(reals(&[3, 1], &[-3.0, -6.0, 12.0])),
        case("Div", "reals")
            .of(column())
            .of(row())
            .gives(reals(&[3, 2], &[0.1, 2.0, 0.2, 4.0, -0.4, -8.0])),
        case("Div", "integers, towards zero")
            .of(ints(&[4], &[7, -7, 7, -7]))
            .of(ints(&[4], &[2, 2, -2, -2]))
            .gives(ints(&[4], &[3, -3, -3, 3])),
        case("Pow", "a real exponent")
            .of(reals(&[3], &[2.0, 9.0, 4.0]))
            .of(reals(&[3], &[3.0, 0.5, -1.0]))
            .gives(reals(&[3], &[8.0, 3.0, 0.25])),
        case("Pow", "an integer exponent of another shape")
            .of(reals(&[2, 1], &[-2.0, 3.0]))
            .of(ints(&[2], &[2, 3]))
            .gives(reals(&[2, 2], &[4.0, -8.0, 9.0, 27.0])),
        case("Mod", "the sign of the divisor")
            .of(ints(&[6], &[-4, 7, 5, 4, -7, 8]))
            .of(ints(&[6], &[2, -3, 8, -2, 3, 5]))
            .gives(ints(&[6], &[0, -2, 5, 0, 2, 3])),
        case("Mod", "i32")
            .of(ints32(&[2], &[-5, 5]))
            .of(ints32(&[], &[3]))
            .gives(ints32(&[2], &[1, 2])),
    ]
}

fn of_many() -> Vec<Case> {
    let a = || reals(&[3], &[3.0, 2.0, 1.0]);
    let b = || reals(&[3], &[1.0, 4.0, 4.0]);
    let c = || reals(&[3], &[2.0, 5.0, 3.0]);
    vec![
        case("Max", "of one").of(a()).gives(a()),
        case("Max", "of three").of(a()).of(b()).of(c()).gives(reals(&[3], &[3.0, 5.0, 4.0])),
        case("Max", "of two, broadcast")
            .of(reals(&[2, 1], &[0.0, 5.0]))
            .of(a())
            .gives(reals(&[2, 3], &[3.0, 2.0, 1.0, 5.0, 5.0, 5.0])),
        case("Max", "of integers")
            .of(ints(&[2], &[-1, 4]))
            .of(ints(&[], &[0]))
            .gives(ints(&[2], &[0, 4])),
        case("Min", "of three").of(a()).of(b()).of(c()).gives(reals(&[3], &[1.0, 2.0, 1.0])),
        case("Min", "of integers")
            .of(ints(&[2], &[-1, 4]))
            .of(ints(&[], &[0]))
            .gives(ints(&[2], &[-1, 0])),
        case("Sum", "of three").of(a()).of(b()).of(c()).gives(reals(&[3], &[6.0, 11.0, 8.0])),
        case("Sum", "of one").of(a()).gives(a()),
        case("Sum", "of two, broadcast")
            .of(reals(&[2, 1], &[10.0, 20.0]))
            .of(a())
            .gives(reals(&[2, 3], &[13.0, 12.0, 11.0, 23.0, 22.0, 21.0])),
    ]
}

fn of_one() -> Vec<Case> {
    let x = || reals(&[1, 3], &[-1.0, 0.0, 2.0]);
    let of = |op, f: fn(f64) -> f64| {
        case(op, "each element").of(x()).gives(reals(&[1, 3], &[f(-1.0), f(0.0), f(2.0)]))
    };
    let positive = |op, f: fn(f64) -> f64| {
        let values = [0.25, 1.0, E];
        case(op, "each element").of(reals(&[3], &values)).gives(reals(&[3], &values.map(f)))
    };
    vec![
        of("Neg", |x| -x),
        case("Neg", "integers").of(ints(&[2], &[3, -4])).gives(ints(&[2], &[-3, 4])),
        of("Abs", |x| x.max(-x)),
        of("Exp", |x| E.powf(x)),
        positive("Log", |x| if x == E { 1.0 } else { 2.0 * (x.sqrt()).ln() }),
        positive("Sqrt", |x| x.powf(0.5)),
        positive("Reciprocal", |x| 1.0 / x),
        case("Sin", "each element")
            .of(reals(&[3], &[0.0, PI / 6.0, -PI / 2.0]))
            .gives(reals(&[3], &[0.0, 0.5, -1.0])),
        case("Cos", "each element")
            .of(reals(&[3], &[0.0, PI / 3.0, PI]))
            .gives(reals(&[3], &[1.0, 0.5, -1.0])),
        of("Tanh", |x| (E.powf(2.0 * x) - 1.0) / (E.powf(2.0 * x) + 1.0)),
        // Abramowitz and Stegun, table 7.1.
        case("Erf", "each element")
            .of(reals(&[4], &[0.0, 0.5, 1.0, -2.0]))
            .gives(reals(&[4], &[0.0, 0.5204998778, 0.8427007929, -0.9953222650])),
        of("Sigmoid", |x| 1.0 / (1.0 + E.powf(-x))),
        case("Clip", "between two bounds")
            .of(reals(&[2, 2], &[-3.0, -1.0, 0.5, 7.0]))
            .of(reals(&[], &[-1.5]))
            .of(reals(&[], &[1.0]))
            .gives(reals(&[2, 2], &[-1.5, -1.0, 0.5, 1.0])),
        case("Clip", "an upper bound alone")
            .of(reals(&[2], &[-3.0, 7.0]))
            .nothing()
            .known(reals(&[], &[1.0]))
            .gives(reals(&[2], &[-3.0, 1.0])),
        case("Clip", "a lower bound alone, integers")
            .of(ints(&[2], &[-3, 7]))
            .known(ints(&[], &[0]))
            .gives(ints(&[2], &[0, 7])),
        case("Clip", "no bounds").of(x()).gives(x()),
    ]
}

fn casts() -> Vec<Case> {
    let to = |ty: i32| int("to", i64::from(ty));
    vec![
        case("Cast", "reals to integers, towards zero")
            .of(reals(&[4], &[1.75, -1.75, 0.0, 3.0]))
            .with(to(data_type::INT64))
            .gives(ints(&[4], &[1, -1, 0, 3])),
        case("Cast", "reals to truth values")
            .of(reals(&[3], &[0.0, 0.5, -2.0]))
            .with(to(data_type::BOOL))
            .gives(truths(&[3], &[0, 1, 1])),
        case("Cast", "truth values to reals")
            .of(truths(&[2], &[0, 1]))
            .with(to(data_type::FLOAT))
            .gives(reals(&[2], &[0.0, 1.0])),
        case("Cast", "integers to truth values")
            .of(ints(&[3], &[0, 2, -1]))
            .with(to(data_type::BOOL))
            .gives(truths(&[3], &[0, 1, 1])),
        case("Cast", "integers to reals")
            .of(ints(&[2], &[3, -2]))
            .with(to(data_type::FLOAT))
            .gives(reals(&[2], &[3.0, -2.0])),
        case("Cast", "integers to i32")
            .of(ints(&[2], &[3, -2]))
            .with(to(data_type::INT32))
            .gives(ints32(&[2], &[3, -2])),
        case("Cast", "to double, which is computed in f32")
            .of(reals(&[1], &[0.5]))
            .with(to(data_type::DOUBLE))
            .gives(reals(&[1], &[0.5])),
        case("Cast", "to f16")
            .of(reals(&[1, 2], &[0.5, 2.0]))
            .with(to(data_type::FLOAT16))
            .gives(halves(&[1, 2], &[0.5, 2.0])),
        case("CastLike", "to the type of another tensor")
            .of(reals(&[2], &[2.5, -2.5]))
            .of(ints32(&[], &[9]))
            .gives(ints32(&[2], &[2, -2])),
        case("CastLike", "integers to f16")
            .of(ints(&[2], &[1, 2]))
            .of(halves(&[1], &[0.0]))
            .gives(minuend_interp::Tensor::from_reals(DType::F16, &[2], vec![1.0, 2.0]).unwrap()),
    ]
}
