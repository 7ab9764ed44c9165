//! Attention and differential attention.
//!
//! Both are one set of kernels. Differential attention is two streams of softmax over the keys that a
//! thread block reads once, and the difference of their normalised outputs.

mod decode;
mod forward;
mod forward_mma;
mod forward_simt;
mod forward_tcgen05;
mod forward_wgmma;
mod problem;

use minuend_ir::ops::{Attention, DiffAttention};

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::launch::Works;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::LaunchPlaces;

pub(crate) const TEMPLATES: &[Template] = &[
    decode::TILES_BULK,
    decode::TILES_ASYNC,
    decode::TILES_WGMMA,
    decode::SIMT,
    forward_tcgen05::TEMPLATE,
    forward_wgmma::TEMPLATE,
    forward_mma::TEMPLATE,
    forward_simt::TEMPLATE,
];

pub(crate) fn attention(
    op: Attention,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    works(&Problem::of(launch, op, false)?, limits)
}

pub(crate) fn diff_attention(
    op: DiffAttention,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    works(&Problem::of(launch, op.attention(), true)?, limits)
}

/// The first kernel that covers the launch, best first.
fn works(problem: &Problem<'_>, limits: &CudaLimits) -> Result<Works, CudaError> {
    if let Some(works) = decode::works(problem, limits)? {
        return Ok(works);
    }
    if let Some(works) = forward_tcgen05::works(problem, limits)? {
        return Ok(works);
    }
    if let Some(works) = forward_wgmma::works(problem, limits)? {
        return Ok(works);
    }
    if let Some(works) = forward_mma::works(problem, limits)? {
        return Ok(works);
    }
    forward_simt::works(problem, limits)
}

#[cfg(test)]
mod tests;
