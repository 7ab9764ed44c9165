//! Few query tokens over many keys: what a step of generation needs.
//!
//! The keys of a batch element and K/V head are split over thread blocks, each of which has all query
//! rows that read them. Blocks of a cluster merge their results through shared memory, others leave them
//! to the last that finishes. Kernels are specialised for the model and the number of query tokens; the
//! number of keys is an argument, so that a generation compiles one kernel, and another where its cache
//! becomes long.

mod simt;
mod split;
mod tiles;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::problem::stride_arg;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Template;
use crate::place::TensorPlace;

pub(super) const TILES_BULK: Template = tiles::BULK;
pub(super) const TILES_ASYNC: Template = tiles::ASYNC;
pub(super) const TILES_WGMMA: Template = tiles::WGMMA;
pub(super) const SIMT: Template = simt::TEMPLATE;

/// Query rows of a K/V head up to which the keys are split.
const MOST_ROWS: usize = 64;
/// Blocks along the second and third axis of a grid.
const MOST_BLOCKS: usize = 65535;

/// What runs a launch of few query rows for each K/V head; `None` for other launches.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let rows = query_heads(problem).saturating_mul(problem.queries);
    let positions = problem.keys.saturating_mul(2).saturating_add(problem.queries);
    if problem.keys == 0
        || !(1..=MOST_ROWS).contains(&rows)
        || problem.batch > MOST_BLOCKS
        || problem.kv_heads > MOST_BLOCKS
        || i32::try_from(positions).is_err()
    {
        return Ok(None);
    }
    match tiles::works(problem, limits)? {
        Some(works) => Ok(Some(works)),
        None => simt::works(problem, limits),
    }
}

/// Query heads that read a K/V head.
fn query_heads(problem: &Problem<'_>) -> usize {
    problem.group_heads() * problem.streams()
}

/// A tensor and its strides over batches, heads and tokens; nothing for an operand that is not there.
fn tensor(
    launch: KernelLaunch,
    place: Option<&TensorPlace<'_>>,
    names: [&'static str; 2],
) -> Result<KernelLaunch, CudaError> {
    let address = place.map_or(Arg::Null, Arg::tensor);
    let strides = place.map_or(Ok(Arg::Strides([0; 6])), stride_arg)?;
    Ok(launch.arg(names[0], address).arg(names[1], strides))
}

#[cfg(test)]
mod tests;
