//! A target without its fused kernels.

use minuend::Target;
use minuend::ir::{DType, Legality, Op, OpInstance, OpSupport};
use minuend_codegen::{CodegenError, Kernel};

/// Runs primitive ops as another target does and asks for the decomposition of every fused op.
#[derive(Clone, Copy)]
pub struct DecomposingTarget<'t>(pub &'t dyn Target);

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

impl OpSupport for DecomposingTarget<'_> {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        decomposition(op).unwrap_or_else(|| self.0.legality(op))
    }
}

/// Every primitive op, of every type, and no other.
#[derive(Clone, Copy)]
pub struct PrimitiveOps;

impl OpSupport for PrimitiveOps {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        decomposition(op).unwrap_or(Legality::Native)
    }
}

fn decomposition(op: &OpInstance<'_>) -> Option<Legality> {
    is_fused(op.op).then(|| Legality::Decompose { reason: "it is a fused op".into() })
}

impl Target for DecomposingTarget<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn activation_dtypes(&self) -> &'static [DType] {
        self.0.activation_dtypes()
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        self.0.select(op)
    }

    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
        self.0.reads_strided(op, operand, dense_last_axis)
    }

    fn fuses(&self, kernel: &Kernel) -> bool {
        self.0.fuses(kernel)
    }
}
