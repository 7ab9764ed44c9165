//! Generated texts, and what launches become.

use std::slice::from_ref;

use minuend_ir::Op;
use minuend_ir::ops::{BinaryOp, Cast, CompareOp, UnaryOp};

use super::*;
use crate::cuda::families::launches::{argument, number, only, select, select_with};
use crate::kernel::{Tail, TailOperand, TailStep};
use crate::tensor::Tensor;

const ADD: Op = Op::Binary(BinaryOp::Add);

fn text(launch: &KernelLaunch) -> String {
    text::generated(&launch.spec).unwrap().unwrap()
}

/// `LANES`, `RANK` and `VECTORS`.
fn form(launch: &KernelLaunch) -> [i32; 3] {
    ["LANES", "RANK", "VECTORS"].map(|name| number(launch, name))
}

#[test]
fn dense_operands_are_vectors_of_16_bytes() {
    for (dtype, lanes) in [(DType::F32, 4), (DType::Bf16, 8), (DType::I64, 2)] {
        let x = Tensor::dense(dtype, &[2, 3, 200]);
        let launch = select(ADD, &[x.clone(), x.clone().at(512)], &[x.at(4096)]);
        let launch = only(launch.unwrap());
        assert_eq!(form(&launch), [lanes, 1, 3]);
        assert_eq!(*argument(&launch, "items"), Arg::Int(1200 / lanes));
        assert_eq!(launch.grid, [(1200 / lanes as u32).div_ceil(256), 1, 1]);
        let steps = Arg::Strides([i64::from(lanes), 0, 0, 0, 0, 0]);
        assert_eq!([argument(&launch, "strides0"), argument(&launch, "strides1")], [&steps; 2]);
        assert_eq!(*argument(&launch, "x2"), Arg::Null);
    }
    // The widest type counts.
    let (x, y) = (Tensor::dense(DType::Bf16, &[64]), Tensor::dense(DType::F32, &[64]));
    let launch = only(select(Op::Cast(Cast { to: DType::F32 }), &[x], &[y]).unwrap());
    assert_eq!(form(&launch), [4, 1, 1]);
}

#[test]
fn rows_and_elements_repeat() {
    let x = Tensor::dense(DType::Bf16, &[4, 5, 64]);
    let row = Tensor::dense(DType::Bf16, &[64]);
    let launch = only(select(ADD, &[x.clone(), row], from_ref(&x)).unwrap());
    assert_eq!(form(&launch), [8, 2, 3]);
    assert_eq!(*argument(&launch, "shape"), Arg::Axes([20, 8, 1, 1, 1, 1]));
    assert_eq!(*argument(&launch, "strides1"), Arg::Strides([0, 8, 0, 0, 0, 0]));
    let column = Tensor::dense(DType::Bf16, &[5, 1]).at(2);
    let launch = only(select(ADD, &[x.clone(), column], from_ref(&x)).unwrap());
    assert_eq!(form(&launch), [8, 3, 1]);
    assert_eq!(*argument(&launch, "strides1"), Arg::Strides([0, 1, 0, 0, 0, 0]));
    let scalar = Tensor::dense(DType::Bf16, &[]).at(2);
    let launch = only(select(ADD, &[scalar, x.clone()], &[x]).unwrap());
    assert_eq!(form(&launch), [8, 1, 2]);
}

#[test]
fn halves_of_a_projection_are_vectors() {
    let half = Tensor::dense(DType::Bf16, &[3, 96]).with_strides(&[192, 1]);
    let to = [Tensor::dense(DType::Bf16, &[3, 96])];
    let launch = only(select(Op::Swiglu, &[half.clone(), half.clone().at(192)], &to).unwrap());
    assert_eq!(form(&launch), [8, 2, 3]);
    assert_eq!(*argument(&launch, "strides0"), Arg::Strides([192, 8, 0, 0, 0, 0]));
    // The second half starts at a multiple of 8 bytes.
    let launch = only(select(Op::Swiglu, &[half.clone(), half.at(8)], &to).unwrap());
    assert_eq!(form(&launch), [4, 2, 3]);
}

#[test]
fn what_is_not_aligned_is_read_by_element() {
    let x = || Tensor::dense(DType::F16, &[6, 8]);
    let lanes = |from: Tensor, to: Tensor| {
        let launch = select(Op::Unary(UnaryOp::Exp), &[from], &[to]);
        number(&only(launch.unwrap()), "LANES")
    };
    assert_eq!(lanes(x(), x()), 8);
    assert_eq!(lanes(x().at(2), x()), 1);
    assert_eq!(lanes(x(), x().at(4)), 2);
    assert_eq!(lanes(x().with_strides(&[10, 1]), x()), 2);
    assert_eq!(lanes(x().with_strides(&[1, 6]), x()), 1);
    assert_eq!(lanes(x().with_strides(&[16, 2]), x()), 1);
    let odd = || Tensor::dense(DType::F16, &[7, 3]);
    assert_eq!(lanes(odd(), odd()), 1);
}

#[test]
fn one_value_is_computed_after_the_other() {
    let step = |op, operands: &[TailOperand], result| TailStep {
        op,
        operands: operands.iter().copied().collect(),
        result,
    };
    let (value, operand) = (TailOperand::Value, TailOperand::Operand);
    let steps = vec![
        step(Op::Binary(BinaryOp::Sub), &[operand(1), value(0)], DType::Bf16),
        step(Op::Compare(CompareOp::Ge), &[value(1), value(0)], DType::Bool),
    ];
    let x = Tensor::dense(DType::Bf16, &[8]);
    let operands = [x.clone(), x.clone()];
    let to = [Tensor::dense(DType::Bool, &[8])];
    let op = Op::Unary(UnaryOp::Exp);
    let tail = Tail::Elementwise(steps.clone());
    let launch = only(select_with(op.clone(), tail, &operands, &to, &[]).unwrap());
    let text = text(&launch);
    for line in [
        "using Operands = Types<minuend::bf16, minuend::bf16>;",
        "using Result = Truth;",
        "const float operand_1 = to_float(x1);",
        "const float value_0 = expf(operand_0);",
        "const float value_1 = operand_1 - value_0;",
        "const bool value_2 = value_1 >= value_0;",
        "return Result(value_2);",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // A step that reads a value behind it, one of a type that its op does not take, one with too few
    // operands.
    for wrong in [
        step(Op::Unary(UnaryOp::Neg), &[value(1)], DType::Bf16),
        step(Op::Unary(UnaryOp::Not), &[value(0)], DType::Bf16),
        step(ADD, &[value(0)], DType::Bf16),
    ] {
        let tail = Tail::Elementwise(vec![wrong]);
        let to = [Tensor::dense(DType::Bf16, &[8])];
        assert!(select_with(op.clone(), tail, &operands, &to, &[]).is_err());
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let x = Tensor::dense(DType::F32, &[8]);
    assert!(select(ADD, &[x.clone(), Tensor::dense(DType::F32, &[3])], from_ref(&x)).is_err());
    let strided = x.clone().with_strides(&[2]);
    assert!(select(ADD, &[x.clone(), x.clone()], &[strided]).is_err());
    let huge = Tensor::dense(DType::I64, &[1 << 33]);
    let error = select(Op::Unary(UnaryOp::Neg), from_ref(&huge), from_ref(&huge)).unwrap_err();
    assert!(matches!(error, CudaError::Size { .. }), "{error}");
}
