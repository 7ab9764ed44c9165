//! Kernel families: which files run an op, with which parameters, arguments and grids.

pub(crate) mod attention;
pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod indexing;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod reduce;
pub(crate) mod rope;
pub(crate) mod sample;
pub(crate) mod softmax;

use minuend_ir::DType;

use crate::cuda::error::CudaError;

/// The C++ type of elements, as `minuend/types.cuh` has it.
pub(crate) fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::F16 => "minuend::f16",
        DType::Bf16 => "minuend::bf16",
        DType::I32 => "int",
        DType::I64 => "long long",
        DType::Bool => "bool",
    }
}

/// A launch that the family does not have.
pub(crate) fn unsupported(op: &'static str, reason: &str) -> CudaError {
    CudaError::Unsupported { op, reason: reason.to_string() }
}

#[cfg(test)]
pub(crate) mod launches;
#[cfg(test)]
mod tests;
