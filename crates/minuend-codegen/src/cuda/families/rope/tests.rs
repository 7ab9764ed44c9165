//! What a launch becomes.

use minuend_ir::{Op, Real};

use super::*;
use crate::cuda::families::launches::{argument, number, only, select};
use crate::tensor::Tensor;

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
