//! What a launch becomes.

use std::slice::from_ref;

use minuend_ir::{DType, Op};

use super::*;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, uniform};

#[test]
fn rows_along_any_axis() {
    let x = Tensor::dense(DType::F32, &[4, 64, 6]).with_strides(&[1, 24, 4]);
    let result = Tensor::dense(DType::F32, &[4, 64, 6]);
    let op = |axis| Op::Softmax(Softmax { axis });
    let dispatch = select(op(1), from_ref(&x), from_ref(&result)).unwrap().remove(0);
    assert_eq!(dispatch.groups, 24);
    assert_eq!(uniform(&dispatch, "x_step"), [24]);
    assert_eq!(uniform(&dispatch, "result_step"), [6]);
    assert_eq!(uniform(&dispatch, "least"), [f32::NEG_INFINITY.to_bits()]);
    assert_eq!(uniform(&dispatch, "x_strides")[..2], [1, 4]);
    assert_eq!(uniform(&dispatch, "result_strides")[..2], [384, 1]);
    let dispatch = select(op(2), from_ref(&x), from_ref(&result)).unwrap().remove(0);
    assert_eq!(dispatch.groups, 4);
    assert!(select(op(3), &[x], &[result]).is_err());
}
