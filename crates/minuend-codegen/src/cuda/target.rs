//! The target that the passes and the plan see.

use minuend_ir::{DType, Legality, Op, OpInstance, OpSupport};

use crate::cuda::error::CudaError;
use crate::cuda::launch::{Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::select::{copies, works};
use crate::cuda::template::specialise;
use crate::f32_activations;
use crate::kernel::{Kernel, Tail, TailStep};
use crate::place::{LaunchPlaces, TensorPlace};
use crate::target::{CodegenError, KernelText, Target};

/// Largest rank that kernels index.
const MAX_RANK: usize = 6;

/// Largest number of operands of a generated elementwise kernel.
pub(crate) const MAX_OPERANDS: usize = 8;

/// Compiles for GPUs with the given limits: activations in f32, f16 or bf16; sums always in f32.
#[derive(Clone, Debug)]
pub struct CudaTarget {
    limits: CudaLimits,
}

impl CudaTarget {
    /// A target for a device.
    pub fn new(limits: CudaLimits) -> CudaTarget {
        CudaTarget { limits }
    }

    /// What the device can do.
    pub fn limits(&self) -> &CudaLimits {
        &self.limits
    }
}

/// Why the target does not run an op; `None` if it does.
fn refusal(op: &OpInstance<'_>) -> Option<String> {
    let mut types = op.operands.iter().copied().chain(op.results);
    if let Some(ty) = types.find(|ty| ty.rank() > MAX_RANK) {
        return Some(format!("rank {} exceeds {MAX_RANK}", ty.rank()));
    }
    let first = op.operands.first()?;
    let others = op.operands.iter().enumerate().skip(1);
    let mut others = others.filter(|(operand, ty)| {
        ty.dtype.is_float() && first.dtype.is_float() && ty.dtype != first.dtype && {
            // Weights may be stored in another type than the activations are in.
            let is_weight = match op.op {
                Op::Matmul(_) => *operand == 1 && first.dtype == DType::F32,
                Op::RmsNorm(_) => *operand == 1,
                Op::AddRmsNorm(_) => *operand == 2,
                op => matches!(op, Op::Return(_)),
            };
            !is_weight
        }
    });
    let (operand, ty) = others.next()?;
    Some(format!("operand {operand} is {}, operand 0 is {}", ty.dtype, first.dtype))
}

impl OpSupport for CudaTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        match refusal(op) {
            Some(reason) => Legality::Unsupported { reason },
            None => Legality::Native,
        }
    }
}

impl Target for CudaTarget {
    fn name(&self) -> &'static str {
        self.limits.arch.target
    }

    fn activation_dtypes(&self) -> &'static [DType] {
        &[DType::F32, DType::F16, DType::Bf16]
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        match refusal(op) {
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
            // Sums are f32: storing them so instead of narrowing them first costs nothing.
            (Op::Matmul(_), Tail::Elementwise(steps)) => widens(steps),
            (_, Tail::Elementwise(_)) => kernel.operands.len() <= MAX_OPERANDS,
            (_, Tail::Swiglu) => false,
        }
    }

    fn emit(&self, launch: &LaunchPlaces<'_>) -> Result<Vec<KernelText>, CodegenError> {
        self.texts(launch.kernel.op.mnemonic(), works(launch, &self.limits))
    }

    fn emit_copy(
        &self,
        from: &TensorPlace<'_>,
        to: &TensorPlace<'_>,
    ) -> Result<Vec<KernelText>, CodegenError> {
        self.texts("copy", copies(from, to, &self.limits))
    }
}

impl CudaTarget {
    /// Products of the library have no text.
    fn texts(
        &self,
        op: &'static str,
        works: Result<Works, CudaError>,
    ) -> Result<Vec<KernelText>, CodegenError> {
        let texts = works.and_then(|works| {
            let kernels = works.steps.iter().filter_map(|work| match work {
                Work::Kernel(launch) => Some(launch),
                Work::Product(_) => None,
            });
            let texts =
                kernels.map(|launch| Ok(specialise(&launch.spec, self.limits.arch)?.flat()));
            texts.collect::<Result<Vec<_>, CudaError>>()
        });
        let failed =
            |error: CudaError| CodegenError { target: self.name(), op, reason: error.to_string() };
        texts.map_err(failed)
    }
}

/// True for a tail that is one cast to f32.
fn widens(steps: &[TailStep]) -> bool {
    matches!(steps, [step] if matches!(step.op, Op::Cast(_)) && step.result == DType::F32)
}
