//! Reductions and sums along axes.

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, ints, of_ints, reals};

use crate::case::{Case, case, ints32};

/// `[[1, -2, 3], [4, 0, -6]]`.
fn x() -> Tensor {
    reals(&[2, 3], &[1., -2., 3., 4., 0., -6.])
}

pub(crate) fn cases() -> Vec<Case> {
    [reductions(), spellings(), running_sums(), places()].concat()
}

fn reductions() -> Vec<Case> {
    type Both = ([f64; 2], f64);
    let both = |op: &'static str, (rows, whole): Both| {
        let rows = case(op, "rows").of(x()).known(ints(&[1], &[-1])).gives(reals(&[2, 1], &rows));
        let whole = case(op, "everything").of(x()).gives(reals(&[1, 1], &[whole]));
        [rows, whole]
    };
    [
        both("ReduceSum", ([2., -2.], 0.)),
        both("ReduceMean", ([2. / 3., -2. / 3.], 0.)),
        both("ReduceMax", ([3., 4.], 4.)),
        both("ReduceMin", ([-2., -6.], -6.)),
        both("ReduceL2", ([14f64.sqrt(), 52f64.sqrt()], 66f64.sqrt())),
        both("ReduceSumSquare", ([14., 52.], 66.)),
    ]
    .concat()
    .into_iter()
    .collect()
}

fn spellings() -> Vec<Case> {
    let columns = || reals(&[3], &[5., -2., -3.]);
    let mut cases = vec![
        case("ReduceSum", "axes of an input, dropped")
            .opset(13)
            .of(x())
            .known(ints(&[1], &[0]))
            .with(int("keepdims", 0))
            .gives(columns()),
        case("ReduceSum", "all axes, dropped")
            .of(x())
            .with(int("keepdims", 0))
            .gives(reals(&[], &[0.])),
        case("ReduceSum", "no axes and noop_with_empty_axes")
            .of(x())
            .known(ints(&[0], &[]))
            .with(int("noop_with_empty_axes", 1))
            .gives(x()),
        case("ReduceSum", "no axes are all axes")
            .of(x())
            .known(ints(&[0], &[]))
            .gives(reals(&[1, 1], &[0.])),
        case("ReduceSum", "of known integers")
            .known(ints(&[3], &[2, 3, 4]))
            .with(int("keepdims", 0))
            .gives(ints(&[], &[9])),
        case("ReduceProd", "of known integers")
            .known(ints(&[3], &[2, 3, 4]))
            .gives(ints(&[1], &[24])),
        case("ReduceProd", "of known integers, dropped")
            .known(ints(&[3], &[2, 3, 4]))
            .known(ints(&[1], &[0]))
            .with(int("keepdims", 0))
            .gives(ints(&[], &[24])),
        case("ReduceMean", "two axes of three, dropped")
            .of(reals(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]))
            .known(ints(&[2], &[2, 0]))
            .with(int("keepdims", 0))
            .gives(reals(&[2], &[3.5, 5.5])),
    ];
    // An attribute up to opset 17, an input behind it.
    for (op, expected) in [
        ("ReduceMean", [2.5, -1., -1.5]),
        ("ReduceMax", [4., 0., 3.]),
        ("ReduceMin", [1., -2., -6.]),
        ("ReduceL2", [17f64.sqrt(), 2., 45f64.sqrt()]),
        ("ReduceSumSquare", [17., 4., 45.]),
    ] {
        let attribute = case(op, "axes of an attribute").opset(17).of(x());
        let attribute = attribute.with(of_ints("axes", &[-2])).with(int("keepdims", 0));
        cases.push(attribute.gives(reals(&[3], &expected)));
        let input = case(op, "axes of an input").opset(18).of(x()).known(ints(&[1], &[-2]));
        cases.push(input.with(int("keepdims", 0)).gives(reals(&[3], &expected)));
    }
    cases
}

fn running_sums() -> Vec<Case> {
    let of = |what, axis: i64, expected: &[f64]| {
        case("CumSum", what).of(x()).known(ints(&[], &[axis])).gives(reals(&[2, 3], expected))
    };
    vec![
        of("rows", 1, &[1., -1., 2., 4., 4., -2.]),
        of("columns by a negative axis", -2, &[1., -2., 3., 5., -2., -3.]),
        of("exclusive", 1, &[0., 1., -1., 0., 4., 4.]).with(int("exclusive", 1)),
        of("reverse", 1, &[2., 1., 3., -2., -6., -6.]).with(int("reverse", 1)),
        of("exclusive and reverse", 1, &[1., 3., 0., -6., -6., 0.])
            .with(int("exclusive", 1))
            .with(int("reverse", 1)),
        case("CumSum", "integers")
            .of(ints(&[3], &[5, -1, 2]))
            .known(ints32(&[1], &[0]))
            .gives(ints(&[3], &[5, 4, 6])),
        case("CumSum", "the middle axis")
            .of(reals(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]))
            .known(ints(&[], &[1]))
            .gives(reals(&[2, 2, 2], &[1., 2., 4., 6., 5., 6., 12., 14.])),
    ]
}

fn places() -> Vec<Case> {
    vec![
        case("ArgMax", "the first axis by default").of(x()).gives(ints(&[1, 3], &[1, 1, 0])),
        case("ArgMax", "of equals the first, dropped")
            .of(reals(&[2, 3], &[1., 7., 7., 3., 3., 2.]))
            .with(int("axis", -1))
            .with(int("keepdims", 0))
            .gives(ints(&[2], &[1, 0])),
        case("TopK", "the largest of rows")
            .of(reals(&[2, 4], &[1., 9., 3., 9., 5., 6., 7., 8.]))
            .known(ints(&[1], &[3]))
            .gives(reals(&[2, 3], &[9., 9., 3., 8., 7., 6.]))
            .gives(ints(&[2, 3], &[1, 3, 2, 3, 2, 1])),
        case("TopK", "the smallest of columns")
            .of(x())
            .known(ints(&[1], &[1]))
            .with(int("axis", 0))
            .with(int("largest", 0))
            .gives(reals(&[1, 3], &[1., -2., -6.]))
            .gives(ints(&[1, 3], &[0, 0, 1])),
    ]
}
