//! What the selection that the GPU targets share does not take.

use crate::cuda::CudaError;
use crate::wgsl::ShaderError;

/// A launch that neither target has a kernel for. Each makes it an error of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// The op.
    pub(crate) op: &'static str,
    /// Why not.
    pub(crate) reason: String,
}

impl From<Unsupported> for CudaError {
    fn from(Unsupported { op, reason }: Unsupported) -> CudaError {
        CudaError::Unsupported { op, reason }
    }
}

impl From<Unsupported> for ShaderError {
    fn from(Unsupported { op, reason }: Unsupported) -> ShaderError {
        ShaderError::Unsupported { op, reason }
    }
}
