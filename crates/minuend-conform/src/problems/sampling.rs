//! Indices drawn at random from logits, in f32 whatever the activations are.
//!
//! Logits are logarithms of small whole numbers, and so all masses are whole in a unit. What is drawn with,
//! and what a top_p asks for, is half a unit away from each of them, far beyond roundings: every device
//! must draw the same.

use minuend::ir::ops::SampleRules;
use minuend::ir::{DType, Emit};
use minuend_interp::Draw;

use super::Problems;
use crate::problem::{Built, Problem, Sizes};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;

/// Weights of logits at temperature 1, again and again; 0 stands for a logit that is not finite.
const WEIGHTS: [u8; 17] = [2, 1, 0, 3, 1, 1, 2, 1, 0, 1, 2, 2, 1, 3, 0, 1, 1];
/// What is not finite.
const OTHERS: [f64; 3] = [f64::NEG_INFINITY, f64::NAN, f64::INFINITY];
/// Temperatures, and the unit of masses at each, the largest weight being 1. At 0.02 only the largest
/// logits have a weight that counts, at 10^27 all have the same.
const TEMPERATURES: [(f64, f64); 5] =
    [(1.0, 3.0), (0.5, 9.0), (0.02, 1.0), (1e27, 1.0), (0.0, 1.0)];
/// Entries of a large vocabulary.
const VOCABULARY: usize = 128_256;

const BATCHES: [Sizes<'static>; 2] = [&[("B", 2), ("S", 7)], &[("B", 1), ("S", 1)]];

pub(super) fn list(problems: &mut Problems) {
    if problems.activations != DType::F32 {
        return;
    }
    for length in [1, 7, 1000, 9001, VOCABULARY] {
        for (temperature, unit) in TEMPERATURES {
            let is_quick = length == 1000 || (length == VOCABULARY && temperature == 1.0);
            let name = format!("of {length} at {temperature:e}");
            problems.add(is_quick, name, move |name| draws(name, length, temperature, unit));
        }
    }
    problems.add(true, "none is finite", nothing_finite);
}

fn logit(index: usize) -> f64 {
    match WEIGHTS[index % WEIGHTS.len()] {
        0 => OTHERS[index % OTHERS.len()],
        weight => f64::from(weight).ln(),
    }
}

/// Draws without a cut, with each cut alone and with both.
fn draws(name: &str, length: usize, temperature: f64, unit: f64) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let logits: Vec<f64> = (0..length).map(logit).collect();
    let x = b.argument("x", DType::F32, &format!("B S {length}"), Values::Reals(logits.clone()))?;
    let third = i64::try_from(length / 3 + 1).unwrap_or(i64::MAX);
    let cuts = [
        (0, 1.0),
        (1, 1.0),
        (40, 1.0),
        (third, 1.0),
        (0, 0.3),
        (-1, 0.97),
        (third, 0.6),
        (40, 0.5),
        (0, 1e-9),
    ];
    for (number, (top_k, share)) in cuts.into_iter().enumerate() {
        let units = |draw: Draw| -> f64 {
            let kept = draw.kept(&logits);
            (kept.iter().map(|(_, weight)| weight).sum::<f64>() * unit).round()
        };
        let mut draw = Draw { temperature, top_k, top_p: 1.0, uniform: 0.0 };
        let whole = units(draw);
        if share < 1.0 {
            draw.top_p = ((share * whole).floor() + 0.5) / whole;
        }
        let whole = units(draw);
        let part = |part: f64| ((part * whole).floor().min(whole - 1.0) + 0.5) / whole;
        let uniforms = [0.0, 0.13, 0.37, 0.5, 0.71, 0.94, 1.0].map(part).to_vec();
        let name = format!("u{number}");
        let uniform = b.argument(&name, DType::F32, "B S 1", Values::Reals(uniforms))?;
        let rules = SampleRules {
            temperature: b.graph.real(DType::F32, temperature)?,
            top_k: b.graph.int(top_k)?,
            top_p: b.graph.real(DType::F32, draw.top_p)?,
        };
        let index = b.graph.sample(x, rules, uniform)?;
        b.exact(index);
    }
    b.launches("sample", cuts.len());
    let batches = if length == VOCABULARY { &BATCHES[1..] } else { &BATCHES };
    b.finish(batches)
}

fn nothing_finite(name: &str) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.argument("x", DType::F32, "B S 65", Values::Reals(OTHERS.to_vec()))?;
    let uniform = b.argument("u", DType::F32, "B S 1", Values::Between(0.0, 1.0))?;
    for (temperature, top_k, top_p) in [(0.0, 0, 1.0), (1.0, 3, 0.5)] {
        let rules = SampleRules {
            temperature: b.graph.real(DType::F32, temperature)?,
            top_k: b.graph.int(top_k)?,
            top_p: b.graph.real(DType::F32, top_p)?,
        };
        let index = b.graph.sample(x, rules, uniform)?;
        b.exact(index);
    }
    b.finish(&BATCHES)
}
