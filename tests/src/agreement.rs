//! Whether what a runner computes is what the interpreter computes.

use minuend_interp::{Data, Tensor};

use crate::problem::Problem;
use crate::runners::{Runner, interpret};

/// The rounding of one f32 operation.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// Runs a problem in every way and panics at the first disagreement with the interpreter.
pub fn assert_agree(problem: &Problem) {
    let expected = interpret(&problem.graph, &problem.runs, &problem.weights);
    let magnitudes = interpret(&problem.magnitudes, &problem.runs, &problem.weights);
    let mut as_given = None;
    for runner in Runner::ALL {
        assert_launches(problem, runner);
        let found = runner.run(problem);
        for (run, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.len(), expected.len());
            for (output, (found, expected)) in found.iter().zip(expected).enumerate() {
                let tolerance = problem.tolerances[output];
                let units = match runner {
                    Runner::Decomposed => tolerance.decomposed,
                    Runner::Kernels | Runner::AfterText | Runner::Raised => tolerance.fused,
                };
                let difference = difference(found, expected, &magnitudes[run][output], units);
                if let Some(difference) = difference {
                    let name = &problem.name;
                    panic!("{name}, {runner:?}, run {run}, output {output}: {difference}");
                }
            }
        }
        match runner {
            Runner::Kernels => as_given = Some(found),
            Runner::AfterText => assert_identical(problem, as_given.as_deref(), &found),
            Runner::Raised | Runner::Decomposed => {}
        }
    }
}

fn assert_launches(problem: &Problem, runner: Runner) {
    let program = runner.program(problem);
    for (mnemonic, times) in &problem.launches {
        // Decomposed, nothing is fused, and there may be what fusion leaves none of.
        let is_decomposed = runner == Runner::Decomposed;
        if is_decomposed && *times == 0 {
            continue;
        }
        let times = if is_decomposed { 0 } else { *times };
        let found = program.launches_of(mnemonic);
        assert_eq!(found, times, "{}, {runner:?}: launches of {mnemonic}", problem.name);
    }
}

/// Equality but for the sign of zeros, NaN being NaN.
fn assert_identical(problem: &Problem, before: Option<&[Vec<Tensor>]>, after: &[Vec<Tensor>]) {
    let before = before.unwrap_or_default();
    assert_eq!(before.len(), after.len());
    for (run, (before, after)) in before.iter().zip(after).enumerate() {
        for (output, (before, after)) in before.iter().zip(after).enumerate() {
            if let Some(difference) = difference(after, before, before, 0.0) {
                let name = &problem.name;
                panic!("{name}, after text, run {run}, output {output}: {difference}");
            }
        }
    }
}

/// In words, the first element that is further off than `units` roundings of its magnitude.
pub fn difference(
    found: &Tensor,
    expected: &Tensor,
    magnitude: &Tensor,
    units: f64,
) -> Option<String> {
    let type_of = |tensor: &Tensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
    if type_of(found) != type_of(expected) {
        return Some(format!("is {}, expected {}", type_of(found), type_of(expected)));
    }
    let (Data::Reals(a), Data::Reals(b)) = (found.data(), expected.data()) else {
        return (found.data() != expected.data())
            .then(|| format!("is {:?}, expected {:?}", found.data(), expected.data()));
    };
    let magnitude = magnitude.reals().unwrap();
    assert!(magnitude.len() == 1 || magnitude.len() == b.len());
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        // What is too large for f32 is infinite there.
        let b = if (*b as f32).is_infinite() { f64::from(*b as f32) } else { *b };
        let magnitude = magnitude[index % magnitude.len()].abs();
        // Results below the normal range of f32 may be flushed to zero, unless they must be exact.
        let floor = if units == 0.0 { 0.0 } else { f64::from(f32::MIN_POSITIVE) };
        let allowed = units * UNIT * magnitude + floor;
        let is_close = *a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= allowed;
        if !is_close {
            let off = (a - b).abs() / (UNIT * magnitude);
            let shape = found.shape();
            return Some(format!(
                "element {index} of {shape:?} is {a}, expected {b}: off by {off:.1} roundings of \
                 {magnitude}, allowed {units}"
            ));
        }
    }
    None
}
