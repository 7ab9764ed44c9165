//! Matrix products, sums of products by named axes, and softmax.

use std::f64::consts::{E, LN_2};

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, real, reals, text};

use crate::case::{Case, case};

/// `[[1, 2, 3], [4, 5, 6]]`.
fn a() -> Tensor {
    reals(&[2, 3], &[1., 2., 3., 4., 5., 6.])
}

/// `[[1, 0], [-1, 2], [0, 3]]`.
fn b() -> Tensor {
    reals(&[3, 2], &[1., 0., -1., 2., 0., 3.])
}

/// `a b`.
const AB: [f64; 4] = [-1., 13., -1., 28.];

pub(crate) fn cases() -> Vec<Case> {
    [products(), gemms(), groups(), named(), softmaxes()].concat()
}

fn products() -> Vec<Case> {
    vec![
        case("MatMul", "matrices").of(a()).of(b()).gives(reals(&[2, 2], &AB)),
        case("MatMul", "a stored matrix").of(a()).known(b()).fixed().gives(reals(&[2, 2], &AB)),
        case("MatMul", "a row")
            .of(reals(&[3], &[1., 2., 3.]))
            .of(b())
            .gives(reals(&[2], &[-1., 13.])),
        case("MatMul", "a column")
            .of(a())
            .of(reals(&[3], &[1., 0., -1.]))
            .gives(reals(&[2], &[-2., -2.])),
        case("MatMul", "two vectors")
            .of(reals(&[3], &[1., 2., 3.]))
            .of(reals(&[3], &[4., 5., 6.]))
            .gives(reals(&[], &[32.])),
        case("MatMul", "a row and a stack")
            .of(reals(&[3], &[1., 2., 3.]))
            .of(reals(&[2, 3, 1], &[1., 1., 1., 0., 0., 2.]))
            .gives(reals(&[2, 1], &[6., 6.])),
        case("MatMul", "a stack and one matrix")
            .of(reals(&[2, 1, 2], &[1., 2., 3., 4.]))
            .of(reals(&[2, 3], &[1., 0., 2., 0., 1., -1.]))
            .gives(reals(&[2, 1, 3], &[1., 2., 0., 3., 4., 2.])),
        case("MatMul", "stacks that broadcast")
            .of(reals(&[2, 1, 1, 2], &[1., 2., 3., 4.]))
            .of(reals(&[3, 2, 1], &[1., 0., 0., 1., 1., 1.]))
            .gives(reals(&[2, 3, 1, 1], &[1., 2., 3., 3., 4., 7.])),
    ]
}

fn gemms() -> Vec<Case> {
    let a_turned = || reals(&[3, 2], &[1., 4., 2., 5., 3., 6.]);
    let b_turned = || reals(&[2, 3], &[1., -1., 0., 0., 2., 3.]);
    vec![
        case("Gemm", "no bias").of(a()).of(b()).gives(reals(&[2, 2], &AB)),
        case("Gemm", "a row as bias")
            .of(a())
            .of(b())
            .of(reals(&[2], &[10., 20.]))
            .gives(reals(&[2, 2], &[9., 33., 9., 48.])),
        case("Gemm", "everything turned and scaled")
            .of(a_turned())
            .of(b_turned())
            .of(reals(&[2, 1], &[1., 2.]))
            .with(int("transA", 1))
            .with(int("transB", 1))
            .with(real("alpha", 2.0))
            .with(real("beta", -1.0))
            .gives(reals(&[2, 2], &[-3., 25., -4., 54.])),
        case("Gemm", "a stored matrix, a scalar as bias")
            .of(a())
            .known(b_turned())
            .known(reals(&[], &[1.]))
            .with(int("transB", 1))
            .fixed()
            .gives(reals(&[2, 2], &[0., 14., 0., 29.])),
        case("Gemm", "a stored matrix that is not turned")
            .of(a_turned())
            .known(b())
            .with(int("transA", 1))
            .fixed()
            .gives(reals(&[2, 2], &AB)),
    ]
}

/// Products of groups of rows that share a right operand, as attention of grouped heads is written: queries or
/// weights of two groups and two tokens, keys or values of two tokens.
fn groups() -> Vec<Case> {
    let of = |what, equation: &str, operands: [Tensor; 2], expected: Tensor| {
        let case = operands.into_iter().fold(case("Einsum", what), Case::of);
        case.with(text("equation", equation)).gives(expected)
    };
    let keys = || reals(&[1, 2, 1, 2], &[5., 6., 7., 8.]);
    // Group by group.
    let queries = || reals(&[1, 1, 2, 2, 2], &[1., 2., 0., 1., 3., 4., 1., 0.]);
    let scores = || reals(&[1, 1, 2, 2, 2], &[17., 23., 6., 8., 39., 53., 5., 7.]);
    let weights = || reals(&[1, 1, 2, 2, 2], &[1., 0., 0., 1., 1., 1., 2., 0.]);
    // Token by token.
    let by_token = || reals(&[1, 2, 1, 2, 2], &[1., 2., 3., 4., 0., 1., 1., 0.]);
    let sums = || reals(&[1, 2, 1, 2, 2], &[5., 6., 12., 14., 7., 8., 10., 12.]);
    vec![
        of("scores of groups", "bgrsd,btgd->bgrst", [queries(), keys()], scores()),
        of("keys in front", "btgd,bgrsd->bgrst", [keys(), queries()], scores()),
        of("queries by tokens", "bsgrd,btgd->bgrst", [by_token(), keys()], scores()),
        of("weighted values of groups", "bgrst,btgd->bsgrd", [weights(), keys()], sums()),
        of(
            "one row in each stack",
            "bij,bkj->bik",
            [reals(&[1, 1, 2], &[1., 2.]), reals(&[1, 2, 2], &[3., 4., 5., 6.])],
            reals(&[1, 1, 2], &[11., 17.]),
        ),
        of(
            "two axes on both sides",
            "bhij,bklj->bhikl",
            [reals(&[1, 2, 1, 2], &[1., 2., 0., 1.]), reals(&[1, 1, 2, 2], &[3., 4., 5., 6.])],
            reals(&[1, 2, 1, 1, 2], &[11., 17., 4., 6.]),
        ),
    ]
}

fn named() -> Vec<Case> {
    let of = |what, equation: &str, operands: &[Tensor], expected: Tensor| {
        let case = operands.iter().cloned().fold(case("Einsum", what), Case::of);
        case.with(text("equation", equation)).gives(expected)
    };
    let stack = || reals(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]);
    let turned = reals(&[3, 2], &[1., 4., 2., 5., 3., 6.]);
    vec![
        of("a product", "ij,jk->ik", &[a(), b()], reals(&[2, 2], &AB)),
        of("a product, turned", "ij,jk->ki", &[a(), b()], reals(&[2, 2], &[-1., -1., 13., 28.])),
        of("axes turned", "ij->ji", &[a()], turned.clone()),
        of("no arrow: in the order of the alphabet", "ba", &[a()], turned),
        of("no arrow: what stands once", "ij, jk", &[a(), b()], reals(&[2, 2], &AB)),
        of("a sum", "ij->i", &[a()], reals(&[2], &[6., 15.])),
        of("a sum of all", "ij->", &[a()], reals(&[], &[21.])),
        of(
            "an outer product",
            "i,j->ij",
            &[reals(&[2], &[1., 2.]), reals(&[3], &[1., 0., -1.])],
            reals(&[2, 3], &[1., 0., -1., 2., 0., -2.]),
        ),
        of(
            "stacks",
            "bij,bjk->bik",
            &[stack(), reals(&[2, 2, 1], &[1., 1., 0., 1.])],
            reals(&[2, 2, 1], &[3., 7., 6., 8.]),
        ),
        of(
            "an ellipsis",
            "...ij,...jk->...ik",
            &[stack(), reals(&[2, 2, 1], &[1., 1., 0., 1.])],
            reals(&[2, 2, 1], &[3., 7., 6., 8.]),
        ),
        of(
            "an ellipsis in one operand",
            "...i,i->...",
            &[stack(), reals(&[2], &[1., -1.])],
            reals(&[2, 2], &[-1., -1., -1., -1.]),
        ),
        of(
            "an axis that only one operand has is summed",
            "ij,k->k",
            &[a(), reals(&[2], &[1., 2.])],
            reals(&[2], &[21., 42.]),
        ),
        of(
            "element by element",
            "ij,ij->ij",
            &[a(), a()],
            reals(&[2, 3], &[1., 4., 9., 16., 25., 36.]),
        ),
    ]
}

fn softmaxes() -> Vec<Case> {
    // e^x of [0, ln 2, ln 3] is [1, 2, 3].
    let x = || reals(&[2, 3], &[0., LN_2, 3f64.ln(), 5., 5., 5.]);
    let third = 1.0 / 3.0;
    let columns: Vec<f64> =
        [0., LN_2, 3f64.ln()].iter().map(|x| 1.0 / (1.0 + E.powf(5.0 - x))).collect();
    let rest: Vec<f64> = columns.iter().map(|value| 1.0 - value).collect();
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<f64>>();
    let rows = [1. / 6., third, 0.5, third, third, third];
    let whole = [columns, rest].concat();
    vec![
        case("Softmax", "the last axis by default").of(x()).gives(reals(&[2, 3], &rows)),
        case("Softmax", "another axis").of(x()).with(int("axis", 0)).gives(reals(&[2, 3], &whole)),
        case("Softmax", "hidden scores")
            .of(reals(&[1, 3], &[1000., f64::NEG_INFINITY, 1000.]))
            .with(int("axis", -1))
            .gives(reals(&[1, 3], &[0.5, 0., 0.5])),
        case("LogSoftmax", "the last axis by default").of(x()).gives(reals(&[2, 3], &logs(&rows))),
        case("LogSoftmax", "another axis")
            .of(x())
            .with(int("axis", -2))
            .gives(reals(&[2, 3], &logs(&whole))),
        case("LogSoftmax", "large numbers")
            .of(reals(&[2], &[1000., 0.]))
            .gives(reals(&[2], &[0., -1000.])),
    ]
}
