use minuend_ir::ops::*;
use crate::cuda::error::CudaError;
use crate::cuda::families::unsupported;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[];
pub(crate) fn rms_norm(_: RmsNorm, _: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("rms_norm", "not written yet")) }
pub(crate) fn add_rms_norm(_: RmsNorm, _: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("add_rms_norm", "not written yet")) }
