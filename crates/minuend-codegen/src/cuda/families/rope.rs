//! Rotary position embedding.

use minuend_ir::DType;
use minuend_ir::ops::{Rope, RopeLayout};

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::indexing::{blocks, distances};
use crate::cuda::families::reduce::FLOATS;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::place::{LaunchPlaces, TensorPlace};
use crate::turns::turns;

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "rope/rope",
    source: include_str!("../../../../../cuda/rope/rope.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &["turns"] },
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes: no_opcodes,
}];

/// Neighbouring pairs of a thread, where they are aligned.
const PAIRS: usize = 4;
/// Most heads that a thread rotates by the same angles.
const MOST_HEADS: usize = 8;
/// Threads of a block.
const THREADS: u32 = 128;

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for dtype in FLOATS {
        for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
            rows.extend([1, PAIRS].map(|pairs| spec(dtype, layout, pairs)));
        }
    }
    rows
}

fn spec(dtype: DType, layout: RopeLayout, pairs: usize) -> KernelSpec {
    KernelSpec::new("rope/rope")
        .with_type("ELEMENT", element(dtype))
        .with_bool("INTERLEAVED", layout == RopeLayout::Interleaved)
        .with_int("PAIRS", pairs as i32)
}

/// True if [`PAIRS`] neighbouring pairs of every head are aligned as `load_floats` of
/// `minuend/floats.cuh` needs it.
fn is_aligned(tensor: &TensorPlace<'_>, layout: RopeLayout) -> bool {
    let neighbours = match layout {
        RopeLayout::Interleaved => 2 * PAIRS as u64,
        RopeLayout::HalfSplit => PAIRS as u64,
    };
    let element = tensor.dtype.bytes();
    let bytes = (neighbours * element).min(16);
    let mut axes = tensor.shape.iter().zip(tensor.strides).rev().skip(1);
    tensor.byte_offset.is_multiple_of(bytes)
        && axes.all(|(size, stride)| {
            *size == 1 || (*stride as u64).saturating_mul(element).is_multiple_of(bytes)
        })
}

pub(crate) fn works(
    op: Rope,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let positions = launch.dense_operand(1)?;
    let result = launch.result(0)?;
    let &[batch, heads, tokens, features] = result.shape else {
        let reason = format!("the result has rank {}, expected 4", result.shape.len());
        return Err(CudaError::Unsupported { op: name, reason });
    };
    let ([x_outer @ .., 1], [result_outer @ .., 1]) = (x.strides, result.strides) else {
        let reason = "features do not lie next to each other".into();
        return Err(CudaError::Unsupported { op: name, reason });
    };
    let pairs = features / 2;
    let is_wide =
        pairs.is_multiple_of(PAIRS) && is_aligned(x, op.layout) && is_aligned(result, op.layout);
    let width = if is_wide { PAIRS } else { 1 };
    let vectors = pairs / width;

    let count = |numbers: &[usize]| {
        let product = numbers.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        product.ok_or(CudaError::Size { name: "rotations", value: usize::MAX })
    };
    // Angles are shared between heads as far as the device stays busy.
    let busy = 1024 * limits.multiprocessors as usize;
    let work = count(&[batch, tokens, heads, vectors])?;
    let heads_of_group = work.checked_div(busy).unwrap_or(1).clamp(1, MOST_HEADS);
    let head_groups = heads.div_ceil(heads_of_group);
    let items = count(&[batch, tokens, head_groups, vectors])?;
    let positions_of_batch = if positions.shape.len() == 2 { tokens } else { 0 };
    let spec = spec(x.dtype, op.layout, width);
    let launch = KernelLaunch::new(spec, blocks(items, THREADS)?, THREADS)
        .arg("x", Arg::tensor(x))
        .arg("positions", Arg::tensor(positions))
        .arg("turns", Arg::Data(turns(op.theta.get(), features).bytes))
        .arg("result", Arg::tensor(result))
        .arg("items", Arg::size("rotations", items)?)
        .arg("vectors", Arg::size("features", vectors)?)
        .arg("head_groups", Arg::size("heads", head_groups)?)
        .arg("heads_of_group", Arg::size("heads", heads_of_group)?)
        .arg("heads", Arg::size("heads", heads)?)
        .arg("tokens", Arg::size("tokens", tokens)?)
        .arg("positions_of_batch", Arg::size("tokens", positions_of_batch)?)
        .arg("x_strides", distances(x_outer)?)
        .arg("result_strides", distances(result_outer)?);
    Ok(Works::of(launch))
}

#[cfg(test)]
mod tests;
