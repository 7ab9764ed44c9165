//! Reductions, indices of largest elements and softmax along every axis.

use crate::problem::{Built, Problem};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;
use minuend::ir::ops::{ReduceKind, Slice};
use minuend::ir::{DType, Emit, ValueId};

use super::{Problems, SIZES};
use crate::accuracy::{DIVISION, EXP, EXP_BY_X};

/// Terms of the longest sum here: an axis of 129 tokens.
const TERMS: f64 = 129.0;

/// Reals are within -REACH..REACH.
const REACH: f64 = 4.0;

/// Entries of a large vocabulary.
const VOCABULARY: usize = 128_256;

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    for axis in 0..4 {
        let is_quick = axis % 2 == 1;
        problems.add(is_quick, format!("along axis {axis}"), move |name| along_axis(name, t, axis));
        let make = move |name: &str| indices_of_the_largest(name, t, axis);
        problems.add(is_quick, format!("arg_max of axis {axis}"), make);
    }
    problems.add(true, "arg_max of masked rows", move |name| indices_of_masked_rows(name, t));
    problems.add(true, "arg_max of a vocabulary", move |name| indices_of_a_vocabulary(name, t));
    problems.add(true, "masked softmax", move |name| masked_rows(name, t));
}

/// A sum of n terms in any order is off by at most n - 1 roundings of the sum of magnitudes; a mean by
/// one more.
fn reductions(b: &mut ProblemBuilder, x: ValueId, axis: usize) -> Built<()> {
    let abs = b.abs(x)?;
    for kind in ReduceKind::ALL {
        let value = b.graph.reduce(kind, axis, x)?;
        match kind {
            ReduceKind::Max => b.exact(value),
            ReduceKind::Sum | ReduceKind::Mean => {
                let magnitude = b.graph.reduce(kind, axis, abs)?;
                b.within(value, TERMS, magnitude);
            }
        }
    }
    Ok(())
}

/// `x - max` is off by a rounding of at most 2 REACH, which e^x makes relative; then come the function,
/// the sum of positive terms and the quotient.
const SOFTMAX: f64 = 2.0 * REACH + 8.0 + TERMS + 1.0;

/// The slack of an exponential of at most 2 REACH, of one in the sum, and of the quotient.
const SOFTMAX_BUILT_IN: f64 = 2.0 * (EXP + EXP_BY_X * 2.0 * REACH) + DIVISION;

fn along_axis(name: &str, t: DType, axis: usize) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.argument("x", t, "B S 3 66", Values::Within(REACH))?;
    reductions(&mut b, x, axis)?;
    let p = b.graph.softmax(axis, x)?;
    b.relative(p, SOFTMAX);
    b.built_in_slack(SOFTMAX_BUILT_IN);
    let strided = b.graph.transpose(x, &[2, 0, 3, 1])?;
    let strided = b.graph.slice(strided, Slice::strided(2, 0, 3))?;
    reductions(&mut b, strided, axis)?;
    let p = b.graph.softmax(axis, strided)?;
    b.relative(p, SOFTMAX);
    b.built_in_slack(SOFTMAX_BUILT_IN);
    b.finish(&SIZES)
}

fn indices_of_the_largest(name: &str, t: DType, axis: usize) -> Built<Problem> {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    // Ties, and elements that are never the largest; rows of 65 all start elsewhere in this list.
    let mixed = [1.0, 3.0, nan, 3.0, inf, -inf, -2.0, 3.0, 0.0, -0.0, 0.5];
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let mixed = b.argument("x", t, "B S 3 65", Values::Reals(mixed.to_vec()))?;
    let apart = b.argument("y", t, "B S 3 65", Values::Within(REACH))?;
    for x in [mixed, apart] {
        let strided = b.graph.transpose(x, &[2, 0, 3, 1])?;
        let strided = b.graph.slice(strided, Slice::strided(2, 1, 3))?;
        for x in [x, strided] {
            let index = b.graph.arg_max(axis, x)?;
            b.exact(index);
        }
    }
    b.launches("arg_max", 4);
    b.finish(&SIZES)
}

/// Rows of a vocabulary: many equal ones in 16 bits, NaN among them, and the largest at either end.
fn indices_of_a_vocabulary(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let shape = format!("B S {VOCABULARY}");
    let apart = b.argument("apart", t, &shape, Values::Within(REACH))?;
    // 127 divides no row: each starts elsewhere in the list.
    let mut list: Vec<f64> = (0..127).map(|at| f64::from(at % 9) - 4.0).collect();
    (list[5], list[77]) = (f64::NAN, f64::NEG_INFINITY);
    let tied = b.argument("tied", t, &shape, Values::Reals(list))?;
    let ends: Vec<f64> =
        (0..VOCABULARY).map(|at| if at + 1 == VOCABULARY { 3.0 } else { 1.0 }).collect();
    let last = b.argument("last", t, &shape, Values::Reals(ends))?;
    for x in [apart, tied, last] {
        let index = b.graph.arg_max(2, x)?;
        b.exact(index);
    }
    b.finish(&[&[("B", 1), ("S", 1)], &[("B", 3), ("S", 1)]])
}

fn indices_of_masked_rows(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.argument("x", t, "B S 65", Values::Within(REACH))?;
    let seen = b.argument("seen", DType::Bool, "B S 1", Values::Truth)?;
    let hidden = b.graph.real(t, f64::NEG_INFINITY)?;
    let scores = b.graph.select(seen, x, hidden)?;
    let index = b.graph.arg_max(2, scores)?;
    b.exact(index);
    b.finish(&SIZES)
}

fn masked_rows(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.argument("x", t, "B S 65", Values::Within(REACH))?;
    let seen = b.argument("seen", DType::Bool, "S 65", Values::Truth)?;
    let hidden = b.graph.real(t, f64::NEG_INFINITY)?;
    let scores = b.graph.select(seen, x, hidden)?;
    let p = b.graph.softmax(2, scores)?;
    b.relative(p, SOFTMAX);
    b.built_in_slack(SOFTMAX_BUILT_IN);
    let most = b.graph.reduce(ReduceKind::Max, 2, scores)?;
    b.exact(most);
    // A row of nothing but -inf is NaN, and so is a sum that holds one.
    let nothing = b.graph.broadcast(hidden, &b.shape("B S 5")?)?;
    let p = b.graph.softmax(2, nothing)?;
    b.relative(p, SOFTMAX);
    b.built_in_slack(SOFTMAX_BUILT_IN);
    let sum = b.graph.reduce(ReduceKind::Sum, 2, p)?;
    b.relative(sum, TERMS);
    b.finish(&SIZES)
}
