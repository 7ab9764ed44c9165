//! Generated texts, and what launches become.

use std::slice::from_ref;

use minuend_ir::Op;
use minuend_ir::ops::{BinaryOp, Cast, CompareOp, UnaryOp};
use smallvec::smallvec;

use super::*;
use crate::kernel::{Tail, TailOperand, TailStep};
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, select_with, uniform};
use crate::wgsl::template::{Dialect, specialise};

fn text(dispatch: &Dispatch) -> String {
    specialise(&dispatch.spec, Dialect::Native).unwrap().text
}

#[test]
fn dense_operands_have_one_axis() {
    let x = Tensor::dense(DType::F32, &[2, 3, 200]);
    let op = Op::Binary(BinaryOp::Add);
    let dispatch = select(op, &[x.clone(), x.clone().at(512)], &[x.at(4096)]).unwrap().remove(0);
    assert_eq!(dispatch.groups, 5);
    assert_eq!(dispatch.spec.param("RANK"), Some(crate::wgsl::Param::U32(1)));
    assert_eq!(uniform(&dispatch, "strides"), [1, 1, 0, 0]);
    assert!(!text(&dispatch).contains('%'), "no index is divided");
}

#[test]
fn operands_broadcast() {
    let (x, row) = (Tensor::dense(DType::F32, &[4, 5, 6]), Tensor::dense(DType::F32, &[5, 1]));
    let op = Op::Binary(BinaryOp::Mul);
    let dispatch = select(op, &[x.clone(), row], &[x]).unwrap().remove(0);
    assert_eq!(uniform(&dispatch, "shape"), [4, 5, 6, 0]);
    assert_eq!(uniform(&dispatch, "strides"), [30, 6, 1, 0, 1, 0, 0, 0]);
}

#[test]
fn truth_values_are_stored_four_at_a_time() {
    let x = Tensor::dense(DType::I64, &[1030]);
    let op = Op::Compare(CompareOp::Lt);
    let to = Tensor::dense(DType::Bool, &[1030]);
    let dispatch = select(op.clone(), &[x.clone(), x.clone()], &[to.clone().at(256 + 64)]);
    let dispatch = dispatch.unwrap().remove(0);
    assert_eq!(uniform(&dispatch, "invocations"), [258]);
    assert_eq!(uniform(&dispatch, "result_offset"), [80]);
    // A word is written as a whole.
    assert!(select(op, &[x.clone(), x], &[to.at(2)]).is_err());
}

#[test]
fn weights_are_only_read() {
    let weight = Tensor::dense(DType::Bf16, &[64]).weight();
    let op = Op::Cast(Cast { to: DType::F32 });
    let dispatch = select(op, &[weight], &[Tensor::dense(DType::F32, &[64])]).unwrap().remove(0);
    assert!(text(&dispatch).contains("var<storage, read> x0: array<u32>;"));
    assert!(text(&dispatch).contains("var<storage, read_write> result: array<f32>;"));
}

#[test]
fn only_what_is_called_is_included() {
    let unary = |op, dtype| {
        let x = Tensor::dense(dtype, &[8]);
        text(&select(Op::Unary(op), from_ref(&x), from_ref(&x)).unwrap()[0])
    };
    let text = unary(UnaryOp::Neg, DType::F32);
    assert!(text.contains("let value_0 = -operand_0;") && !text.contains("fn exp_f32"));
    assert!(unary(UnaryOp::Neg, DType::I64).contains("let value_0 = neg_i64(operand_0);"));
    let text = unary(UnaryOp::Sin, DType::F32);
    assert!(text.contains("fn wide_product") && text.contains("fn sin_cos_of_turn"));
}

#[test]
fn a_chain_computes_one_value_after_the_other() {
    let step = |op, operands: &[TailOperand], result| TailStep {
        op,
        operands: operands.iter().copied().collect(),
        result,
    };
    let (value, operand) = (TailOperand::Value, TailOperand::Operand);
    let steps = vec![
        step(Op::Binary(BinaryOp::Sub), &[operand(1), value(0)], DType::F32),
        step(Op::Compare(CompareOp::Ge), &[value(1), value(0)], DType::Bool),
    ];
    let x = Tensor::dense(DType::F32, &[8]);
    let operands = [x.clone(), x.clone()];
    let to = [Tensor::dense(DType::Bool, &[8])];
    let (op, limits) = (Op::Unary(UnaryOp::Exp), WgslLimits::portable());
    let tail = Tail::Elementwise(steps.clone());
    let chosen = select_with(op.clone(), tail, &operands, &to, &limits).unwrap();
    let text = text(&chosen[0]);
    for line in [
        "let value_0 = exp_f32(operand_0);",
        "let value_1 = operand_1 - value_0;",
        "let value_2 = value_1 >= value_0;",
        "return value_2;",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // A step that reads a value behind it, and one of a type that its op does not take.
    for wrong in [
        step(Op::Unary(UnaryOp::Neg), &[value(1)], DType::F32),
        step(Op::Unary(UnaryOp::Not), &[value(0)], DType::F32),
        step(Op::Binary(BinaryOp::Add), &[value(0)], DType::F32),
    ] {
        let tail = Tail::Elementwise(vec![wrong]);
        let to = [Tensor::dense(DType::F32, &[8])];
        assert!(select_with(op.clone(), tail, &operands, &to, &limits).is_err());
    }
}

#[test]
fn operands_and_result_fit_the_bindings() {
    let x = Tensor::dense(DType::F32, &[8]);
    let step = |index| TailStep {
        op: Op::Binary(BinaryOp::Add),
        operands: smallvec![TailOperand::Value(index), TailOperand::Operand(index + 2)],
        result: DType::F32,
    };
    let run = |operands: usize| {
        let tail = Tail::Elementwise((0..operands - 2).map(step).collect());
        let places = vec![x.clone(); operands];
        let op = Op::Binary(BinaryOp::Add);
        select_with(op, tail, &places, from_ref(&x), &WgslLimits::portable())
    };
    assert_eq!(run(7).unwrap()[0].windows.len(), 8);
    assert!(run(8).is_err());
}
