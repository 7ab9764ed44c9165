//! Products of few rows with a weight [n, k], whose time is that of reading the weight once.

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::matmul::product::{Problem, flag};
use crate::cuda::launch::{Arg, KernelLaunch, Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, not_generated, present};

/// 16-bit rows and weights, on tensor cores.
pub(super) const TENSOR_CORES: Template = Template {
    name: "matmul/few_rows_mma",
    source: include_str!("../../../../../../cuda/matmul/few_rows_mma.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &["weight"] },
    fast_math: false,
    generated: not_generated,
    rows: || {
        let mut specs = Vec::new();
        for dtype in [DType::F16, DType::Bf16] {
            for rows in [8, 16] {
                specs.extend([1, 2, 4].map(|tiles| tensor_core_spec(dtype, rows, tiles)));
            }
        }
        specs
    },
    opcodes: |_| present(["HMMA.16816.F32", "LDGSTS.E.BYPASS.128", "LDS.128", "LDG.E.128"]),
};

/// Rows of f32, with weights of any type.
pub(super) const MULTIPLY_ADDS: Template = Template {
    name: "matmul/few_rows",
    source: include_str!("../../../../../../cuda/matmul/few_rows.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &["weight"] },
    fast_math: false,
    generated: not_generated,
    rows: || {
        let types = [DType::F32, DType::F16, DType::Bf16];
        let of_type = |weight| [1, 2, 4, 8].map(|rows| multiply_add_spec(weight, rows));
        types.into_iter().flat_map(of_type).collect()
    },
    opcodes: |_| present(["FFMA", "LDGSTS.E.BYPASS.128", "LDS.128", "LDG.E.128"]),
};

/// Bytes of a warp's ring of the weight in the multiply-add kernel.
const RING_BYTES: usize = 8 << 10;
/// Tiles, of a KiB each, in a warp's ring of the tensor core kernel.
const RING_TILES: usize = 8;
/// Warps of a block of that kernel that has a multiprocessor to itself. With half as many, a block leaves
/// room for one of the next kernel, whose ring can then fill while this one runs.
const LONE_WARPS: usize = 16;
/// Elements of k that a warp of the tensor core kernel reads at once.
const CHUNK: usize = 64;
/// Columns of a warp of the other kernel.
const WARP_COLUMNS: usize = 4;
/// Warps of its blocks.
const WARPS: usize = 8;

fn tensor_core_spec(dtype: DType, rows: usize, tiles: usize) -> KernelSpec {
    KernelSpec::new(TENSOR_CORES.name)
        .with_type("ELEMENT", element(dtype))
        .with_int("ROWS", rows as i32)
        .with_int("TILES", tiles as i32)
        .with_int("RING_TILES", RING_TILES as i32)
}

fn multiply_add_spec(weight: DType, rows: usize) -> KernelSpec {
    KernelSpec::new(MULTIPLY_ADDS.name)
        .with_type("WEIGHT", element(weight))
        .with_int("ROWS", rows as i32)
}

/// Most rows for which reading the weight anew for every [`group`] is faster than what else there
/// is.
fn most_rows(problem: &Problem<'_>, limits: &CudaLimits) -> usize {
    let has_library = limits.has_blas && problem.lhs.dtype == problem.rhs.dtype;
    match (problem.lhs.dtype, has_library) {
        // With more, the multiply-adds take longer than reading the weight.
        (DType::F32, true) => 4,
        (DType::F32, false) => 32,
        (_, true) => 16,
        // Tiles of so few rows are too few to keep a device busy.
        (_, false) => 64,
    }
}

/// Rows of one pass over the weight.
fn group(problem: &Problem<'_>) -> usize {
    if problem.lhs.dtype == DType::F32 { 8 } else { 16 }
}

/// What computes a product if it has few rows and a weight whose rows are dense and aligned.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let fits = problem.rows <= most_rows(problem, limits)
        && problem.batch.is_empty()
        && problem.k > 0
        && problem.k_inner()
        && problem.is_aligned_to_vectors();
    if !fits {
        return Ok(None);
    }
    let group = group(problem);
    let mut steps = SmallVec::new();
    for first in (0..problem.rows).step_by(group) {
        let rows = group.min(problem.rows - first);
        let launch = match problem.lhs.dtype {
            DType::F32 => multiply_adds(problem, rows, limits),
            _ => tensor_cores(problem, rows, limits),
        };
        let from_row = |region, byte_offset, bytes: u64, length: usize| {
            let skipped = first as u64 * length as u64 * bytes;
            Arg::Pointer { region, byte_offset: byte_offset + skipped }
        };
        let (lhs, result) = (problem.lhs, problem.result);
        let stride = Arg::long("the stride of a weight's rows", problem.outer_stride())?;
        let mut launch = launch
            .arg("lhs", from_row(lhs.region, lhs.byte_offset, lhs.dtype.bytes(), problem.k))
            .arg("weight", Arg::tensor(problem.rhs))
            .arg("out", {
                let bytes = result.dtype.bytes();
                from_row(result.region, result.byte_offset, bytes, problem.columns)
            })
            .arg("rows", Arg::size("rows", rows)?)
            .arg("columns", Arg::size("columns", problem.columns)?)
            .arg("k", Arg::size("k", problem.k)?)
            .arg("weight_stride", stride);
        launch = match problem.lhs.dtype {
            DType::F32 => {
                let parts = parts(problem, limits);
                launch.arg("parts", Arg::Int(parts as i32)).arg("is_gated", flag(problem.is_gated))
            }
            _ => launch
                .arg("is_gated", flag(problem.is_gated))
                .arg("stores_f32", flag(problem.stores_f32())),
        };
        steps.push(Work::Kernel(Box::new(launch)));
    }
    Ok(Some(Works { steps, scratch_bytes: 0 }))
}

/// Tiles of eight rows of the weight in a strip of the tensor core kernel. Wide strips read the lhs
/// less often; narrow ones make enough strips for all multiprocessors of a small weight.
fn tiles(problem: &Problem<'_>, multiprocessors: usize) -> usize {
    let strips = |tiles: usize| problem.rhs_columns().div_ceil(tiles * 8);
    // A tenth of the multiprocessors may be idle, or half of them rather than making strips of one
    // tile: a multiprocessor reads faster than its share of memory.
    if strips(4) * 10 >= multiprocessors * 9 {
        4
    } else if problem.is_gated || strips(2) * 20 >= multiprocessors * 9 {
        2
    } else {
        1
    }
}

/// The tensor core kernel without arguments.
fn tensor_cores(problem: &Problem<'_>, rows: usize, limits: &CudaLimits) -> KernelLaunch {
    let multiprocessors = limits.multiprocessors.max(1) as usize;
    let tiles = tiles(problem, multiprocessors);
    let spec_rows = if rows <= 8 { 8 } else { 16 };
    let strips = problem.rhs_columns().div_ceil(tiles * 8);
    // Two sets of sums behind the ring.
    let warp_bytes = (RING_TILES << 10) + 2 * tiles * spec_rows * 8 * 4;
    let shared_bytes = limits.arch.shared_bytes as usize;
    let block_bytes = |warps: usize| warps * warp_bytes;
    // Warps meet at the end of a strip: each should have read a few chunks by then, unless there is
    // one strip only, all of which is then on its way at once.
    let is_long = problem.k >= LONE_WARPS * 4 * CHUNK || strips <= multiprocessors;
    let (warps, blocks) = match is_long && block_bytes(LONE_WARPS) <= shared_bytes {
        true => (LONE_WARPS, 1),
        // A KiB of each block's memory is the system's.
        false => (8, if 2 * (block_bytes(8) + 1024) <= shared_bytes + 1024 { 2 } else { 1 }),
    };
    let spec = tensor_core_spec(problem.lhs.dtype, spec_rows, tiles);
    let blocks = strips.min(multiprocessors * blocks);
    let mut launch = KernelLaunch::new(spec, blocks as u32, 32 * warps as u32);
    launch.shared_bytes = block_bytes(warps) as u32;
    launch
}

/// Thread blocks of the other kernel if so many warps share k.
fn blocks(problem: &Problem<'_>, parts: usize) -> usize {
    let warp_columns = WARP_COLUMNS / (1 + usize::from(problem.is_gated));
    problem.columns.div_ceil(warp_columns).div_ceil(WARPS / parts)
}

/// Warps that share k: as few as make a block and a half for every multiprocessor.
fn parts(problem: &Problem<'_>, limits: &CudaLimits) -> usize {
    let enough = limits.multiprocessors as usize * 3 / 2;
    [2, 4].into_iter().find(|parts| blocks(problem, *parts) >= enough).unwrap_or(WARPS)
}

/// The other kernel without arguments.
fn multiply_adds(problem: &Problem<'_>, rows: usize, limits: &CudaLimits) -> KernelLaunch {
    let spec = multiply_add_spec(problem.rhs.dtype, rows.next_power_of_two());
    let blocks = blocks(problem, parts(problem, limits));
    let mut launch = KernelLaunch::new(spec, blocks as u32, 32 * WARPS as u32);
    launch.shared_bytes = (WARPS * RING_BYTES) as u32;
    launch
}
