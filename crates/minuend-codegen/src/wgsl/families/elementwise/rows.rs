//! Kernels that stand for all that the generator can be asked for.

use minuend_ir::ops::{BinaryOp, Cast, CompareOp, UnaryOp};
use minuend_ir::{DType, Op};
use smallvec::{SmallVec, smallvec};

use crate::kernel::{Kernel, Tail, TailOperand, TailStep};
use crate::wgsl::families::elementwise::spec;
use crate::wgsl::families::indexing::MAX_RANK;
use crate::wgsl::template::KernelSpec;

const NUMBERS: [DType; 3] = [DType::F32, DType::I32, DType::I64];
const STORED: [DType; 4] = [DType::F32, DType::I32, DType::I64, DType::Bool];

fn kernel(op: Op, operands: &[DType], result: DType) -> Kernel {
    Kernel {
        op,
        operands: operands.iter().copied().collect(),
        results: smallvec![result],
        tail: Tail::None,
    }
}

/// Every op for every type that it takes.
fn single_ops() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for op in UnaryOp::ALL {
        let types: &[DType] = match op {
            UnaryOp::Neg | UnaryOp::Abs => &NUMBERS,
            UnaryOp::Not => &[DType::Bool],
            _ => &[DType::F32],
        };
        kernels.extend(types.iter().map(|dtype| kernel(Op::Unary(op), &[*dtype], *dtype)));
    }
    for op in BinaryOp::ALL {
        let types: &[DType] = match op {
            BinaryOp::And | BinaryOp::Or => &[DType::Bool],
            BinaryOp::Pow => &[DType::F32],
            _ => &NUMBERS,
        };
        kernels.extend(types.iter().map(|dtype| kernel(Op::Binary(op), &[*dtype; 2], *dtype)));
    }
    for op in CompareOp::ALL {
        kernels.extend(NUMBERS.map(|dtype| kernel(Op::Compare(op), &[dtype; 2], DType::Bool)));
    }
    for dtype in STORED {
        kernels.push(kernel(Op::Select, &[DType::Bool, dtype, dtype], dtype));
        for to in STORED {
            kernels.push(kernel(Op::Cast(Cast { to }), &[dtype], to));
        }
        for half in [DType::F16, DType::Bf16] {
            kernels.push(kernel(Op::Cast(Cast { to: dtype }), &[half], dtype));
        }
    }
    kernels.push(kernel(Op::Swiglu, &[DType::F32; 2], DType::F32));
    kernels
}

/// A chain of all kinds of values: `select(cast(i64, silu(x0) < x1), x2, x3) + x3`, say, as bool.
fn chain() -> Kernel {
    let step = |op, operands: &[TailOperand], result| {
        let operands: SmallVec<[TailOperand; 3]> = operands.iter().copied().collect();
        TailStep { op, operands, result }
    };
    let (value, operand) = (TailOperand::Value, TailOperand::Operand);
    let steps = vec![
        step(Op::Compare(CompareOp::Lt), &[value(0), operand(1)], DType::Bool),
        step(Op::Select, &[value(1), operand(2), operand(3)], DType::I64),
        step(Op::Binary(BinaryOp::Add), &[value(2), operand(3)], DType::I64),
        step(Op::Cast(Cast { to: DType::F32 }), &[value(3)], DType::F32),
        step(Op::Binary(BinaryOp::Mul), &[value(4), value(0)], DType::F32),
        step(Op::Cast(Cast { to: DType::Bool }), &[value(5)], DType::Bool),
    ];
    Kernel {
        op: Op::Unary(UnaryOp::Silu),
        operands: smallvec![DType::F32, DType::F32, DType::I64, DType::I64],
        results: smallvec![DType::Bool],
        tail: Tail::Elementwise(steps),
    }
}

/// As many operands as the portable number of storage buffers leaves room for.
fn longest() -> Kernel {
    let step = |index| TailStep {
        op: Op::Binary(BinaryOp::Add),
        operands: smallvec![TailOperand::Value(index), TailOperand::Operand(index + 2)],
        result: DType::F32,
    };
    Kernel {
        op: Op::Binary(BinaryOp::Add),
        operands: smallvec![DType::F32; 7],
        results: smallvec![DType::F32],
        tail: Tail::Elementwise((0..5).map(step).collect()),
    }
}

pub(super) fn rows() -> Vec<KernelSpec> {
    let mut rows: Vec<KernelSpec> = single_ops()
        .iter()
        .enumerate()
        .map(|(at, kernel)| spec(kernel, 1 + at % MAX_RANK, 0))
        .collect();
    for rank in 1..=MAX_RANK {
        rows.extend([chain(), longest()].map(|kernel| spec(&kernel, rank, 0)));
    }
    let weight = kernel(Op::Cast(Cast { to: DType::F32 }), &[DType::Bf16], DType::F32);
    rows.push(spec(&weight, 1, 1));
    rows
}
