use crate::cuda::error::CudaError;
use crate::cuda::families::attention::problem::Problem;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;

pub(super) fn works(_: &Problem<'_>, _: &CudaLimits) -> Result<Option<Works>, CudaError> {
    Ok(None)
}
