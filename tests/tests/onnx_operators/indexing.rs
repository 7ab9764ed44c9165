//! Rows and elements by index, read and written.

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, ints, reals, text, truths};

use crate::case::{Case, case, ints32};

/// `0, 1, ..` in that shape.
fn counted(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    reals(shape, &(0..count).map(|value| value as f64).collect::<Vec<_>>())
}

pub(crate) fn cases() -> Vec<Case> {
    [gathers(), by_element(), scatters()].concat()
}

fn gathers() -> Vec<Case> {
    vec![
        case("Gather", "rows")
            .of(counted(&[3, 2]))
            .of(ints(&[2, 2], &[2, 0, 1, 1]))
            .gives(reals(&[2, 2, 2], &[4., 5., 0., 1., 2., 3., 2., 3.])),
        case("Gather", "columns by a negative axis")
            .of(counted(&[2, 3]))
            .of(ints32(&[2], &[2, 0]))
            .with(int("axis", -1))
            .gives(reals(&[2, 2], &[2., 0., 5., 3.])),
        case("Gather", "a known scalar drops the axis")
            .of(counted(&[3, 2]))
            .known(ints(&[], &[1]))
            .gives(reals(&[2], &[2., 3.])),
        case("Gather", "a known negative scalar")
            .of(counted(&[2, 3]))
            .known(ints(&[], &[-1]))
            .with(int("axis", 1))
            .gives(reals(&[2], &[2., 5.])),
        case("Gather", "a known index of one element keeps an axis")
            .of(counted(&[3]))
            .known(ints(&[1, 1], &[2]))
            .gives(reals(&[1, 1], &[2.])),
        case("Gather", "known negative indices")
            .of(counted(&[3, 2]))
            .known(ints(&[2], &[-1, 0]))
            .gives(reals(&[2, 2], &[4., 5., 0., 1.])),
        case("Gather", "of known integers")
            .known(ints(&[2, 2], &[5, 6, 7, 8]))
            .known(ints(&[2], &[1, -2]))
            .with(int("axis", 1))
            .gives(ints(&[2, 2], &[6, 5, 8, 7])),
        case("Gather", "of known integers by others")
            .known(ints(&[3], &[5, 6, 7]))
            .of(ints(&[2], &[2, 1]))
            .gives(ints(&[2], &[7, 6])),
    ]
}

fn by_element() -> Vec<Case> {
    vec![
        case("GatherElements", "the first axis, negative indices")
            .of(counted(&[3, 2]))
            .of(ints(&[1, 2], &[1, -1]))
            .gives(reals(&[1, 2], &[2., 5.])),
        case("GatherElements", "the last axis")
            .of(counted(&[2, 3]))
            .of(ints(&[2, 4], &[0, 0, 2, 1, 2, 1, 1, 0]))
            .with(int("axis", -1))
            .gives(reals(&[2, 4], &[0., 0., 2., 1., 5., 4., 4., 3.])),
        case("GatherElements", "the middle axis")
            .of(counted(&[2, 2, 2]))
            .of(ints(&[2, 1, 2], &[1, 0, 0, 1]))
            .with(int("axis", 1))
            .gives(reals(&[2, 1, 2], &[2., 1., 4., 7.])),
        case("GatherND", "elements")
            .of(counted(&[2, 3]))
            .known(ints(&[2, 2], &[0, 2, 1, -3]))
            .gives(reals(&[2], &[2., 3.])),
        case("GatherND", "rows")
            .of(counted(&[3, 2]))
            .known(ints(&[1, 2, 1], &[2, 0]))
            .gives(reals(&[1, 2, 2], &[4., 5., 0., 1.])),
        case("GatherND", "indices that are computed")
            .of(counted(&[2, 3]))
            .of(ints(&[1, 1], &[1]))
            .gives(reals(&[1, 3], &[3., 4., 5.])),
    ]
}

fn scatters() -> Vec<Case> {
    vec![
        case("ScatterElements", "the first axis")
            .of(counted(&[3, 2]))
            .of(ints(&[2, 2], &[2, 0, -3, 1]))
            .of(reals(&[2, 2], &[10., 11., 12., 13.]))
            .gives(reals(&[3, 2], &[12., 11., 2., 13., 10., 5.])),
        case("ScatterElements", "the last axis")
            .of(counted(&[2, 3]))
            .of(ints(&[2, 1], &[1, 2]))
            .of(reals(&[2, 1], &[10., 11.]))
            .with(int("axis", -1))
            .with(text("reduction", "none"))
            .gives(reals(&[2, 3], &[0., 10., 2., 3., 4., 11.])),
        case("ScatterElements", "a NaN is written where it should be, and nowhere else")
            .of(counted(&[3]))
            .of(ints(&[1], &[1]))
            .of(reals(&[1], &[f64::NAN]))
            .gives(reals(&[3], &[0., f64::NAN, 2.])),
        case("ScatterElements", "truth values")
            .of(truths(&[3], &[1, 1, 1]))
            .of(ints(&[1], &[2]))
            .of(truths(&[1], &[0]))
            .gives(truths(&[3], &[1, 1, 0])),
        case("ScatterND", "rows that are computed")
            .of(counted(&[3, 2]))
            .of(ints(&[2, 1], &[2, -3]))
            .of(reals(&[2, 2], &[10., 11., 12., 13.]))
            .gives(reals(&[3, 2], &[12., 13., 2., 3., 10., 11.])),
        case("ScatterND", "elements")
            .of(counted(&[2, 3]))
            .known(ints(&[2, 2], &[0, 1, 1, 2]))
            .of(reals(&[2], &[10., 11.]))
            .fixed()
            .gives(reals(&[2, 3], &[0., 10., 2., 3., 4., 11.])),
        case("ScatterND", "a run of known rows")
            .of(counted(&[4, 2]))
            .known(ints(&[2, 1], &[1, 2]))
            .of(reals(&[2, 2], &[10., 11., 12., 13.]))
            .fixed()
            .gives(reals(&[4, 2], &[0., 1., 10., 11., 12., 13., 6., 7.])),
        case("ScatterND", "all rows, known")
            .of(counted(&[2]))
            .known(ints(&[2, 1], &[0, 1]))
            .of(reals(&[2], &[10., 11.]))
            .fixed()
            .gives(reals(&[2], &[10., 11.])),
        case("ScatterND", "known rows out of order")
            .of(counted(&[3]))
            .known(ints(&[2, 1], &[1, 0]))
            .of(reals(&[2], &[10., 11.]))
            .fixed()
            .gives(reals(&[3], &[11., 10., 2.])),
    ]
}
