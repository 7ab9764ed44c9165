//! RMS norms, alone and behind a residual sum, and the gated linear unit.

use crate::problem::{Built, Problem, Sizes};
use crate::problem_builder::ProblemBuilder;
use minuend::ir::ops::{RmsNorm, Slice};
use minuend::ir::{DType, Emit, Op, Real};

use super::{Problems, SIZES};
use crate::accuracy::{DIVISION, EXP, EXP_BY_X, RSQRT};

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// Widths of a model, which take a block of threads more than one round.
const WIDE: [usize; 3] = [1000, 4096, 5120];

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    // Weights may stay as they are stored; in 16 bits they are in the type of the activations or wider.
    let stored = if t == DType::F32 { &STORED[..] } else { &[t, DType::F32] };
    for dtype in stored.iter().copied() {
        for features in [1, 7, 15, 16, 17, 64, 65, 129] {
            let make = move |name: &str| rms_norm(name, t, features, dtype, &SIZES);
            problems.add(features == 65, format!("rms_norm {features} {dtype}"), make);
        }
        for features in [2, 63, 64, 130] {
            let make = move |name: &str| add_rms_norm(name, t, features, dtype, &SIZES);
            problems.add(features == 63, format!("add_rms_norm {features} {dtype}"), make);
        }
    }
    for features in WIDE {
        let make = move |name: &str| rms_norm(name, t, features, t, &SIZES[..3]);
        problems.add(features == 4096, format!("wide rms_norm {features}"), make);
        let make = move |name: &str| add_rms_norm(name, t, features, t, &SIZES[..3]);
        problems.add(features == 4096, format!("wide add_rms_norm {features}"), make);
    }
    for inner in [1, 7, 65] {
        problems.add(inner > 1, format!("swiglu {inner}"), move |name| swiglu(name, t, inner));
    }
}

fn norm() -> RmsNorm {
    RmsNorm { epsilon: Real::new(1e-6) }
}

/// The slack of the sigmoid of a gate in -2..2.
const SWIGLU_BUILT_IN: f64 = EXP + 2.0 * EXP_BY_X + DIVISION;

/// The mean of n squares is off by at most n + 1 roundings of itself, its root by half of that; the
/// root, two products and the quotient add theirs.
fn units(features: usize) -> f64 {
    features as f64 / 2.0 + 8.0
}

fn rms_norm(
    name: &str,
    t: DType,
    features: usize,
    dtype: DType,
    sizes: &[Sizes<'_>],
) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", &format!("B S {features}"))?;
    let w = b.weight("w", dtype, &[features])?;
    let y = b.graph.value(Op::RmsNorm(norm()), &[x, w])?;
    b.relative(y, units(features));
    b.built_in_slack(2.0 * RSQRT);
    let packed = b.reals("packed", &format!("B S {}", 2 * features + 1))?;
    let part = Slice::range(2, features, 2 * features);
    let part = b.graph.slice(packed, part)?;
    let y = b.graph.value(Op::RmsNorm(norm()), &[part, w])?;
    b.relative(y, units(features));
    b.built_in_slack(2.0 * RSQRT);
    let strided = b.reals("strided", &format!("{features} S B"))?;
    let strided = b.graph.transpose(strided, &[2, 1, 0])?;
    let y = b.graph.value(Op::RmsNorm(norm()), &[strided, w])?;
    b.relative(y, units(features));
    b.built_in_slack(2.0 * RSQRT);
    b.launches("rms_norm", 3);
    b.finish(sizes)
}

fn add_rms_norm(
    name: &str,
    t: DType,
    features: usize,
    dtype: DType,
    sizes: &[Sizes<'_>],
) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let w = b.weight("w", dtype, &[features])?;
    let (x, r) = (format!("B S {features}"), format!("S B {}", features + 3));
    let (x, r) = (b.reals("x", &x)?, b.reals("r", &r)?);
    let strided = b.graph.transpose(r, &[1, 0, 2])?;
    let strided = b.graph.slice(strided, Slice::range(2, 3, features + 3))?;
    for residual in [x, strided] {
        let node = b.graph.emit(Op::AddRmsNorm(norm()), &[x, residual, w])?;
        b.relative(node.result(0), 1.0);
        // The rounding of the sum reaches the norm through its element and its mean.
        b.relative(node.result(1), units(features) + 2.0);
        // So does its rounding to the type in which it is stored.
        b.narrowed(2.0, 2.0);
        b.built_in_slack(2.0 * RSQRT);
    }
    b.launches("add_rms_norm", 2);
    b.finish(sizes)
}

fn swiglu(name: &str, t: DType, inner: usize) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let packed = b.reals("packed", &format!("B S {}", 2 * inner))?;
    let gate = b.graph.slice(packed, Slice::range(2, 0, inner))?;
    let up = b.graph.slice(packed, Slice::range(2, inner, 2 * inner))?;
    let strided = b.reals("strided", &format!("{inner} S B"))?;
    let strided = b.graph.transpose(strided, &[2, 1, 0])?;
    for (gate, up) in [(gate, up), (up, strided), (strided, gate)] {
        let y = b.graph.value(Op::Swiglu, &[gate, up])?;
        let abs = b.abs(y)?;
        let magnitude = b.narrowed_magnitude(abs, 2.0)?;
        // As a sigmoid, and two products.
        b.within(y, 10.0, magnitude);
        // Decomposed, silu is stored; it is multiplied with what is within 2.
        b.narrowed(0.0, 1.0);
        b.built_in_slack(SWIGLU_BUILT_IN);
    }
    b.launches("swiglu", 3);
    b.finish(&SIZES)
}
