//! What a target selects for an op.

use std::fmt;

use minuend_ir::{DType, Op};
use smallvec::{SmallVec, smallvec};

/// A kernel that the backend contains or generates: the op with its attributes, the element types it
/// is compiled for, and what it does to its result before it stores it. Sizes and strides are
/// arguments of the launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What it computes.
    pub op: Op,
    /// Element types of the op's operands, then of the operands that only the tail reads.
    pub operands: SmallVec<[DType; 4]>,
    /// Element types of what is stored.
    pub results: SmallVec<[DType; 2]>,
    /// What is done to the op's result before it is stored.
    pub tail: Tail,
}

/// What a kernel does to its result before it stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tail {
    /// Nothing.
    #[default]
    None,
    /// Elementwise ops one after the other; only the last value is stored. All values of the chain
    /// have the shape of what is stored; operands of the launch broadcast to it.
    Elementwise(Vec<TailStep>),
    /// The op is a product with a packed gate/up weight: of its columns `0..n/2` are gate and `n/2..n`
    /// up; `silu(gate) * up` is stored, `[.., n/2]`.
    Swiglu,
}

/// One op of an elementwise tail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TailStep {
    /// The op, an elementwise one.
    pub op: Op,
    /// What it reads.
    pub operands: SmallVec<[TailOperand; 3]>,
    /// Element type of its result.
    pub result: DType,
}

/// What a step of a tail reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TailOperand {
    /// A value of the chain: 0 is the op's own result, `i` the result of step `i - 1`.
    Value(usize),
    /// An operand of the launch, as an index into [`Kernel::operands`]; it lies behind the op's own.
    Operand(usize),
}

impl Kernel {
    /// Mnemonics of all that it computes: the op, then its tail.
    pub fn ops(&self) -> SmallVec<[&'static str; 4]> {
        let mut ops = smallvec![self.op.mnemonic()];
        match &self.tail {
            Tail::None => {}
            Tail::Elementwise(steps) => ops.extend(steps.iter().map(|step| step.op.mnemonic())),
            Tail::Swiglu => ops.push(Op::Swiglu.mnemonic()),
        }
        ops
    }

    /// The name shown in plans and profiles: op, tail and element types.
    pub fn name(&self) -> String {
        let list = |types: &[DType]| types.iter().map(|t| t.name()).collect::<Vec<_>>().join(",");
        let (operands, results) = (list(&self.operands), list(&self.results));
        format!("{}{}<{operands}; {results}>", self.op.mnemonic(), self.tail)
    }
}

/// `+add(v0, x2)+silu(v1)`: `v` are values of the chain, `x` operands of the launch. Empty for no tail.
impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tail::None => Ok(()),
            Tail::Swiglu => write!(f, "+{}", Op::Swiglu.mnemonic()),
            Tail::Elementwise(steps) => steps.iter().try_for_each(|step| {
                let operands = step.operands.iter().map(TailOperand::to_string);
                let operands: Vec<String> = operands.collect();
                write!(f, "+{}({})", step.op.mnemonic(), operands.join(", "))
            }),
        }
    }
}

impl fmt::Display for TailOperand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TailOperand::Value(index) => write!(f, "v{index}"),
            TailOperand::Operand(index) => write!(f, "x{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::ops::{BinaryOp, Matmul, UnaryOp};

    #[test]
    fn a_name_shows_the_tail() {
        let add = TailStep {
            op: Op::Binary(BinaryOp::Add),
            operands: smallvec![TailOperand::Value(0), TailOperand::Operand(2)],
            result: DType::F32,
        };
        let silu = TailStep {
            op: Op::Unary(UnaryOp::Silu),
            operands: smallvec![TailOperand::Value(1)],
            result: DType::F32,
        };
        let mut kernel = Kernel {
            op: Op::Matmul(Matmul { transpose_rhs: true }),
            operands: smallvec![DType::F32, DType::Bf16, DType::F32],
            results: smallvec![DType::F32],
            tail: Tail::Elementwise(vec![add, silu]),
        };
        assert_eq!(kernel.name(), "matmul+add(v0, x2)+silu(v1)<f32,bf16,f32; f32>");
        assert_eq!(kernel.ops().as_slice(), ["matmul", "add", "silu"]);
        kernel.operands.pop();
        kernel.tail = Tail::Swiglu;
        assert_eq!(kernel.name(), "matmul+swiglu<f32,bf16; f32>");
        assert_eq!(kernel.ops().as_slice(), ["matmul", "swiglu"]);
        kernel.tail = Tail::None;
        assert_eq!(kernel.name(), "matmul<f32,bf16; f32>");
        assert_eq!(kernel.ops().as_slice(), ["matmul"]);
    }
}
