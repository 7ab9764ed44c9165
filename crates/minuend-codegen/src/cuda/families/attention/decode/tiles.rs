//! Matrix instructions on tiles of keys and values of 16 bits, all query rows of a K/V head at once.

use minuend_ir::DType;

use crate::attention::{Problem, strides};
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::decode::split::Split;
use crate::cuda::families::attention::decode::{query_heads, tensor};
use crate::cuda::families::element;
use crate::cuda::launch::{Arg, KernelLaunch, Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, not_generated, present};
use crate::cuda::tensor_map::{Promotion, Swizzle, TensorMap};
use crate::place::TensorPlace;

/// Tiles come by the bulk copy engine.
pub(super) const BULK: Template = Template {
    name: "attention/decode_bulk",
    source: include_str!("../../../../../../../cuda/attention/decode_bulk.cu"),
    needs: Needs::Tma,
    overlap: Overlap::BehindWait { ahead: &[] },
    // Exponentials, logarithms and reciprocals of weights that are rounded to 16 bits.
    fast_math: true,
    generated: not_generated,
    rows: || rows(Kind::Bulk),
    opcodes: |_| present(["UTMALDG.5D", "LDSM.16.MT88.4", "HMMA.16816.F32"]),
};

/// Tiles come by asynchronous copies.
pub(super) const ASYNC: Template = Template {
    name: "attention/decode_async",
    source: include_str!("../../../../../../../cuda/attention/decode_async.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: true,
    generated: not_generated,
    rows: || rows(Kind::Async),
    opcodes: |_| present(["LDGSTS", "LDSM.16.MT88.4", "HMMA.16816.F32"]),
};

/// As [`BULK`], with products by warpgroups.
pub(super) const WGMMA: Template = Template {
    name: "attention/decode_wgmma",
    source: include_str!("../../../../../../../cuda/attention/decode_wgmma.cu"),
    needs: Needs::Wgmma,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: true,
    generated: not_generated,
    rows: || rows(Kind::Warpgroup),
    opcodes: |_| present(["UTMALDG.5D", "HGMMA.64x64x16.F32"]),
};

/// Columns of a matrix instruction, to which rows are rounded up as well.
const STEP: usize = 16;
const MOST_DIM: usize = 256;
/// Warps of a block at most.
const MOST_WARPS: usize = 8;
const MOST_STAGES: usize = 6;
/// Accumulator and query columns of a warp beyond which it takes one tile of rows.
const MOST_WARP_COLUMNS: usize = 512;
/// Query rows from which warpgroups are better, which always take 64.
const LEAST_WARPGROUP_ROWS: usize = 17;
/// Keys up to which few blocks in large clusters are as fast as many.
const MOST_CLUSTER_KEYS: usize = 12288;
/// Query rows from which two blocks share the merge.
const LEAST_PAIR_ROWS: usize = 9;
/// Columns of keys or values up to which three warpgroups have room for their sums and tiles.
const MOST_WARPGROUP_DIM: usize = 128;

/// The sizes that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    dtype: DType,
    head_dim: usize,
    value_dim: usize,
    streams: usize,
    /// Query heads of a K/V head.
    group: usize,
    queries: usize,
}

impl Shape {
    fn rows(self) -> usize {
        self.group * self.queries
    }
}

/// A kernel file, by how tiles come and who multiplies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Async,
    Bulk,
    Warpgroup,
}

impl Kind {
    fn template(self) -> &'static Template {
        match self {
            Kind::Async => &ASYNC,
            Kind::Bulk => &BULK,
            Kind::Warpgroup => &WGMMA,
        }
    }

    /// Keys of a tile.
    fn tile_keys(self) -> usize {
        match self {
            Kind::Async | Kind::Bulk => 16,
            Kind::Warpgroup => 64,
        }
    }

    fn of(shape: Shape, is_mapped: bool, limits: &CudaLimits) -> Kind {
        let is_warpgroup_dim = |dim: usize| dim <= MOST_WARPGROUP_DIM && dim.is_multiple_of(64);
        let is_warpgroup = limits.use_wgmma
            && limits.arch.has_wgmma
            && shape.rows() >= LEAST_WARPGROUP_ROWS
            && is_warpgroup_dim(shape.head_dim)
            && is_warpgroup_dim(shape.value_dim);
        if !is_mapped {
            Kind::Async
        } else if is_warpgroup {
            Kind::Warpgroup
        } else {
            Kind::Bulk
        }
    }
}

/// How a block divides its work: see `DecodeShape` in `minuend/attention/decode_shape.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Division {
    kind: Kind,
    cluster: usize,
    rings: usize,
    row_warps: usize,
    row_tiles: usize,
    stages: usize,
    shared_bytes: usize,
}

impl Division {
    /// The most rings and stages that fit; `None` if there is no room for two stages.
    fn of(kind: Kind, shape: Shape, cluster: usize, available: usize) -> Option<Division> {
        let tiles = shape.rows().div_ceil(STEP);
        let two_fit = 2 * (shape.head_dim + shape.value_dim) <= MOST_WARP_COLUMNS;
        let (row_warps, row_tiles) = match tiles {
            _ if kind == Kind::Warpgroup => (4, 1),
            0..=1 => (1, 1),
            2 if two_fit => (1, 2),
            2 => (2, 1),
            _ if two_fit => (2, 2),
            _ => (4, 1),
        };
        let (most_rings, most_stages) = match kind {
            Kind::Warpgroup => (3, 4),
            Kind::Async | Kind::Bulk => (MOST_WARPS / row_warps, MOST_STAGES),
        };
        let rings = [8, 4, 3, 2, 1].into_iter().filter(|rings| *rings <= most_rings);
        let rings = rings.filter(|rings| *rings != 3 || kind == Kind::Warpgroup);
        let mut divisions = rings.flat_map(|rings| {
            (2..=most_stages).rev().map(move |stages| {
                let shared_bytes = 0;
                let division =
                    Division { kind, cluster, rings, row_warps, row_tiles, stages, shared_bytes };
                Division { shared_bytes: division.shared_bytes(shape), ..division }
            })
        });
        divisions.find(|division| division.shared_bytes <= available)
    }

    /// `DecodeShape::shared_bytes`.
    fn shared_bytes(self, shape: Shape) -> usize {
        let tile_bytes = |dim: usize| dim.div_ceil(64) * self.kind.tile_keys() * 128;
        let ring = self.stages * (tile_bytes(shape.head_dim) + tile_bytes(shape.value_dim));
        let result = shape.rows() * (shape.value_dim + 8) * 4;
        let padded_rows = self.row_warps * self.row_tiles * STEP;
        let columns = self.row_tiles * (shape.head_dim + shape.value_dim);
        let shares_queries = columns > 320 || self.row_warps == 4;
        let queries = if shares_queries { padded_rows * shape.head_dim * 2 } else { 0 };
        let barriers = self.stages * 2 * 8;
        let sums = padded_rows * 8;
        let logsumexps = if self.cluster > 1 { padded_rows * 4 } else { 0 };
        let flag = 16;
        self.rings * (ring.max(result).next_multiple_of(1024) + barriers + sums)
            + queries
            + logsumexps
            + flag
    }

    fn threads(self) -> u32 {
        (self.rings * self.row_warps * 32) as u32
    }
}

pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let shape = Shape {
        dtype: problem.dtype,
        head_dim: problem.head_dim,
        value_dim: problem.value_dim,
        streams: problem.streams(),
        group: query_heads(problem),
        queries: problem.queries,
    };
    let is_dim = |dim: usize| (STEP..=MOST_DIM).contains(&dim) && dim.is_multiple_of(STEP);
    // Weights are powers of two of scores that are scaled as they are taken, which must not turn them.
    let covers = matches!(shape.dtype, DType::F16 | DType::Bf16)
        && is_dim(shape.head_dim)
        && is_dim(shape.value_dim)
        && problem.moves_by(16)
        && problem.scale > 0.0;
    if !covers {
        return Ok(None);
    }
    let is_mapped =
        limits.arch.has_tma && map(problem.k, 1).is_some() && map(problem.v, 1).is_some();
    let kind = Kind::of(shape, is_mapped, limits);
    let blocks = problem.batch * problem.kv_heads;
    let places = limits.multiprocessors as usize;
    let seen = (problem.window() as usize).saturating_add(problem.queries).min(problem.keys);
    let (cluster, places) = match kind {
        Kind::Async => (1, places),
        Kind::Bulk | Kind::Warpgroup => cluster(shape, blocks, places, seen),
    };
    let available = limits.arch.shared_bytes as usize;
    let Some(division) = Division::of(kind, shape, cluster, available) else {
        return Ok(None);
    };
    let tile_keys = kind.tile_keys();
    let split = Split::of(problem, blocks, places, tile_keys, cluster);
    let (scratch_bytes, logsumexps) = split.scratch(blocks, shape.rows(), shape.value_dim);

    let mut launch = KernelLaunch::new(spec(shape, division), 1, division.threads());
    launch.grid = [split.splits as u32, problem.kv_heads as u32, problem.batch as u32];
    launch.cluster = cluster as u32;
    launch.shared_bytes = division.shared_bytes as u32;
    launch = tensor(launch, Some(problem.q), ["q", "q_strides"])?;
    launch = match (kind, map(problem.k, tile_keys), map(problem.v, tile_keys)) {
        (Kind::Bulk | Kind::Warpgroup, Some(k), Some(v)) => launch
            .arg("k_map", Arg::TensorMap(Box::new(k)))
            .arg("v_map", Arg::TensorMap(Box::new(v))),
        _ => {
            launch = tensor(launch, Some(problem.k), ["k", "k_strides"])?;
            tensor(launch, Some(problem.v), ["v", "v_strides"])?
        }
    };
    launch = tensor(launch, problem.lambda, ["lambda", "lambda_strides"])?;
    launch = tensor(launch, Some(problem.out), ["out", "out_strides"])?;
    launch = split.shared_args(launch, logsumexps);
    launch = split.key_args(launch, problem)?;
    let scale_log2 = problem.scale * std::f32::consts::LOG2_E;
    launch = launch.arg("scale_log2", Arg::Float(scale_log2));
    let mut works = Works { scratch_bytes, ..Works::default() };
    works.steps.push(Work::Kernel(Box::new(launch)));
    Ok(Some(works))
}

/// Blocks of a cluster, and how many blocks run at once then.
///
/// Clusters of eight merge without global memory, but a device has places for fewer of them than for
/// their blocks alone: they serve few blocks of few keys. Two blocks always find a place together. They
/// halve what is left to merge, which counts for many rows, and leave nothing if they are all.
fn cluster(shape: Shape, blocks: usize, places: usize, keys: usize) -> (usize, usize) {
    if 8 * blocks <= places / 2 && keys <= MOST_CLUSTER_KEYS {
        return (8, places / 2);
    }
    let at_once = places / blocks.max(1);
    let is_whole = at_once.is_multiple_of(2) || at_once > 8;
    let pays = at_once == 2 || (shape.rows() >= LEAST_PAIR_ROWS && at_once > 2 && is_whole);
    (if pays { 2 } else { 1 }, places)
}

/// What the copy engine is told of keys or values, if it can read them: axes are 64 columns, keys, groups
/// of 64 columns, K/V heads and batches, so that one copy brings a tile in the order of products.
fn map(place: &TensorPlace<'_>, tile_keys: usize) -> Option<TensorMap> {
    let &[batch, heads, keys, dim] = place.shape else { return None };
    let [batch_stride, head_stride, key_stride] = strides(place);
    let bytes = place.dtype.bytes();
    // Where there is one, the stride does not matter but has to be valid. A tensor that repeats is not
    // one for the copy engine.
    let stride = |size: usize, stride: usize| match size {
        ..=1 => Some(dim as u64 * bytes),
        _ if stride == 0 => None,
        _ => Some(stride as u64 * bytes),
    };
    let groups = dim / 64;
    let map = TensorMap {
        region: place.region,
        byte_offset: place.byte_offset,
        dtype: place.dtype,
        sizes: [64, keys, groups, heads, batch].into_iter().map(|size| size as u64).collect(),
        strides: [
            stride(keys, key_stride)?,
            128,
            stride(heads, head_stride)?,
            stride(batch, batch_stride)?,
        ]
        .into_iter()
        .collect(),
        tile: [64, tile_keys as u32, groups as u32, 1, 1].into_iter().collect(),
        swizzle: Swizzle::Bytes128,
        promotion: Promotion::Bytes128,
    };
    (dim.is_multiple_of(64) && map.is_valid()).then_some(map)
}

fn spec(shape: Shape, division: Division) -> KernelSpec {
    let mut spec = KernelSpec::new(division.kind.template().name)
        .with_type("ELEMENT", element(shape.dtype))
        .with_int("HEAD_DIM", shape.head_dim as i32)
        .with_int("VALUE_DIM", shape.value_dim as i32)
        .with_int("STREAMS", shape.streams as i32)
        .with_int("GROUP", shape.group as i32)
        .with_int("QUERIES", shape.queries as i32)
        .with_int("RINGS", division.rings as i32);
    if division.kind != Kind::Warpgroup {
        spec = spec
            .with_int("ROW_WARPS", division.row_warps as i32)
            .with_int("ROW_TILES", division.row_tiles as i32);
    }
    if division.kind != Kind::Async {
        spec = spec.with_int("CLUSTER", division.cluster as i32);
    }
    spec.with_int("STAGES", division.stages as i32)
        .with_int("SHARED_BYTES", division.shared_bytes as i32)
}

fn rows(kind: Kind) -> Vec<KernelSpec> {
    // Large and small shared memory.
    let shared: &[usize] = match kind {
        Kind::Warpgroup => &[227 << 10],
        Kind::Async | Kind::Bulk => &[227 << 10, 99 << 10],
    };
    let tiles = [
        (DType::Bf16, [128, 128], 2, 8, 1),
        (DType::Bf16, [64, 64], 2, 8, 1),
        (DType::F16, [128, 128], 1, 4, 1),
        (DType::F16, [64, 64], 2, 8, 4),
        (DType::Bf16, [128, 128], 2, 8, 3),
        (DType::Bf16, [128, 128], 2, 8, 8),
        (DType::Bf16, [256, 256], 2, 4, 1),
        (DType::Bf16, [256, 256], 2, 4, 8),
        (DType::Bf16, [192, 128], 1, 16, 2),
    ];
    let warpgroups = [
        (DType::Bf16, [128, 128], 2, 8, 4),
        (DType::Bf16, [128, 128], 2, 8, 8),
        (DType::Bf16, [64, 64], 2, 8, 8),
        (DType::F16, [128, 128], 1, 4, 8),
        (DType::F16, [64, 64], 1, 4, 5),
        (DType::Bf16, [64, 128], 2, 16, 3),
    ];
    let narrow = [(DType::Bf16, [80, 48], 2, 4, 2), (DType::F16, [16, 16], 1, 1, 1)];
    let shapes = match kind {
        Kind::Async => tiles.into_iter().chain(narrow).collect::<Vec<_>>(),
        Kind::Bulk => tiles.into(),
        Kind::Warpgroup => warpgroups.into(),
    };
    let mut rows = Vec::new();
    for (index, (dtype, [head_dim, value_dim], streams, group, queries)) in
        shapes.into_iter().enumerate()
    {
        let shape = Shape { dtype, head_dim, value_dim, streams, group, queries };
        let clusters: &[usize] = match (kind, index) {
            (Kind::Async, _) => &[1],
            (_, 0) => &[1, 2, 8],
            _ => &[8],
        };
        for available in shared {
            for cluster in clusters {
                let division = Division::of(kind, shape, *cluster, *available);
                let row = division.map(|division| spec(shape, division));
                rows.extend(row.filter(|row| !rows.contains(row)));
            }
        }
    }
    rows
}
