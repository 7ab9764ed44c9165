//! A workgroup for each row.

use minuend_ir::{DType, Op};

use super::*;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, uniform};

fn operands(logits: Tensor) -> (Vec<Tensor>, Tensor) {
    let mut row = logits.shape.clone();
    *row.last_mut().unwrap() = 1;
    let setting = |dtype| Tensor::dense(dtype, &[]);
    let settings = [DType::F32, DType::I64, DType::F32].map(setting);
    let mut operands = vec![logits];
    operands.extend(settings);
    operands.push(Tensor::dense(DType::F32, &row).at(256 + 12));
    (operands, Tensor::dense(DType::I64, &row))
}

#[test]
fn rows_are_dense_and_have_a_group_each() {
    let (from, to) = operands(Tensor::dense(DType::F32, &[2, 3, 99]).at(256 + 8));
    let dispatch = select(Op::Sample, &from, &[to]).unwrap().remove(0);
    assert_eq!(dispatch.groups, 6);
    assert_eq!(uniform(&dispatch, "length"), [99]);
    assert_eq!(uniform(&dispatch, "logits_offset"), [66]);
    assert_eq!(uniform(&dispatch, "uniform_offset"), [67]);
    let (from, to) = operands(Tensor::dense(DType::F32, &[2, 8]).with_strides(&[16, 1]));
    assert!(select(Op::Sample, &from, &[to]).is_err());
    let (from, to) = operands(Tensor::dense(DType::F32, &[2, 0]));
    assert_eq!(uniform(&select(Op::Sample, &from, &[to]).unwrap()[0], "length"), [0]);
}

#[test]
fn masses_have_room() {
    for (length, fits) in [(LONGEST_ROW, true), (LONGEST_ROW + 1, false)] {
        let (from, to) = operands(Tensor::dense(DType::F32, &[1, length]));
        assert_eq!(select(Op::Sample, &from, &[to]).is_ok(), fits);
    }
}
