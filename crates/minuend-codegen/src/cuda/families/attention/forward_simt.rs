//! Attention of any shape and type, by fused multiply-adds.

use minuend_ir::DType;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::problem::stride_arg;
use crate::cuda::families::element;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};

pub(super) const TEMPLATE: Template = Template {
    name: "attention/forward_simt",
    source: include_str!("../../../../../../cuda/attention/forward_simt.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes: no_opcodes,
};

const THREADS: u32 = 128;
/// Rows, keys and columns of a tile in shared memory.
const TILE: usize = 64;
const TILE_BYTES: u32 = (TILE * TILE * 4) as u32;
/// Tiles of q that stay in shared memory: with keys and weights they take 96 KiB, which every
/// architecture has.
const MOST_KEPT: usize = 4;
/// Tiles of value columns that a block accumulates at most.
const MOST_COLUMN_TILES: usize = 2;

pub(super) fn works(problem: &Problem<'_>, _: &CudaLimits) -> Result<Works, CudaError> {
    let column_tiles = problem.value_dim.div_ceil(TILE).clamp(1, MOST_COLUMN_TILES);
    let slices = problem.value_dim.div_ceil(column_tiles * TILE);
    let head_tiles = problem.head_dim.div_ceil(TILE).max(1);
    let kept_q = if head_tiles <= MOST_KEPT { head_tiles } else { 1 };
    let width = 4;
    let width = if problem.moves_by(width * problem.dtype.bytes() as usize) { width } else { 1 };
    let spec = spec(problem.dtype, problem.streams(), column_tiles, width);
    let blocks = blocks(problem, TILE / problem.streams(), problem.heads, slices)?;
    let mut launch = KernelLaunch::new(spec, blocks, THREADS);
    launch.shared_bytes = TILE_BYTES * (kept_q as u32 + 2);
    let launch = arguments(launch, problem)?.arg("kept_q", Arg::size("kept_q", kept_q)?);
    Ok(Works::of(launch))
}

fn spec(dtype: DType, streams: usize, column_tiles: usize, width: usize) -> KernelSpec {
    KernelSpec::new(TEMPLATE.name)
        .with_type("ELEMENT", element(dtype))
        .with_int("STREAMS", streams as i32)
        .with_int("COLUMN_TILES", column_tiles as i32)
        .with_int("WIDTH", width as i32)
}

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        for streams in [1, 2] {
            for column_tiles in 1..=MOST_COLUMN_TILES {
                for width in [1, 4] {
                    rows.push(spec(dtype, streams, column_tiles, width));
                }
            }
        }
    }
    rows
}

/// Blocks of a grid over tiles of so many queries, batches, heads and slices of values.
pub(super) fn blocks(
    problem: &Problem<'_>,
    tile_queries: usize,
    heads: usize,
    slices: usize,
) -> Result<u32, CudaError> {
    let axes = [problem.queries.div_ceil(tile_queries), problem.batch, heads, slices];
    let value = axes.into_iter().fold(1usize, usize::saturating_mul);
    let name = "the number of attention blocks";
    let blocks = u32::try_from(value).ok().filter(|blocks| i32::try_from(*blocks).is_ok());
    blocks.ok_or(CudaError::Size { name, value })
}

/// Adds the arguments that kernels over whole rows of scores have in common.
pub(super) fn arguments(
    launch: KernelLaunch,
    problem: &Problem<'_>,
) -> Result<KernelLaunch, CudaError> {
    // Kernels add a tile's length to positions.
    let positions = problem.queries.saturating_add(problem.keys);
    if positions > (i32::MAX - 4096) as usize {
        return Err(CudaError::Size { name: "queries and keys together", value: positions });
    }
    let lambda = problem.lambda.map_or(Arg::Null, Arg::tensor);
    let lambda_strides = problem.lambda.map_or(Ok(Arg::Strides([0; 6])), stride_arg)?;
    let launch = launch
        .arg("q", Arg::tensor(problem.q))
        .arg("k", Arg::tensor(problem.k))
        .arg("v", Arg::tensor(problem.v))
        .arg("lambda", lambda)
        .arg("out", Arg::tensor(problem.out))
        .arg("lse", Arg::Null)
        .arg("q_strides", stride_arg(problem.q)?)
        .arg("k_strides", stride_arg(problem.k)?)
        .arg("v_strides", stride_arg(problem.v)?)
        .arg("lambda_strides", lambda_strides)
        .arg("out_strides", stride_arg(problem.out)?)
        .arg("batch", Arg::size("batch", problem.batch)?)
        .arg("heads", Arg::size("heads", problem.heads)?)
        .arg("kv_heads", Arg::size("kv_heads", problem.kv_heads)?)
        .arg("queries", Arg::size("queries", problem.queries)?)
        .arg("keys", Arg::size("keys", problem.keys)?)
        .arg("head_dim", Arg::size("head_dim", problem.head_dim)?)
        .arg("value_dim", Arg::size("value_dim", problem.value_dim)?)
        .arg("reach", Arg::size("reach", problem.reach())?)
        .arg("window", Arg::Int(problem.window()))
        .arg("scale_log2", Arg::Float(problem.scale * std::f32::consts::LOG2_E));
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::ARCHES;
    use crate::cuda::families::attention::tests::{PREFILL, Sizes, checked};
    use crate::cuda::template::Define;

    const F32: Sizes = Sizes { dtype: DType::F32, ..PREFILL };

    fn launch(sizes: Sizes) -> KernelLaunch {
        let limits = CudaLimits::typical(&ARCHES[0]);
        let works = sizes.with(|problem| works(problem, &limits).unwrap());
        checked(works).pop().unwrap()
    }

    #[test]
    fn blocks_cover_queries_heads_and_values() {
        let found = launch(F32);
        assert_eq!(found.grid, [4096 / 32 * 2 * 16, 1, 1]);
        assert_eq!(found.shared_bytes, 4 * TILE_BYTES);
        // Values of 600 columns are 5 slices; q of 320 columns is loaded over and over.
        let wide = launch(Sizes { dim: 320, value_dim: 600, paired: false, ..F32 });
        assert_eq!(wide.grid, [4096 / 64 * 2 * 16 * 5, 1, 1]);
        assert_eq!(wide.shared_bytes, 3 * TILE_BYTES);
    }

    #[test]
    fn rows_cover_every_choice() {
        let rows = rows();
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            for (paired, dim) in [(true, 7), (false, 64), (true, 100), (false, 1000)] {
                let spec = launch(Sizes { dtype, paired, dim, value_dim: dim, ..PREFILL }).spec;
                assert!(rows.contains(&spec), "{}", spec.label());
            }
        }
    }

    #[test]
    fn vectors_are_loaded_where_they_are_aligned() {
        let width = |sizes| launch(sizes).spec.define("WIDTH");
        assert_eq!(width(F32), Some(Define::Int(4)));
        assert_eq!(width(Sizes { key_offset: 4, ..F32 }), Some(Define::Int(1)));
        assert_eq!(width(Sizes { key_offset: 8, ..PREFILL }), Some(Define::Int(4)));
        assert_eq!(width(Sizes { dim: 66, value_dim: 66, ..F32 }), Some(Define::Int(1)));
    }
}
