use minuend_ir::ops::*;
use crate::cuda::error::CudaError;
use crate::cuda::families::unsupported;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[];
pub(crate) fn constant(_: &Constant, _: &LaunchPlaces<'_>) -> Result<Works, CudaError> { Err(unsupported("constant", "not written yet")) }
pub(crate) fn dim_value(_: &LaunchPlaces<'_>) -> Result<Works, CudaError> { Err(unsupported("dim_value", "not written yet")) }
pub(crate) fn iota(_: &LaunchPlaces<'_>) -> Result<Works, CudaError> { Err(unsupported("iota", "not written yet")) }
pub(crate) fn tensor(_: &TensorPlace<'_>, _: &TensorPlace<'_>, _: &CudaLimits) -> Result<Works, CudaError> { Err(unsupported("tensor", "not written yet")) }
