//! Reductions and softmax along every axis.

use minuend::ir::ops::{ReduceKind, Slice};
use minuend::ir::{DType, Emit, ValueId};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::ProblemBuilder;
use minuend_tests::random_values::Values;

use super::SIZES;

/// Terms of the longest sum here: an axis of 129 tokens.
const TERMS: f64 = 129.0;

/// Reals are within -REACH..REACH.
const REACH: f64 = 4.0;

/// A sum of n terms in any order is off by at most n - 1 roundings of the sum of magnitudes; a mean by
/// one more.
fn reductions(b: &mut ProblemBuilder, x: ValueId, axis: usize) {
    let abs = b.abs(x);
    for kind in ReduceKind::ALL {
        let value = b.graph.reduce(kind, axis, x).unwrap();
        match kind {
            ReduceKind::Max => b.exact(value),
            ReduceKind::Sum | ReduceKind::Mean => {
                let magnitude = b.graph.reduce(kind, axis, abs).unwrap();
                b.within(value, TERMS, magnitude);
            }
        }
    }
}

/// `x - max` is off by a rounding of at most 2 REACH, which e^x makes relative; then come the function,
/// the sum of positive terms and the quotient.
const SOFTMAX: f64 = 2.0 * REACH + 8.0 + TERMS + 1.0;

#[test]
fn along_every_axis() {
    for axis in 0..4 {
        let mut b = ProblemBuilder::new(&format!("axis {axis}"));
        let x = b.argument("x", DType::F32, "B S 3 66", Values::Within(REACH));
        reductions(&mut b, x, axis);
        let p = b.graph.softmax(axis, x).unwrap();
        b.relative(p, SOFTMAX);
        let strided = b.graph.transpose(x, &[2, 0, 3, 1]).unwrap();
        let strided = b.graph.slice(strided, Slice::strided(2, 0, 3)).unwrap();
        reductions(&mut b, strided, axis);
        let p = b.graph.softmax(axis, strided).unwrap();
        b.relative(p, SOFTMAX);
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn masked_rows() {
    let mut b = ProblemBuilder::new("masked softmax");
    let x = b.argument("x", DType::F32, "B S 65", Values::Within(REACH));
    let seen = b.argument("seen", DType::Bool, "S 65", Values::Truth);
    let hidden = b.graph.real(DType::F32, f64::NEG_INFINITY).unwrap();
    let scores = b.graph.select(seen, x, hidden).unwrap();
    let p = b.graph.softmax(2, scores).unwrap();
    b.relative(p, SOFTMAX);
    let most = b.graph.reduce(ReduceKind::Max, 2, scores).unwrap();
    b.exact(most);
    // A row of nothing but -inf is NaN, and so is a sum that holds one.
    let nothing = b.graph.broadcast(hidden, &b.shape("B S 5")).unwrap();
    let p = b.graph.softmax(2, nothing).unwrap();
    b.relative(p, SOFTMAX);
    let sum = b.graph.reduce(ReduceKind::Sum, 2, p).unwrap();
    b.relative(sum, TERMS);
    assert_agree(&b.finish(&SIZES));
}
