//! What a launch becomes.

use minuend_ir::{DType, Op, Real};

use super::*;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, uniform};

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
