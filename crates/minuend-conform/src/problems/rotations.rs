//! Rotary position embedding, both layouts, positions per token and per sequence.

use crate::problem::{Built, Problem};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;
use minuend::ir::ops::{Rope, RopeLayout, Slice};
use minuend::ir::{DType, Emit, Op, Real, ValueId};

use super::{Problems, SIZES};

/// Positions are below one of these: of a short text, and of the longest that models are made for.
const POSITIONS: [i64; 2] = [300, 131_072];

/// Roundings of an angle in f32: of the frequency and of the product.
fn angle(positions: i64) -> f64 {
    2.0 * positions as f64
}

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
        for theta in [1e4, 5e5] {
            let op = Rope { layout, theta: Real::new(theta) };
            for features in [2, 16, 64] {
                let name = format!("rope {} {features} theta {theta}", layout.name());
                let is_quick = features == 16 && theta == 1e4;
                let make = move |name: &str| rope(name, t, features, op, POSITIONS[0]);
                problems.add(is_quick, name, make);
            }
            let name = format!("rope {} 128 theta {theta}, far", layout.name());
            problems.add(theta == 5e5, name, move |name| rope(name, t, 128, op, POSITIONS[1]));
        }
    }
}

/// The features with the two of each pair swapped.
fn partners(b: &mut ProblemBuilder, x: ValueId, layout: RopeLayout) -> Built<ValueId> {
    let shape = b.graph.ty(x).shape.clone();
    let half = shape[3].exact_div(&2.into()).unwrap_or_default();
    match layout {
        RopeLayout::HalfSplit => {
            let first = b.graph.slice(x, Slice::range(3, 0, half.clone()))?;
            let second = b.graph.slice(x, Slice::range(3, half, shape[3].clone()))?;
            Ok(b.graph.concat(3, &[second, first])?)
        }
        RopeLayout::Interleaved => {
            let mut pairs = shape.clone();
            pairs[3] = half;
            pairs.push(2.into());
            let pairs = b.graph.reshape(x, &pairs)?;
            let first = b.graph.slice(pairs, Slice::range(4, 0, 1))?;
            let second = b.graph.slice(pairs, Slice::range(4, 1, 2))?;
            let swapped = b.graph.concat(4, &[second, first])?;
            Ok(b.graph.reshape(swapped, &shape)?)
        }
    }
}

fn rotation(
    b: &mut ProblemBuilder,
    x: ValueId,
    positions: ValueId,
    op: Rope,
    angle: f64,
) -> Built<()> {
    let y = b.graph.value(Op::Rope(op), &[x, positions])?;
    let partners = partners(b, x, op.layout)?;
    let (own, other) = (b.abs(x)?, b.abs(partners)?);
    let magnitude = b.graph.add_values(own, other)?;
    // A sine, a cosine, two products and a sum, the angle being taken in f64.
    b.within(y, 5.0, magnitude);
    // In primitive ops the angle is f32: frequency and product are rounded, each by at most half an
    // ulp of an angle below the largest position, which is up to one rounding of it.
    b.decomposed_within(5.0 + angle);
    // Without f64, so it is in the kernel, which rounds once more by an ulp as it takes turns away.
    b.built_in_slack(2.0 * angle);
    Ok(())
}

fn rope(name: &str, t: DType, features: usize, op: Rope, positions: i64) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let angle = angle(positions);
    let per_token = Values::Below(positions);
    let shared = b.argument("shared", DType::I64, "S", per_token.clone())?;
    let own = b.argument("own", DType::I64, "B S", per_token)?;
    let x = b.reals("x", &format!("B S 3 {features}"))?;
    let heads = b.graph.transpose(x, &[0, 2, 1, 3])?;
    let dense = b.reals("dense", &format!("B 1 S {features}"))?;
    for positions in [shared, own] {
        rotation(&mut b, heads, positions, op, angle)?;
        rotation(&mut b, dense, positions, op, angle)?;
    }
    // One pair turns by the position itself, whatever theta is: primitive ops do not say it.
    if features > 2 {
        b.launches("rope", 4);
    }
    b.finish(&SIZES)
}
