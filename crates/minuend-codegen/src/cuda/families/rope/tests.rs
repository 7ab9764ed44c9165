//! The table of frequencies, and what a launch becomes.

use std::f64::consts::TAU;

use minuend_ir::decompose::rope_frequencies;
use minuend_ir::{Op, Real};

use super::turns::fraction_of_turn;
use super::*;
use crate::cuda::families::launches::{Tensor, argument, number, only, select};

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
    assert!(fraction_of_turn(8.0).abs_diff(radian.wrapping_mul(8)) <= 16);
}

/// The product of a position and a fraction is the angle, to the precision of a position in f64.
#[test]
fn positions_times_fractions_are_angles() {
    let table = turns(500_000.0, 64);
    assert_eq!(table.len(), 32 * 8);
    for position in [1i64, 2, 4095, 131_071, (1 << 31) - 1, -3] {
        for (word, frequency) in table.chunks(8).zip(rope_frequencies(500_000.0, 64)) {
            let fraction = u64::from_le_bytes(word.try_into().unwrap());
            let turned =
                fraction.wrapping_mul(position as u64) as f64 / 18_446_744_073_709_551_616.0;
            let angle = position as f64 * frequency;
            let (sin, cos) = angle.sin_cos();
            // The angle is rounded to f64, and 2^-64 times the position is left of the fraction.
            let bound = angle.abs() * f64::EPSILON + position.abs() as f64 * 1e-19 + 1e-15;
            assert!(distance(turned, sin.atan2(cos) / TAU) <= bound, "{position} {frequency}");
        }
    }
}

#[test]
fn a_table_is_made_once() {
    let first = turns(12_345.0, 32);
    assert!(std::sync::Arc::ptr_eq(&first, &turns(12_345.0, 32)));
    assert_ne!(first, turns(12_345.0, 34));
    assert_ne!(first, turns(12_346.0, 32));
}

const HALVES: RopeLayout = RopeLayout::HalfSplit;
const MIXED: RopeLayout = RopeLayout::Interleaved;

fn rotation(layout: RopeLayout, x: Tensor, positions: &[usize]) -> Result<Works, CudaError> {
    let [_, h, s, d] = x.shape[..] else { panic!("rank") };
    let result = Tensor::dense(x.dtype, &x.shape).with_strides(&[s * h * d, d, h * d, 1]);
    let positions = Tensor::dense(DType::I64, positions);
    select(Op::Rope(Rope { layout, theta: Real::new(1e4) }), &[x, positions], &[result])
}

#[test]
fn a_token_takes_a_thread_for_each_vector() {
    let x = Tensor::dense(DType::Bf16, &[1, 64, 1, 128]);
    let launch = only(rotation(HALVES, x, &[1]).unwrap());
    assert_eq!((launch.grid[0], launch.threads), (8, 128));
    assert_eq!(argument(&launch, "heads_of_group"), &Arg::Int(1));
    let x = Tensor::dense(DType::Bf16, &[1, 60, 4000, 128]);
    let launch = only(rotation(HALVES, x, &[4000]).unwrap());
    assert_eq!(argument(&launch, "heads_of_group"), &Arg::Int(8));
    assert_eq!(argument(&launch, "head_groups"), &Arg::Int(8));
    assert_eq!(launch.grid[0], 4000 * 8 * 16 / 128);
    assert_eq!(
        argument(&launch, "result_strides"),
        &Arg::Strides([30_720_000, 128, 7680, 0, 0, 0])
    );
}

#[test]
fn pairs_are_read_together_where_they_are_aligned() {
    let pairs = |layout, x| number(&only(rotation(layout, x, &[2, 5]).unwrap()), "PAIRS");
    let x = |dtype, features| Tensor::dense(dtype, &[2, 3, 5, features]);
    for layout in [HALVES, MIXED] {
        assert_eq!(pairs(layout, x(DType::F32, 64)), 4);
        assert_eq!(pairs(layout, x(DType::F16, 64).at(16)), 4);
        assert_eq!(pairs(layout, x(DType::F16, 64).at(4)), 1);
        assert_eq!(pairs(layout, x(DType::F16, 12)), 1);
    }
    assert_eq!(pairs(HALVES, x(DType::F16, 64).at(8)), 4);
    assert_eq!(pairs(MIXED, x(DType::F16, 64).at(8)), 1);
    let strided = |stride| x(DType::F32, 64).with_strides(&[15 * stride, 5 * stride, stride, 1]);
    assert_eq!(pairs(MIXED, strided(68)), 4);
    assert_eq!(pairs(MIXED, strided(66)), 1);
}

#[test]
fn positions_may_differ_in_the_batch() {
    let x = Tensor::dense(DType::F32, &[2, 3, 5, 8]);
    let stride = |positions| {
        let launch = only(rotation(MIXED, x.clone(), positions).unwrap());
        argument(&launch, "positions_of_batch").clone()
    };
    assert_eq!((stride(&[5]), stride(&[2, 5])), (Arg::Int(0), Arg::Int(5)));
    assert!(rotation(MIXED, x.with_strides(&[120, 40, 1, 5]), &[5]).is_err());
}

#[test]
fn every_choice_is_a_row() {
    for dtype in FLOATS {
        for layout in [HALVES, MIXED] {
            for features in [6, 64] {
                let launch = rotation(layout, Tensor::dense(dtype, &[1, 2, 3, features]), &[3]);
                assert!(rows().contains(&only(launch.unwrap()).spec));
            }
        }
    }
}
