//! The compile-time half of a backend.

use minuend_ir::{DType, Op, OpInstance, OpSupport};

use crate::kernel::Kernel;

/// A kernel that a target does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {target} has no kernel for {op}: {reason}")]
pub struct CodegenError {
    /// The target.
    pub target: &'static str,
    /// The op's mnemonic.
    pub op: &'static str,
    /// Why not.
    pub reason: String,
}

/// What a backend must know to compile for it.
pub trait Target: OpSupport + Send + Sync {
    /// The name on the command line: `cpu`, `cuda-sm90a`.
    fn name(&self) -> &'static str;

    /// The float types that models may have their activations in, the widest first.
    fn activation_dtypes(&self) -> &'static [DType] {
        &[DType::F32]
    }

    /// The kernel for an op that [`OpSupport::legality`] calls native.
    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError>;

    /// True if the kernel of `op` reads the operand whatever its strides; otherwise the plan copies a
    /// strided operand to a dense buffer first. `dense_last_axis` says that elements along the last
    /// axis lie next to each other.
    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool;

    /// True if the target makes `kernel`, whose tail is not empty. The plan asks it for every op that
    /// it would add to a kernel, and stores the value in between where the answer is no.
    fn fuses(&self, _kernel: &Kernel) -> bool {
        false
    }
}
