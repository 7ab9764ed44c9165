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

use crate::attention::{Problem, strides};
use crate::cuda::error::CudaError;
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
    let mut elements = [0i64; 6];
    let Some(place) = place else {
        return Ok(launch.arg(names[0], Arg::Null).arg(names[1], Arg::Strides(elements)));
    };
    for (to, value) in elements.iter_mut().zip(strides(place)) {
        let name = names[1];
        *to = i64::try_from(value).map_err(|_| CudaError::Size { name, value })?;
    }
    Ok(launch.arg(names[0], Arg::tensor(place)).arg(names[1], Arg::Strides(elements)))
}

/// Query `i` sees no key behind `i + reach`: its own position under a causal mask, otherwise any.
fn reach(problem: &Problem<'_>) -> usize {
    if problem.is_causal() { problem.keys - problem.queries } else { problem.keys }
}

#[cfg(test)]
mod tests;
