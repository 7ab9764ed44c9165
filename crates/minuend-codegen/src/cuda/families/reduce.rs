//! Reductions along one axis.

pub(crate) mod rows;
pub(crate) mod teams;

use minuend_ir::DType;
use minuend_ir::ops::{ArgMax, Reduce, ReduceKind};

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::reduce::rows::widest;
use crate::cuda::families::reduce::teams::Team;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::place::{LaunchPlaces, Region, TensorPlace};
use crate::rows::Rows;
use crate::unsupported::Unsupported;

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "reduce/reduce",
        source: include_str!("../../../../../cuda/reduce/reduce.cu"),
        needs: Needs::Nothing,
        overlap: Overlap::Never,
        fast_math: false,
        generated: not_generated,
        rows: reduce_rows,
        opcodes: no_opcodes,
    },
    Template {
        name: "reduce/arg_max",
        source: include_str!("../../../../../cuda/reduce/arg_max.cu"),
        needs: Needs::Nothing,
        overlap: Overlap::BehindWait { ahead: &[] },
        fast_math: false,
        generated: not_generated,
        rows: arg_max_rows,
        opcodes: no_opcodes,
    },
];

/// Types of activations.
pub(crate) const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

fn reduce_rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for dtype in FLOATS {
        for is_max in [false, true] {
            let widest = widest(dtype);
            for (lanes, width) in [(1, 1), (32, 1), (32, widest), (0, 1), (0, widest)] {
                rows.push(reduce_spec(dtype, is_max, lanes, width));
            }
        }
    }
    rows
}

fn reduce_spec(dtype: DType, is_max: bool, lanes: u32, width: usize) -> KernelSpec {
    KernelSpec::new("reduce/reduce")
        .with_type("ELEMENT", element(dtype))
        .with_bool("IS_MAX", is_max)
        .with_int("LANES", lanes as i32)
        .with_int("WIDTH", width as i32)
}

fn arg_max_rows() -> Vec<KernelSpec> {
    let widths = |dtype| [(dtype, 1), (dtype, widest(dtype))];
    let rows = FLOATS.into_iter().flat_map(widths);
    rows.map(|(dtype, width)| arg_max_spec(dtype, width)).collect()
}

fn arg_max_spec(dtype: DType, width: usize) -> KernelSpec {
    KernelSpec::new("reduce/arg_max")
        .with_type("ELEMENT", element(dtype))
        .with_int("WIDTH", width as i32)
}

/// What becomes one element along an axis.
struct Reduction<'a> {
    x: &'a TensorPlace<'a>,
    result: &'a TensorPlace<'a>,
    rows: Rows,
    /// Elements of a vector.
    width: usize,
    /// Vectors of a row.
    vectors: usize,
}

impl<'a> Reduction<'a> {
    fn of(launch: &LaunchPlaces<'a>, axis: usize) -> Result<Reduction<'a>, Unsupported> {
        let x = launch.operand(0)?;
        let result = launch.dense_result(0)?;
        let rows = Rows::along(launch.kernel.op.mnemonic(), axis, &[x])?;
        let width = rows.width(&[x]);
        let vectors = rows.length / width;
        Ok(Reduction { x, result, rows, width, vectors })
    }
}

pub(crate) fn works(
    op: Reduce,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let Reduction { x, result, rows, width, vectors } = Reduction::of(launch, op.axis)?;
    let step = rows.steps[0];
    let team = Team::for_one_pass(rows.count, vectors, step, limits);
    let is_max = op.kind == ReduceKind::Max;
    let divisor = if op.kind == ReduceKind::Mean { rows.length as f32 } else { 1.0 };
    let spec = reduce_spec(x.dtype, is_max, team.lanes, width);
    let launch = KernelLaunch::new(spec, team.blocks(rows.count)?, team.threads)
        .arg("x", Arg::tensor(x))
        .arg("result", Arg::tensor(result))
        .arg("rows", Arg::size("rows", rows.count)?)
        .arg("vectors", Arg::size("the reduced axis", vectors)?)
        .arg("step", Arg::long("a stride", step)?)
        .arg("divisor", Arg::Float(divisor))
        .arg("shape", rows.axes.shape_arg()?)
        .arg("x_strides", rows.axes.strides_arg(0)?);
    Ok(Works::of(launch))
}

/// Most threads of a block; the kernel is compiled for so many.
const ARG_MAX_THREADS: usize = 256;
/// Rows for which there are counters, four words for each: see `Agreement` in the kernel.
const ARG_MAX_SHARED_ROWS: usize = 65536 / 4;

/// Blocks for a row. A few rows are spread over the whole device.
fn arg_max_blocks(rows: usize, vectors: usize, limits: &CudaLimits) -> usize {
    if rows > ARG_MAX_SHARED_ROWS {
        return 1;
    }
    let room = 2 * limits.multiprocessors as usize / rows.max(1);
    vectors.div_ceil(ARG_MAX_THREADS).min(room).max(1)
}

pub(crate) fn arg_max(
    op: ArgMax,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let Reduction { x, result, rows, width, vectors } = Reduction::of(launch, op.axis)?;
    let blocks = arg_max_blocks(rows.count, vectors, limits);
    let threads = vectors.next_multiple_of(32).clamp(32, ARG_MAX_THREADS) as u32;
    let counters = match blocks {
        1 => Arg::Null,
        _ => Arg::Pointer { region: Region::Counters, byte_offset: 0 },
    };
    let size = CudaError::Size { name: "rows", value: rows.count };
    let grid = rows.count.checked_mul(blocks).and_then(|count| i32::try_from(count).ok());
    let grid = grid.ok_or(size)?.unsigned_abs();
    let launch = KernelLaunch::new(arg_max_spec(x.dtype, width), grid, threads)
        .arg("x", Arg::tensor(x))
        .arg("result", Arg::tensor(result))
        .arg("counters", counters)
        .arg("vectors", Arg::size("the reduced axis", vectors)?)
        .arg("blocks_of_row", Arg::size("blocks", blocks)?)
        .arg("step", Arg::long("a stride", rows.steps[0])?)
        .arg("shape", rows.axes.shape_arg()?)
        .arg("x_strides", rows.axes.strides_arg(0)?);
    Ok(Works::of(launch))
}

#[cfg(test)]
mod tests;
