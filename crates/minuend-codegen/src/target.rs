//! The compile-time half of a backend.

use minuend_ir::{DType, Op, OpInstance, OpSupport};

use crate::kernel::Kernel;
use crate::place::{LaunchPlaces, TensorPlace};

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

/// The text of a kernel as its compiler is given it, in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelText {
    /// Which kernel, with which parameters, in words.
    pub label: String,
    /// The language, as files of it end: `cu`, `wgsl`.
    pub extension: &'static str,
    /// The text; nothing else is needed to compile it.
    pub text: String,
    /// Options for the compiler.
    pub options: Vec<String>,
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

    /// The kernels that run a launch, as text. None where kernels are functions of this program.
    fn emit(&self, launch: &LaunchPlaces<'_>) -> Result<Vec<KernelText>, CodegenError> {
        let _ = launch;
        Ok(Vec::new())
    }

    /// As [`Target::emit`], for a copy between tensors of one shape and type.
    fn emit_copy(
        &self,
        from: &TensorPlace<'_>,
        to: &TensorPlace<'_>,
    ) -> Result<Vec<KernelText>, CodegenError> {
        let _ = (from, to);
        Ok(Vec::new())
    }
}
