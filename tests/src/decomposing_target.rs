//! The CPU without its fused kernels.

use minuend::ir::{Legality, Op, OpInstance, OpSupport};
use minuend::{CpuTarget, Target};
use minuend_codegen::{CodegenError, Kernel};

/// Runs primitive ops as [`CpuTarget`] does and asks for the decomposition of every fused op.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecomposingTarget;

/// True for the ops that mean several smaller ones.
pub fn is_fused(op: &Op) -> bool {
    matches!(
        op,
        Op::RmsNorm(_)
            | Op::AddRmsNorm(_)
            | Op::Rope(_)
            | Op::Swiglu
            | Op::Attention(_)
            | Op::DiffAttention(_)
            | Op::KvAppend(_)
    )
}

impl OpSupport for DecomposingTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        if is_fused(op.op) {
            return Legality::Decompose { reason: "it is a fused op".into() };
        }
        CpuTarget.legality(op)
    }
}

impl Target for DecomposingTarget {
    fn name(&self) -> &'static str {
        CpuTarget.name()
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        CpuTarget.select(op)
    }

    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
        CpuTarget.reads_strided(op, operand, dense_last_axis)
    }
}
