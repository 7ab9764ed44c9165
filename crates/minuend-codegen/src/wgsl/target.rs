//! The target that the passes and the plan see.

use minuend_ir::{Legality, Op, OpInstance, OpSupport};

use crate::f32_activations;
use crate::kernel::{Kernel, Tail};
use crate::place::{LaunchPlaces, TensorPlace};
use crate::target::{CodegenError, KernelText, Target};
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::select::{copies, dispatches};
use crate::wgsl::template::{Dialect, specialise};

/// Compiles for adapters with the given limits: f32 activations, weights in the type they are stored in.
#[derive(Clone, Debug)]
pub struct WgslTarget {
    limits: WgslLimits,
}

impl WgslTarget {
    /// A target for an adapter.
    pub fn new(limits: WgslLimits) -> WgslTarget {
        WgslTarget { limits }
    }

    /// What the adapter can do.
    pub fn limits(&self) -> &WgslLimits {
        &self.limits
    }
}

impl OpSupport for WgslTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        f32_activations::legality(op)
    }
}

impl Target for WgslTarget {
    fn name(&self) -> &'static str {
        "wgsl"
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

    fn fuses(&self, kernel: &Kernel) -> bool {
        match (&kernel.op, &kernel.tail) {
            (_, Tail::None) => true,
            (Op::Matmul(_), Tail::Swiglu) => true,
            (Op::Matmul(_), Tail::Elementwise(_)) => false,
            // One binding is the result.
            (_, Tail::Elementwise(_)) => {
                kernel.operands.len() < self.limits.max_storage_buffers as usize
            }
            (_, Tail::Swiglu) => false,
        }
    }

    fn emit(&self, launch: &LaunchPlaces<'_>) -> Result<Vec<KernelText>, CodegenError> {
        self.texts(launch.kernel.op.mnemonic(), dispatches(launch, &self.limits))
    }

    fn emit_copy(
        &self,
        from: &TensorPlace<'_>,
        to: &TensorPlace<'_>,
    ) -> Result<Vec<KernelText>, CodegenError> {
        self.texts("copy", copies(from, to, &self.limits))
    }
}

impl WgslTarget {
    fn texts(
        &self,
        op: &'static str,
        dispatches: Result<Vec<Dispatch>, ShaderError>,
    ) -> Result<Vec<KernelText>, CodegenError> {
        let texts = dispatches.and_then(|dispatches| {
            let texts = dispatches.iter().map(|dispatch| {
                let source = specialise(&dispatch.spec, Dialect::Native)?;
                let (label, text) = (source.label, source.text);
                Ok(KernelText { label, extension: "wgsl", text, options: Vec::new() })
            });
            texts.collect::<Result<Vec<_>, ShaderError>>()
        });
        let failed = |error: ShaderError| CodegenError {
            target: self.name(),
            op,
            reason: error.to_string(),
        };
        texts.map_err(failed)
    }
}
