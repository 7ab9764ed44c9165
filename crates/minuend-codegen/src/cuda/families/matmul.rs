//! Matrix products.
//!
//! What runs one, in the order that [`works`] tries:
//! - few rows with a weight [n, k]: kernels that read the weight once, at the speed of memory;
//! - the library, for operands of one type in a layout that it knows;
//! - tensor cores through `mma.sync`, for 16-bit operands that are aligned to 16 bytes;
//! - multiply-adds, for all others.

mod few_rows;
mod library;
mod mma;
mod product;
mod simt;

use minuend_ir::ops::Matmul;

use crate::cuda::error::CudaError;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::LaunchPlaces;

use product::Problem;

pub(crate) const TEMPLATES: &[Template] = &[
    few_rows::TENSOR_CORES,
    few_rows::MULTIPLY_ADDS,
    library::GATE,
    mma::TEMPLATE,
    simt::TEMPLATE,
];

/// What computes a product.
pub(crate) fn works(
    op: Matmul,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let problem = Problem::of(op, launch)?;
    if let Some(works) = few_rows::works(&problem, limits)? {
        return Ok(works);
    }
    if let Some(works) = library::works(&problem, limits)? {
        return Ok(works);
    }
    if mma::fits(&problem) {
        return Ok(Works::of(mma::launch(&problem)?));
    }
    Ok(Works::of(simt::launch(&problem, limits)?))
}

#[cfg(test)]
mod tests;
