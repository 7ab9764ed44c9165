//! Attention and differential attention.
//!
//! Both are one set of shaders: with `PAIRED`, a workgroup keeps two softmaxes over the keys that it
//! reads, and takes the difference of their normalised outputs.

mod cooperative;
mod direct;
mod prefill;
mod problem;
mod split;

use minuend_ir::ops::{Attention, DiffAttention};

use crate::attention::Problem;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::Template;

pub(crate) const TEMPLATES: &[Template] =
    &[cooperative::TEMPLATE, direct::TEMPLATE, prefill::TEMPLATE, split::SPLIT, split::MERGE];

pub(crate) fn attention(
    op: Attention,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    dispatches(&Problem::of(launch, op, false)?, limits)
}

pub(crate) fn diff_attention(
    op: DiffAttention,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    dispatches(&Problem::of(launch, op.attention(), true)?, limits)
}

/// Few queries of many keys leave most of the device idle unless the keys are split; elsewhere a
/// workgroup runs over all keys of a tile of queries.
fn dispatches(problem: &Problem<'_>, limits: &WgslLimits) -> Result<Vec<Dispatch>, ShaderError> {
    if split::pays(problem) {
        return split::dispatches(problem, limits);
    }
    if let Some(dispatch) = cooperative::dispatch(problem, limits)? {
        return Ok(vec![dispatch]);
    }
    if limits.is_cpu && direct::covers(problem) {
        return Ok(vec![direct::dispatch(problem, limits)?]);
    }
    Ok(vec![prefill::dispatch(problem, limits)?])
}

#[cfg(test)]
mod tests;
