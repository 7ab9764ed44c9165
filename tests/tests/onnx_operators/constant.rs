//! Sizes as values, and values that sizes or attributes alone decide.

use minuend_tests::onnx::writer::{int, ints, of_ints, of_reals, of_tensor, real, reals, truths};

use crate::case::{Case, case, ints32};

pub(crate) fn cases() -> Vec<Case> {
    [sizes(), constants(), ranges()].concat()
}

fn sizes() -> Vec<Case> {
    let x = || reals(&[2, 1, 3], &[0.0; 6]);
    let part = |what, start: Option<i64>, end: Option<i64>, expected: &[i64]| {
        let bounds = [("start", start), ("end", end)].into_iter();
        let bounds = bounds.filter_map(|(name, value)| Some(int(name, value?)));
        let case = bounds.fold(case("Shape", what).of(x()), Case::with);
        case.gives(ints(&[expected.len()], expected))
    };
    vec![
        part("all axes", None, None, &[2, 1, 3]),
        part("from an axis", Some(1), None, &[1, 3]),
        part("negative axes", Some(-3), Some(-1), &[2, 1]),
        part("axes beyond the rank", Some(-9), Some(9), &[2, 1, 3]),
        part("no axes", Some(2), Some(1), &[]),
        case("Shape", "of a scalar").of(reals(&[], &[1.0])).gives(ints(&[0], &[])),
        case("Size", "of axes").of(x()).gives(ints(&[], &[6])),
        case("Size", "of a scalar").of(reals(&[], &[1.0])).gives(ints(&[], &[1])),
    ]
}

fn constants() -> Vec<Case> {
    let matrix = || reals(&[2, 2], &[1.0, -2.0, 0.5, 8.0]);
    vec![
        case("Constant", "a tensor").with(of_tensor("value", &matrix())).gives(matrix()),
        case("Constant", "an integer").with(int("value_int", -4)).gives(ints(&[], &[-4])),
        case("Constant", "integers")
            .with(of_ints("value_ints", &[1, 2, 3]))
            .gives(ints(&[3], &[1, 2, 3])),
        case("Constant", "a real").with(real("value_float", 0.5)).gives(reals(&[], &[0.5])),
        case("Constant", "reals")
            .with(of_reals("value_floats", &[0.5, -1.0]))
            .gives(reals(&[2], &[0.5, -1.0])),
        case("Constant", "truth values")
            .with(of_tensor("value", &truths(&[2], &[0, 1])))
            .gives(truths(&[2], &[0, 1])),
        case("Constant", "more integers than are evaluated")
            .with(of_tensor("value", &ints(&[65], &[7; 65])))
            .gives(ints(&[65], &[7; 65])),
        case("ConstantOfShape", "zeros by default")
            .known(ints(&[2], &[2, 3]))
            .gives(reals(&[2, 3], &[0.0; 6])),
        case("ConstantOfShape", "integers")
            .known(ints(&[1], &[3]))
            .with(of_tensor("value", &ints(&[1], &[5])))
            .gives(ints(&[3], &[5, 5, 5])),
        case("ConstantOfShape", "truth values")
            .known(ints(&[1], &[2]))
            .with(of_tensor("value", &truths(&[1], &[1])))
            .gives(truths(&[2], &[1, 1])),
        case("ConstantOfShape", "a scalar")
            .known(ints(&[0], &[]))
            .with(of_tensor("value", &reals(&[1], &[2.5])))
            .gives(reals(&[], &[2.5])),
    ]
}

fn ranges() -> Vec<Case> {
    let scalar = |value| ints(&[], &[value]);
    let range = |what, [start, limit, delta]: [i64; 3], expected: &[i64]| {
        case("Range", what)
            .known(scalar(start))
            .known(scalar(limit))
            .known(scalar(delta))
            .gives(ints(&[expected.len()], expected))
    };
    let many: Vec<i64> = (0..70).map(|index| 3 + 2 * index).collect();
    let real = |value| reals(&[], &[value]);
    vec![
        range("by ones", [2, 5, 1], &[2, 3, 4]),
        range("by threes, the last short", [1, 9, 3], &[1, 4, 7]),
        range("downwards", [10, 4, -3], &[10, 7]),
        range("downwards, the last short", [10, 3, -3], &[10, 7, 4]),
        range("nothing", [5, 5, 1], &[]),
        range("nothing, the limit behind", [5, 2, 1], &[]),
        range("many", [3, 142, 2], &many),
        case("Range", "whole reals")
            .known(real(1.0))
            .known(real(4.0))
            .known(real(1.0))
            .gives(reals(&[3], &[1.0, 2.0, 3.0])),
        case("Range", "i32")
            .known(ints32(&[], &[0]))
            .known(ints32(&[], &[3]))
            .known(ints32(&[], &[2]))
            .gives(ints32(&[2], &[0, 2])),
    ]
}
