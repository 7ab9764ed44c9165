//! Kernels that stand for all that the generator can be asked for.

use minuend_ir::ops::{BinaryOp, Cast, CompareOp, UnaryOp};
use minuend_ir::{DType, Op};
use smallvec::{SmallVec, smallvec};

use crate::cuda::families::elementwise::{Items, most_lanes, spec};
use crate::cuda::families::indexing::MAX_RANK;
use crate::cuda::template::KernelSpec;
use crate::kernel::{Kernel, Tail, TailOperand, TailStep};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];
const INTEGERS: [DType; 2] = [DType::I32, DType::I64];

fn single(op: Op, operands: &[DType], result: DType) -> Kernel {
    Kernel {
        op,
        operands: operands.iter().copied().collect(),
        results: smallvec![result],
        tail: Tail::None,
    }
}

/// An op on the operands, then steps, the last of which gives what is stored.
fn chain(op: Op, operands: &[DType], steps: Vec<TailStep>) -> Kernel {
    let result = steps.last().map_or(DType::F32, |step| step.result);
    Kernel { tail: Tail::Elementwise(steps), ..single(op, operands, result) }
}

fn step(op: Op, operands: &[TailOperand], result: DType) -> TailStep {
    let operands: SmallVec<[TailOperand; 3]> = operands.iter().copied().collect();
    TailStep { op, operands, result }
}

/// Binary ops of one type one after the other: each takes what is before it and operand 1.
fn fold(ops: &[BinaryOp], dtype: DType) -> Kernel {
    let steps = ops.iter().enumerate().skip(1).map(|(index, op)| {
        let operands = [TailOperand::Value(index - 1), TailOperand::Operand(1)];
        step(Op::Binary(*op), &operands, dtype)
    });
    let first = ops.first().copied().unwrap_or(BinaryOp::Add);
    chain(Op::Binary(first), &[dtype; 2], steps.collect())
}

/// Every arithmetic op of an integer type.
fn arithmetic(dtype: DType) -> Kernel {
    use BinaryOp::{Add, Div, Max, Min, Mul, Sub};
    let mut kernel = fold(&[Add, Sub, Mul, Div, Max, Min], dtype);
    if let Tail::Elementwise(steps) = &mut kernel.tail {
        steps.push(step(Op::Unary(UnaryOp::Neg), &[TailOperand::Value(5)], dtype));
        steps.push(step(Op::Unary(UnaryOp::Abs), &[TailOperand::Value(6)], dtype));
    }
    kernel
}

/// Every comparison of a type; the disjunction of the last with the negation of those before.
fn comparisons(dtype: DType) -> Kernel {
    let (value, operand) = (TailOperand::Value, TailOperand::Operand);
    let mut steps = Vec::new();
    let mut last = 0;
    for op in CompareOp::ALL.into_iter().skip(1) {
        steps.push(step(Op::Compare(op), &[operand(0), operand(1)], DType::Bool));
        steps.push(step(Op::Unary(UnaryOp::Not), &[value(last)], DType::Bool));
        let both = [value(steps.len() - 1), value(steps.len())];
        let op = if op == CompareOp::Le { BinaryOp::And } else { BinaryOp::Or };
        steps.push(step(Op::Binary(op), &both, DType::Bool));
        last = steps.len();
    }
    chain(Op::Compare(CompareOp::Eq), &[dtype; 2], steps)
}

/// From a type to every other and back.
fn casts(dtype: DType) -> Kernel {
    let cast = |to| Op::Cast(Cast { to });
    let mut steps = Vec::new();
    for to in DType::ALL.into_iter().filter(|to| *to != dtype) {
        if !steps.is_empty() {
            steps.push(step(cast(to), &[TailOperand::Value(steps.len())], to));
        }
        let back = TailOperand::Value(steps.len());
        steps.push(step(cast(dtype), &[back], dtype));
    }
    let first = DType::ALL.into_iter().find(|to| *to != dtype).unwrap_or(dtype);
    chain(cast(first), &[dtype], steps)
}

/// A chain of all kinds of values: `select(silu(x0) < x1, x2, x3) + x3`, say, as bool.
fn mixed() -> Kernel {
    let (value, operand) = (TailOperand::Value, TailOperand::Operand);
    let steps = vec![
        step(Op::Compare(CompareOp::Lt), &[value(0), operand(1)], DType::Bool),
        step(Op::Select, &[value(1), operand(2), operand(3)], DType::I64),
        step(Op::Binary(BinaryOp::Add), &[value(2), operand(3)], DType::I64),
        step(Op::Cast(Cast { to: DType::F32 }), &[value(3)], DType::F32),
        step(Op::Binary(BinaryOp::Mul), &[value(4), value(0)], DType::F32),
        step(Op::Cast(Cast { to: DType::Bool }), &[value(5)], DType::Bool),
    ];
    chain(Op::Unary(UnaryOp::Silu), &[DType::F32, DType::F32, DType::I64, DType::I64], steps)
}

/// As many operands as the entry takes.
fn longest(dtype: DType) -> Kernel {
    let step = |index| {
        let operands = [TailOperand::Value(index), TailOperand::Operand(index + 2)];
        step(Op::Binary(BinaryOp::Add), &operands, dtype)
    };
    chain(Op::Binary(BinaryOp::Add), &[dtype; 8], (0..6).map(step).collect())
}

/// The specification with the largest items, operands as vectors where their bit is set.
fn widest(kernel: &Kernel, rank: usize, vectors: i32) -> KernelSpec {
    let lanes = most_lanes(kernel.operands.iter().chain(&kernel.results).copied()) as usize;
    let all = (1 << kernel.operands.len()) - 1;
    spec(kernel, rank, Items { lanes, vectors: vectors & all })
}

pub(super) fn rows() -> Vec<KernelSpec> {
    const ALL: i32 = !0;
    let scalar = |kernel: &Kernel, rank| spec(kernel, rank, Items { lanes: 1, vectors: 0 });
    let mut rows = vec![KernelSpec::new("elementwise/chain")];
    for op in UnaryOp::ALL.into_iter().filter(|op| *op != UnaryOp::Not) {
        let kernel = single(Op::Unary(op), &[DType::Bf16], DType::Bf16);
        rows.push(widest(&kernel, 1, ALL));
    }
    for dtype in FLOATS {
        let add = single(Op::Binary(BinaryOp::Add), &[dtype; 2], dtype);
        rows.extend([widest(&add, 1, ALL), widest(&add, 2, 1), scalar(&add, 3)]);
        rows.push(widest(&single(Op::Swiglu, &[dtype; 2], dtype), 2, ALL));
        use BinaryOp::{Add, Div, Max, Min, Mul, Pow, Sub};
        rows.push(widest(&fold(&[Add, Sub, Mul, Div, Max, Min, Pow], dtype), 1, ALL));
        rows.push(widest(&comparisons(dtype), 1, ALL));
    }
    for dtype in INTEGERS {
        rows.push(widest(&arithmetic(dtype), 1, ALL));
        rows.push(widest(&comparisons(dtype), 1, ALL));
    }
    for dtype in DType::ALL {
        rows.push(widest(&casts(dtype), 1, ALL));
        rows.push(widest(&single(Op::Select, &[DType::Bool, dtype, dtype], dtype), 3, 6));
    }
    for rank in 1..=MAX_RANK {
        rows.push(scalar(&mixed(), rank));
        rows.push(widest(&longest(DType::Bf16), rank, ALL));
    }
    rows
}
