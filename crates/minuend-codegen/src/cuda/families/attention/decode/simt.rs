//! Fused multiply-adds in f32, for f32 activations and for whatever matrix instructions do not take.

use minuend_ir::DType;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::decode::split::Split;
use crate::cuda::families::attention::decode::{query_heads, tensor};
use crate::cuda::families::element;
use crate::cuda::launch::{Arg, KernelLaunch, Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};

pub(super) const TEMPLATE: Template = Template {
    name: "attention/decode_simt",
    source: include_str!("../../../../../../../cuda/attention/decode_simt.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes: no_opcodes,
};

/// Keys of a warp's step, to which parts of the keys are rounded.
const STEP_KEYS: usize = 4;
const MOST_DIM: usize = 256;
/// Query rows of a block at most, whose queries and sums are in registers.
const MOST_ROWS: usize = 8;
/// Columns of queries and sums together beyond which a block has half as many rows.
const MOST_COLUMNS: usize = 256;

/// The sizes that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    dtype: DType,
    head_dim: usize,
    value_dim: usize,
    streams: usize,
    /// Query rows of a block.
    rows: usize,
    /// Elements that a lane reads at once.
    width: usize,
}

impl Shape {
    /// Warps of a block: as many as have registers for their rows and the keys that they read ahead.
    /// Reading element by element takes more of them, for addresses.
    fn warps(self) -> usize {
        match (self.head_dim.max(self.value_dim), self.width) {
            (..=64, 2..) => 16,
            (65..=128, 2..) | (..=64, _) => 12,
            _ => 8,
        }
    }
}

pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let (head_dim, value_dim) = (problem.head_dim, problem.value_dim);
    if !(1..=MOST_DIM).contains(&head_dim) || !(1..=MOST_DIM).contains(&value_dim) {
        return Ok(None);
    }
    let group = query_heads(problem);
    let all_rows = group * problem.queries;
    let most_rows = if head_dim + value_dim > MOST_COLUMNS { MOST_ROWS / 2 } else { MOST_ROWS };
    let rows = all_rows.next_power_of_two().clamp(problem.streams(), most_rows);
    let bytes = problem.dtype.bytes() as usize;
    let fits =
        |width: &usize| 32 * width <= head_dim.min(value_dim) && problem.moves_by(width * bytes);
    let width = [4, 2].into_iter().find(fits).unwrap_or(1);
    let (dtype, streams) = (problem.dtype, problem.streams());
    let shape = Shape { dtype, head_dim, value_dim, streams, rows, width };

    let row_blocks = all_rows.div_ceil(rows);
    let blocks_of_batch = problem.kv_heads * row_blocks;
    let blocks = problem.batch * blocks_of_batch;
    if blocks_of_batch > super::MOST_BLOCKS {
        return Ok(None);
    }
    let split = Split::of(problem, blocks, limits.multiprocessors as usize, STEP_KEYS, 1);
    let columns = value_dim.next_multiple_of(16);
    let (scratch_bytes, logsumexps) = split.scratch(blocks, rows, columns);

    let warps = shape.warps();
    let mut launch = KernelLaunch::new(spec(shape), 1, 32 * warps as u32);
    launch.grid = [split.splits as u32, blocks_of_batch as u32, problem.batch as u32];
    launch.shared_bytes = (warps * rows * (columns + 8) * 4) as u32;
    launch = tensor(launch, Some(problem.q), ["q", "q_strides"])?;
    launch = tensor(launch, Some(problem.k), ["k", "k_strides"])?;
    launch = tensor(launch, Some(problem.v), ["v", "v_strides"])?;
    launch = tensor(launch, problem.lambda, ["lambda", "lambda_strides"])?;
    launch = tensor(launch, Some(problem.out), ["out", "out_strides"])?;
    launch = split
        .shared_args(launch, logsumexps)
        .arg("group", Arg::size("group", group)?)
        .arg("queries", Arg::size("queries", problem.queries)?)
        .arg("row_blocks", Arg::size("row_blocks", row_blocks)?);
    launch = split.key_args(launch, problem)?.arg("scale", Arg::Float(problem.scale));
    let mut works = Works { scratch_bytes, ..Works::default() };
    works.steps.push(Work::Kernel(Box::new(launch)));
    Ok(Some(works))
}

fn spec(shape: Shape) -> KernelSpec {
    KernelSpec::new(TEMPLATE.name)
        .with_type("ELEMENT", element(shape.dtype))
        .with_int("HEAD_DIM", shape.head_dim as i32)
        .with_int("VALUE_DIM", shape.value_dim as i32)
        .with_int("STREAMS", shape.streams as i32)
        .with_int("ROWS", shape.rows as i32)
        .with_int("WIDTH", shape.width as i32)
        .with_int("WARPS", shape.warps() as i32)
}

fn rows() -> Vec<KernelSpec> {
    let shapes = [
        (DType::F32, [128, 128], 2, 8, 4),
        (DType::F32, [64, 64], 2, 8, 2),
        (DType::F32, [64, 64], 1, 1, 2),
        (DType::F32, [256, 256], 2, 4, 4),
        (DType::F32, [250, 256], 2, 4, 2),
        (DType::F32, [7, 5], 2, 2, 1),
        (DType::F16, [128, 128], 1, 4, 4),
        (DType::Bf16, [80, 33], 2, 8, 1),
        (DType::F16, [128, 128], 2, 8, 1),
    ];
    let shapes = shapes.map(|(dtype, [head_dim, value_dim], streams, rows, width)| {
        spec(Shape { dtype, head_dim, value_dim, streams, rows, width })
    });
    shapes.into()
}
