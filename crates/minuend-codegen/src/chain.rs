//! The values that an elementwise kernel computes for one element, one after the other.

use minuend_ir::{DType, Op};
use smallvec::SmallVec;

use crate::kernel::{Kernel, Tail, TailOperand};
use crate::unsupported::Unsupported;

/// One value: an op on operands of the launch and earlier values.
pub(crate) struct Link<'k> {
    /// What computes it.
    pub(crate) op: &'k Op,
    /// What it is computed from.
    pub(crate) operands: SmallVec<[(TailOperand, DType); 3]>,
    /// Its type.
    pub(crate) result: DType,
}

/// All values; the last is stored.
pub(crate) fn links(kernel: &Kernel) -> Result<Vec<Link<'_>>, Unsupported> {
    let wrong = |reason: &str| Unsupported {
        op: kernel.op.mnemonic(),
        reason: format!("{} has {reason}", kernel.name()),
    };
    let steps = match &kernel.tail {
        Tail::None => &[][..],
        Tail::Elementwise(steps) => steps,
        Tail::Swiglu => return Err(wrong("a tail for products only")),
    };
    let own = arity(&kernel.op).ok_or_else(|| wrong("an op that is not elementwise"))?;
    let types = kernel.operands.get(..own).ok_or_else(|| wrong("too few operands"))?;
    let operands = types.iter().enumerate();
    let mut links = vec![Link {
        op: &kernel.op,
        operands: operands.map(|(index, dtype)| (TailOperand::Operand(index), *dtype)).collect(),
        result: result_of(&kernel.op, types),
    }];
    for step in steps {
        let mut operands = SmallVec::new();
        for operand in &step.operands {
            let dtype = match operand {
                TailOperand::Value(index) => links.get(*index).map(|link| link.result),
                TailOperand::Operand(index) => kernel.operands.get(*index).copied(),
            };
            operands.push((*operand, dtype.ok_or_else(|| wrong("a step that reads nothing"))?));
        }
        if arity(&step.op) != Some(operands.len()) {
            return Err(wrong("a step with a wrong number of operands"));
        }
        links.push(Link { op: &step.op, operands, result: step.result });
    }
    Ok(links)
}

/// Number of operands of an elementwise op.
fn arity(op: &Op) -> Option<usize> {
    match op {
        Op::Unary(_) | Op::Cast(_) => Some(1),
        Op::Binary(_) | Op::Compare(_) | Op::Swiglu => Some(2),
        Op::Select => Some(3),
        _ => None,
    }
}

fn result_of(op: &Op, operands: &[DType]) -> DType {
    match (op, operands) {
        (Op::Compare(_), _) => DType::Bool,
        (Op::Cast(cast), _) => cast.to,
        (Op::Select, [_, dtype, ..]) | (_, [dtype, ..]) => *dtype,
        _ => DType::F32,
    }
}
