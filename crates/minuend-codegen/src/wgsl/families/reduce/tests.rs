//! How many invocations share a row.

use std::slice::from_ref;

use minuend_ir::{DType, Op};

use super::*;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, uniform};

fn sum(x: Tensor, axis: usize) -> Dispatch {
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    let op = Op::Reduce(Reduce { kind: ReduceKind::Mean, axis });
    select(op, &[x], &[Tensor::dense(DType::F32, &shape)]).unwrap().remove(0)
}

#[test]
fn long_rows_are_shared() {
    assert_eq!(Lanes::choose(5, 31, 1), Lanes::One);
    assert_eq!(Lanes::choose(5, 256, 1), Lanes::Few);
    assert_eq!(Lanes::choose(5, 257, 1), Lanes::Many);
    assert_eq!(Lanes::choose(5, 257, 8), Lanes::Many);
    assert_eq!(Lanes::choose(5000, 257, 8), Lanes::One);
    assert_eq!(Lanes::choose(5000, 257, 1), Lanes::Many);
    assert_eq!(Lanes::One.groups(130), 3);
    assert_eq!(Lanes::Few.groups(130), 130);
}

#[test]
fn the_axis_is_stepped_through() {
    let dispatch = sum(Tensor::dense(DType::F32, &[4, 300, 6]).at(256 + 8), 1);
    assert_eq!(dispatch.groups, 24);
    assert_eq!(uniform(&dispatch, "step"), [6]);
    assert_eq!(uniform(&dispatch, "x_offset"), [66]);
    assert_eq!(uniform(&dispatch, "divisor"), [300f32.to_bits()]);
    assert_eq!(uniform(&dispatch, "shape")[..2], [4, 6]);
    assert_eq!(uniform(&dispatch, "x_strides")[..2], [1800, 1]);
}

#[test]
fn an_axis_without_elements_is_reduced() {
    let dispatch = sum(Tensor::dense(DType::F32, &[4, 0]), 1);
    assert_eq!(uniform(&dispatch, "length"), [0]);
    assert_eq!(uniform(&dispatch, "divisor"), [0]);
}

#[test]
fn arg_max_takes_a_group_for_each_row() {
    let op = Op::ArgMax(ArgMax { axis: 2 });
    let (x, to) = (Tensor::dense(DType::F32, &[2, 3, 99]), Tensor::dense(DType::I64, &[2, 3]));
    let dispatch = select(op, from_ref(&x), from_ref(&to)).unwrap().remove(0);
    assert_eq!(dispatch.groups, 6);
    assert!(select(Op::ArgMax(ArgMax { axis: 3 }), &[x], &[to]).is_err());
}
