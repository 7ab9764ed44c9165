use minuend_ir::ops::*;
use crate::cuda::error::CudaError;
use crate::cuda::families::unsupported;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[];
pub(crate) fn works(_: Matmul, _: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("works", "not written yet")) }
