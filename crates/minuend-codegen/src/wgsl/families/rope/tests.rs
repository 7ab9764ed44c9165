//! The table of frequencies, and what a launch becomes.

use minuend_ir::{DType, Op, Real};

use super::*;
use crate::wgsl::families::launches::{Tensor, select, uniform};

/// Distance on the circle, in turns.
fn distance(a: f64, b: f64) -> f64 {
    let apart = (a - b).rem_euclid(1.0);
    apart.min(1.0 - apart)
}

#[test]
fn fractions_of_a_turn() {
    assert_eq!(fraction_of_turn(0.0), 0);
    // 1/(2 pi) in 64 bits.
    let radian = 0x28be_60db_9391_054a_u64;
    assert!(fraction_of_turn(1.0).abs_diff(radian) <= 2);
    assert!(fraction_of_turn(0.5).abs_diff(radian / 2) <= 2);
    assert!(fraction_of_turn(8.0).abs_diff(radian.wrapping_mul(8)) <= 16);
}

/// The product of a position and a fraction is the angle, to the precision of a position in f64.
#[test]
fn positions_times_fractions_are_angles() {
    for position in [1i64, 2, 4095, 1 << 20, (1 << 31) - 1, -3] {
        for (words, frequency) in
            turns(500_000.0, 64).chunks(2).zip(rope_frequencies(500_000.0, 64))
        {
            let fraction = u64::from(words[1]) << 32 | u64::from(words[0]);
            let turned =
                fraction.wrapping_mul(position as u64) as f64 / 18_446_744_073_709_551_616.0;
            let angle = position as f64 * frequency;
            let (sin, cos) = angle.sin_cos();
            let expected = sin.atan2(cos) / TAU;
            // The angle is rounded to f64, and 2^-64 times the position is left of the fraction.
            let bound = angle.abs() * f64::EPSILON + position.abs() as f64 * 1e-19 + 1e-15;
            assert!(distance(turned, expected) <= bound, "{position} {frequency}");
        }
    }
}

fn rotation(x: Tensor, positions: &[usize]) -> Result<Vec<Dispatch>, ShaderError> {
    let [_, h, s, d] = x.shape[..] else { panic!("rank") };
    let result = Tensor::dense(DType::F32, &x.shape).with_strides(&[s * h * d, d, h * d, 1]);
    let positions = Tensor::dense(DType::I64, positions);
    let op = Rope { layout: RopeLayout::HalfSplit, theta: Real::new(1e4) };
    select(Op::Rope(op), &[x, positions], &[result])
}

#[test]
fn one_invocation_for_each_pair() {
    let x = Tensor::dense(DType::F32, &[2, 3, 5, 8]);
    let dispatch = rotation(x.clone(), &[5]).unwrap().remove(0);
    assert_eq!(uniform(&dispatch, "rotations"), [120]);
    assert_eq!(dispatch.groups, 2);
    assert_eq!(uniform(&dispatch, "positions_batch"), [0]);
    assert_eq!(uniform(&dispatch, "result_token"), [24]);
    assert_eq!(dispatch.windows[2].bytes, 32);
    let dispatch = rotation(x.clone(), &[2, 5]).unwrap().remove(0);
    assert_eq!(uniform(&dispatch, "positions_batch"), [5]);
    assert!(rotation(x.with_strides(&[120, 40, 1, 5]), &[5]).is_err());
}
