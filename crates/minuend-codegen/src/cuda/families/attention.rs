use minuend_ir::ops::*;
use crate::cuda::error::CudaError;
use crate::cuda::families::unsupported;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[];
pub(crate) fn attention(_: Attention, _: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("attention", "not written yet")) }
pub(crate) fn diff_attention(_: DiffAttention, _: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("diff_attention", "not written yet")) }
