//! Parts of axes.

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, ints, reals};

use crate::case::{Case, case};

fn vector(values: &[i64]) -> Tensor {
    ints(&[values.len()], values)
}

/// `0, 1, ..` in that shape.
fn counted(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    reals(shape, &(0..count).map(|value| value as f64).collect::<Vec<_>>())
}

pub(crate) fn cases() -> Vec<Case> {
    let slice = |what, data: Tensor, numbers: &[&[i64]]| {
        let case = case("Slice", what).of(data);
        numbers.iter().fold(case, |case, numbers| case.known(vector(numbers)))
    };
    let end = i64::MAX;
    vec![
        slice("the first axes by default", counted(&[3, 4]), &[&[1, 0], &[3, 2]])
            .gives(reals(&[2, 2], &[4., 5., 8., 9.])),
        slice("negative numbers", counted(&[3, 4]), &[&[-3], &[-1], &[-1]])
            .gives(reals(&[3, 2], &[1., 2., 5., 6., 9., 10.])),
        slice("an end beyond the axis", counted(&[5]), &[&[1], &[end], &[0], &[2]])
            .fixed()
            .gives(reals(&[2], &[1., 3.])),
        slice("an end somewhat beyond the axis", counted(&[3]), &[&[1], &[1000]])
            .fixed()
            .gives(reals(&[2], &[1., 2.])),
        slice("a start before the axis", counted(&[3]), &[&[-1000], &[2]])
            .fixed()
            .gives(reals(&[2], &[0., 1.])),
        slice("nothing", counted(&[4]), &[&[2], &[2]]).gives(reals(&[0], &[])),
        slice("an end before the start", counted(&[4]), &[&[3], &[1]]).gives(reals(&[0], &[])),
        slice("backwards", counted(&[4]), &[&[-1], &[i64::MIN], &[0], &[-1]])
            .gives(reals(&[4], &[3., 2., 1., 0.])),
        slice("backwards, not the last", counted(&[4]), &[&[-1], &[0], &[0], &[-1]])
            .gives(reals(&[3], &[3., 2., 1.])),
        slice("backwards by two", counted(&[2, 5]), &[&[3], &[-6], &[1], &[-2]])
            .fixed()
            .gives(reals(&[2, 2], &[3., 1., 8., 6.])),
        slice("two axes with steps", counted(&[4, 3]), &[&[0, 1], &[4, end], &[0, 1], &[3, 1]])
            .fixed()
            .gives(reals(&[2, 2], &[1., 2., 10., 11.])),
        slice("a step beyond the axis", counted(&[3]), &[&[1], &[end], &[0], &[1 << 40]])
            .fixed()
            .gives(reals(&[1], &[1.])),
        case("Slice", "known integers")
            .known(vector(&[5, 6, 7, 8]))
            .known(vector(&[1]))
            .known(vector(&[-1]))
            .gives(vector(&[6, 7])),
        case("Slice", "known integers, backwards")
            .known(vector(&[5, 6, 7]))
            .known(vector(&[-1]))
            .known(vector(&[i64::MIN]))
            .known(vector(&[0]))
            .known(vector(&[-2]))
            .gives(vector(&[7, 5])),
        case("Split", "parts of an input, negative axis")
            .of(counted(&[2, 5]))
            .known(vector(&[2, 0, 3]))
            .with(int("axis", -1))
            .fixed()
            .gives(reals(&[2, 2], &[0., 1., 5., 6.]))
            .gives(reals(&[2, 0], &[]))
            .gives(reals(&[2, 3], &[2., 3., 4., 7., 8., 9.])),
        case("Split", "equal parts of the first axis")
            .opset(13)
            .of(counted(&[4]))
            .fixed()
            .gives(reals(&[2], &[0., 1.]))
            .gives(reals(&[2], &[2., 3.])),
        case("Split", "the last part is smaller")
            .of(counted(&[7]))
            .with(int("num_outputs", 3))
            .fixed()
            .gives(reals(&[3], &[0., 1., 2.]))
            .gives(reals(&[3], &[3., 4., 5.]))
            .gives(reals(&[1], &[6.])),
        case("Split", "one part")
            .of(counted(&[3]))
            .with(int("num_outputs", 1))
            .gives(counted(&[3])),
        case("Split", "known integers")
            .known(vector(&[5, 6, 7]))
            .known(vector(&[1, 2]))
            .gives(vector(&[5]))
            .gives(vector(&[6, 7])),
    ]
}
