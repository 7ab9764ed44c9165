//! Operators that move elements.

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, ints, of_ints, reals, text, truths};

use crate::case::{Case, case, ints32};

/// `1, 2, ..` in that shape.
fn counted(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    reals(shape, &(1..=count).map(|value| value as f64).collect::<Vec<_>>())
}

pub(crate) fn cases() -> Vec<Case> {
    [reshaped(), turned(), repeated(), triangles(), padded()].concat()
}

fn reshaped() -> Vec<Case> {
    vec![
        case("Identity", "reals").of(counted(&[2, 3])).gives(counted(&[2, 3])),
        case("Identity", "integers").of(ints(&[2], &[4, 5])).gives(ints(&[2], &[4, 5])),
        case("Dropout", "nothing is dropped").of(counted(&[3])).gives(counted(&[3])),
        case("Dropout", "the mask is all true")
            .of(counted(&[3, 1]))
            .known(reals(&[], &[0.5]))
            .gives(counted(&[3, 1]))
            .gives(truths(&[3, 1], &[1, 1, 1])),
        case("Reshape", "0 keeps a size and -1 takes the rest")
            .of(counted(&[2, 3, 5]))
            .known(ints(&[2], &[0, -1]))
            .gives(counted(&[2, 15])),
        case("Reshape", "-1 in front")
            .of(counted(&[2, 3, 5]))
            .known(ints(&[3], &[-1, 1, 5]))
            .fixed()
            .gives(counted(&[6, 1, 5])),
        case("Reshape", "a scalar").of(counted(&[1, 1])).known(ints(&[0], &[])).gives(counted(&[])),
        case("Reshape", "0 is a size with allowzero")
            .of(reals(&[0, 3], &[]))
            .known(ints(&[2], &[3, 0]))
            .with(int("allowzero", 1))
            .fixed()
            .gives(reals(&[3, 0], &[])),
        case("Flatten", "the default axis").of(counted(&[2, 3, 5])).gives(counted(&[2, 15])),
        case("Flatten", "axis 0").of(counted(&[2, 3])).with(int("axis", 0)).gives(counted(&[1, 6])),
        case("Flatten", "a negative axis")
            .of(counted(&[2, 3, 5]))
            .with(int("axis", -1))
            .gives(counted(&[6, 5])),
        case("Flatten", "an axis behind all")
            .of(counted(&[2, 3]))
            .with(int("axis", 2))
            .gives(counted(&[6, 1])),
        case("Squeeze", "axes of an input")
            .of(counted(&[1, 3, 1, 2]))
            .known(ints(&[2], &[-2, 0]))
            .gives(counted(&[3, 2])),
        case("Squeeze", "every axis of size 1").of(counted(&[1, 3, 1])).gives(counted(&[3])),
        case("Unsqueeze", "axes of an input, negative ones of the result")
            .of(counted(&[2, 3]))
            .known(ints(&[2], &[-1, 0]))
            .gives(counted(&[1, 2, 3, 1])),
        case("Unsqueeze", "a scalar").of(counted(&[])).known(ints(&[1], &[0])).gives(counted(&[1])),
    ]
}

fn turned() -> Vec<Case> {
    vec![
        case("Transpose", "all axes reversed")
            .of(counted(&[2, 3]))
            .gives(reals(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])),
        case("Transpose", "by a permutation")
            .of(counted(&[2, 1, 3]))
            .with(of_ints("perm", &[1, 2, 0]))
            .gives(reals(&[1, 3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])),
        case("Concat", "a negative axis")
            .of(counted(&[2, 2]))
            .of(reals(&[2, 1], &[8.0, 9.0]))
            .with(int("axis", -1))
            .gives(reals(&[2, 3], &[1.0, 2.0, 8.0, 3.0, 4.0, 9.0])),
        case("Concat", "three along the first axis")
            .of(counted(&[1, 3]))
            .of(counted(&[2, 3]))
            .of(counted(&[1, 3]))
            .with(int("axis", 0))
            .gives(reals(&[4, 3], &[1., 2., 3., 1., 2., 3., 4., 5., 6., 1., 2., 3.])),
        case("Concat", "one").of(counted(&[3])).with(int("axis", 0)).gives(counted(&[3])),
        case("Concat", "integers")
            .of(ints(&[2], &[1, 2]))
            .of(ints(&[1], &[3]))
            .with(int("axis", 0))
            .gives(ints(&[3], &[1, 2, 3])),
    ]
}

fn repeated() -> Vec<Case> {
    vec![
        case("Expand", "a new axis and one of size 1")
            .of(reals(&[2, 1], &[1.0, 2.0]))
            .known(ints(&[3], &[2, 1, 3]))
            .gives(reals(&[2, 2, 3], &[1., 1., 1., 2., 2., 2., 1., 1., 1., 2., 2., 2.])),
        case("Expand", "a shape of fewer axes")
            .of(counted(&[2, 3]))
            .known(ints(&[1], &[1]))
            .gives(counted(&[2, 3])),
        case("Tile", "every axis")
            .of(counted(&[2, 2]))
            .known(ints(&[2], &[1, 2]))
            .gives(reals(&[2, 4], &[1., 2., 1., 2., 3., 4., 3., 4.])),
        case("Tile", "an axis of size 1 and another")
            .of(counted(&[1, 3]))
            .known(ints(&[2], &[2, 2]))
            .gives(reals(&[2, 6], &[1., 2., 3., 1., 2., 3., 1., 2., 3., 1., 2., 3.])),
    ]
}

fn triangles() -> Vec<Case> {
    let x = || counted(&[3, 4]);
    vec![
        case("Trilu", "upper by default")
            .of(x())
            .gives(reals(&[3, 4], &[1., 2., 3., 4., 0., 6., 7., 8., 0., 0., 11., 12.])),
        case("Trilu", "lower")
            .of(x())
            .with(int("upper", 0))
            .gives(reals(&[3, 4], &[1., 0., 0., 0., 5., 6., 0., 0., 9., 10., 11., 0.])),
        case("Trilu", "upper from another diagonal")
            .of(x())
            .known(ints(&[], &[2]))
            .gives(reals(&[3, 4], &[0., 0., 3., 4., 0., 0., 0., 8., 0., 0., 0., 0.])),
        case("Trilu", "lower to a negative diagonal, for each matrix")
            .of(counted(&[2, 2, 2]))
            .known(ints(&[], &[-1]))
            .with(int("upper", 0))
            .gives(reals(&[2, 2, 2], &[0., 0., 3., 0., 0., 0., 7., 0.])),
        case("Trilu", "infinities beside zeros")
            .of(reals(&[2, 2], &[f64::NEG_INFINITY; 4]))
            .known(ints(&[], &[1]))
            .gives(reals(&[2, 2], &[0.0, f64::NEG_INFINITY, 0.0, 0.0])),
        case("Trilu", "truth values")
            .of(truths(&[2, 2], &[1; 4]))
            .with(int("upper", 0))
            .gives(truths(&[2, 2], &[1, 0, 1, 1])),
        case("Trilu", "integers")
            .of(ints32(&[2, 3], &[1, 2, 3, 4, 5, 6]))
            .gives(ints32(&[2, 3], &[1, 2, 3, 0, 5, 6])),
    ]
}

fn padded() -> Vec<Case> {
    vec![
        case("Pad", "zeros by default")
            .of(counted(&[2, 2]))
            .known(ints(&[4], &[1, 0, 0, 2]))
            .gives(reals(&[3, 4], &[0., 0., 0., 0., 1., 2., 0., 0., 3., 4., 0., 0.])),
        case("Pad", "a value, along some axes")
            .opset(18)
            .of(counted(&[2, 2]))
            .known(ints(&[2], &[1, 1]))
            .known(reals(&[], &[9.0]))
            .known(ints(&[1], &[-1]))
            .with(text("mode", "constant"))
            .gives(reals(&[2, 4], &[9., 1., 2., 9., 9., 3., 4., 9.])),
        case("Pad", "nothing").of(counted(&[3])).known(ints(&[2], &[0, 0])).gives(counted(&[3])),
        case("Pad", "integers")
            .of(ints(&[2], &[1, 2]))
            .known(ints(&[2], &[0, 1]))
            .known(ints(&[], &[-1]))
            .gives(ints(&[3], &[1, 2, -1])),
    ]
}
