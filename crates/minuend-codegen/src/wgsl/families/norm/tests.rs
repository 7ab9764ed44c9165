//! Which variant rows get.

use std::slice::from_ref;

use minuend_ir::ops::RmsNorm;
use minuend_ir::{DType, Op, Real};

use super::*;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, uniform};
use crate::wgsl::template::Param;

fn op() -> RmsNorm {
    RmsNorm { epsilon: Real::new(1e-6) }
}

fn norm(x: Tensor, weight: Tensor) -> Dispatch {
    let result = Tensor::dense(DType::F32, &x.shape);
    select(Op::RmsNorm(op()), &[x, weight], &[result]).unwrap().remove(0)
}

fn is_wide(dispatch: &Dispatch) -> bool {
    dispatch.spec.param("Value") == Some(Param::Type("vec4<f32>"))
}

#[test]
fn aligned_rows_are_read_four_at_a_time() {
    let weight = Tensor::dense(DType::Bf16, &[1024]).weight();
    let dispatch = norm(Tensor::dense(DType::F32, &[2, 3, 1024]), weight);
    assert!(is_wide(&dispatch));
    assert_eq!(dispatch.groups, 6);
    assert_eq!(uniform(&dispatch, "values"), [256]);
    assert_eq!(dispatch.spec.param("GROUP_SIZE"), Some(Param::U32(256)));
}

#[test]
fn others_are_read_one_by_one() {
    let x = || Tensor::dense(DType::F32, &[6, 64]);
    let weight = || Tensor::dense(DType::F16, &[64]).weight();
    assert!(is_wide(&norm(x(), weight())));
    assert!(!is_wide(&norm(x().at(4), weight())));
    assert!(!is_wide(&norm(x().with_strides(&[66, 1]), weight())));
    assert!(!is_wide(&norm(x(), weight().at(2))));
    assert!(is_wide(&norm(x().at(16), weight().at(8))));
    // The stride of an axis of size 1 is never used.
    assert!(is_wide(&norm(Tensor::dense(DType::F32, &[1, 64]).with_strides(&[3, 1]), weight())));
    let odd = norm(Tensor::dense(DType::F32, &[6, 33]), Tensor::dense(DType::F32, &[33]));
    assert!(!is_wide(&odd));
    assert_eq!(odd.spec.param("GROUP_SIZE"), Some(Param::U32(64)));
}

#[test]
fn offsets_and_strides_count_values() {
    let x = Tensor::dense(DType::F32, &[2, 3, 64]).with_strides(&[64, 256, 1]).at(256 + 32);
    let dispatch = norm(x, Tensor::dense(DType::F16, &[64]).weight().at(16));
    assert_eq!(uniform(&dispatch, "x_offset"), [18]);
    assert_eq!(uniform(&dispatch, "weight_offset"), [2]);
    assert_eq!(uniform(&dispatch, "x_strides")[..2], [16, 64]);
}

#[test]
fn sums_have_two_results() {
    let x = Tensor::dense(DType::F32, &[4, 64]);
    let weight = Tensor::dense(DType::F32, &[64]).weight();
    let operands = [x.clone(), x.clone().with_strides(&[128, 1]), weight];
    let dispatch =
        select(Op::AddRmsNorm(op()), &operands, &[x.clone(), x.clone()]).unwrap().remove(0);
    assert_eq!(dispatch.windows.len(), 5);
    assert_eq!(uniform(&dispatch, "residual_strides")[0], 32);
    assert!(select(Op::AddRmsNorm(op()), &operands, &[x]).is_err());
}

#[test]
fn rows_must_lie_together() {
    let x = Tensor::dense(DType::F32, &[4, 64]);
    let weight = Tensor::dense(DType::F32, &[64]);
    let columns = x.clone().with_strides(&[1, 4]);
    assert!(select(Op::RmsNorm(op()), &[columns.clone(), weight.clone()], from_ref(&x)).is_err());
    assert!(select(Op::RmsNorm(op()), &[x, weight], &[columns]).is_err());
}
