//! The CPU target: f32 activations, weights in the type they are stored in.

use minuend_ir::{Legality, Op, OpInstance, OpSupport};

use crate::f32_activations;
use crate::kernel::Kernel;
use crate::target::{CodegenError, Target};

/// The kernels of the CPU device are Rust functions; this says which ops and types they cover.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTarget;

impl OpSupport for CpuTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        f32_activations::legality(op)
    }
}

impl Target for CpuTarget {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        match f32_activations::refusal(op) {
            Some(reason) => Err(CodegenError { target: self.name(), op: op.op.mnemonic(), reason }),
            None => Ok(f32_activations::kernel(op)),
        }
    }

    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
        f32_activations::reads_strided(op, operand, dense_last_axis)
    }
}
