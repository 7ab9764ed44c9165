//! What the kernels of many queries have in common whose tiles the copy engine moves.

use std::f64::consts::LOG2_E;

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::attention::{Problem, strides};
use crate::cuda::error::CudaError;
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::cuda::tensor_map::{Promotion, Swizzle, TensorMap};
use crate::place::TensorPlace;

/// Elements of a row in one piece of shared memory: 128 bytes.
const CHUNK: usize = 64;
/// Bytes of keys and values that the second-level cache keeps while all queries of their heads pass.
const SECTION_BYTES: usize = 20 << 20;

/// What rows of a tile are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Softmaxes of an output head.
    pub(super) streams: usize,
    /// Query heads of a tile.
    pub(super) tile_heads: usize,
}

impl Layout {
    pub(super) const DIFFERENCE: Layout = Layout { streams: 2, tile_heads: 2 };
    pub(super) const PAIR: Layout = Layout { streams: 1, tile_heads: 2 };
    pub(super) const SINGLE: Layout = Layout { streams: 1, tile_heads: 1 };

    /// Both streams of an output head, or two heads that read the same keys, or one.
    pub(super) fn of(problem: &Problem<'_>) -> Layout {
        if problem.streams() == 2 {
            Layout::DIFFERENCE
        } else if problem.group_heads().is_multiple_of(2) {
            Layout::PAIR
        } else {
            Layout::SINGLE
        }
    }

    /// Units of a K/V head: what a tile has of its query heads.
    pub(super) fn group_units(self, problem: &Problem<'_>) -> usize {
        problem.heads * problem.streams() / self.tile_heads / problem.kv_heads
    }
}

/// True for types, sizes and scales that the kernels take. They look for the largest score before it is
/// scaled.
pub(super) fn covers(problem: &Problem<'_>) -> bool {
    matches!(problem.dtype, DType::F16 | DType::Bf16)
        && problem.value_dim == problem.head_dim
        && problem.keys > 0
        && problem.scale.is_normal()
        && problem.scale > 0.0
}

/// Tiles of queries in the order of `TileOrder` in `attention/forward_tiles.cuh`.
pub(super) struct Tiles {
    /// All of them, over the blocks of a cluster.
    pub(super) count: usize,
    row_tiles: usize,
    units: usize,
    all_units: usize,
    section: usize,
    group_units: usize,
    /// Position of the first query among the keys.
    reach: usize,
}

impl Tiles {
    /// Tiles of so many tokens, in clusters of blocks whose units follow each other; `takers` are at work at a
    /// time. `None` if numbers are beyond what kernels count to.
    pub(super) fn of(
        problem: &Problem<'_>,
        layout: Layout,
        tokens: usize,
        cluster: usize,
        takers: usize,
    ) -> Option<Tiles> {
        let row_tiles = problem.queries.div_ceil(tokens);
        let group_units = layout.group_units(problem);
        let units = group_units * problem.kv_heads / cluster;
        let all_units = units.saturating_mul(problem.batch);
        let count = row_tiles.saturating_mul(all_units);
        let reach = problem.reach();
        // Kernels count tiles a round ahead, and positions a tile ahead.
        let positions = reach.saturating_add(problem.queries).saturating_add(tokens);
        i32::try_from(count.saturating_add(takers)).ok()?;
        i32::try_from(positions).ok()?;
        let section = section(problem, group_units / cluster, all_units);
        Some(Tiles { count, row_tiles, units, all_units, section, group_units, reach })
    }
}

/// Adds the arguments of a kernel; those that share tiles by a counter take one.
pub(super) fn arguments(
    launch: KernelLaunch,
    problem: &Problem<'_>,
    maps: Maps,
    counter: Option<Arg>,
    tiles: Tiles,
) -> Result<KernelLaunch, CudaError> {
    let [lambda_batch, lambda_head, lambda_token] = problem.lambda.map_or([0; 3], strides);
    let scale = f64::from(problem.scale) * LOG2_E;
    let mut launch = launch
        .arg("q_map", Arg::TensorMap(Box::new(maps.q)))
        .arg("k_map", Arg::TensorMap(Box::new(maps.k)))
        .arg("v_map", Arg::TensorMap(Box::new(maps.v)))
        .arg("out_map", Arg::TensorMap(Box::new(maps.out)))
        .arg("lse", Arg::Null)
        .arg("lambda", problem.lambda.map_or(Arg::Null, Arg::tensor))
        .arg("lambda_batch", Arg::long("lambda_batch", lambda_batch)?)
        .arg("lambda_head", Arg::long("lambda_head", lambda_head)?)
        .arg("lambda_token", Arg::long("lambda_token", lambda_token)?);
    if let Some(counter) = counter {
        launch = launch.arg("counter", counter);
    }
    Ok(launch
        .arg("score_scale", Arg::Float(scale as f32))
        .arg("queries", Arg::size("queries", problem.queries)?)
        .arg("keys", Arg::size("keys", problem.keys)?)
        .arg("reach", Arg::size("reach", tiles.reach)?)
        .arg("window", Arg::Int(problem.window()))
        .arg("query_heads", Arg::size("query_heads", problem.heads * problem.streams())?)
        .arg("group_units", Arg::size("group_units", tiles.group_units)?)
        .arg("row_tiles", Arg::size("row_tiles", tiles.row_tiles)?)
        .arg("units", Arg::size("units", tiles.units)?)
        .arg("all_units", Arg::size("all_units", tiles.all_units)?)
        .arg("section", Arg::size("section", tiles.section)?))
}

/// Units whose queries are taken before those of others; `group_units` of them read one K/V head.
fn section(problem: &Problem<'_>, group_units: usize, all_units: usize) -> usize {
    let element_bytes = problem.dtype.bytes() as usize;
    let head_bytes = problem.keys.saturating_mul(2 * problem.head_dim * element_bytes);
    let heads = (SECTION_BYTES / head_bytes.max(1)).max(1);
    heads.saturating_mul(group_units).min(all_units)
}

/// How the copy engine sees the tensors.
pub(super) struct Maps {
    q: TensorMap,
    k: TensorMap,
    v: TensorMap,
    out: TensorMap,
}

impl Maps {
    /// Boxes of q and of the result are some tokens of some heads, those of k and v so many keys of one. `None`
    /// if the copy engine cannot move one of the tensors.
    pub(super) fn of(
        problem: &Problem<'_>,
        q: [usize; 2],
        keys: usize,
        out: [usize; 2],
    ) -> Option<Maps> {
        Some(Maps {
            q: map(problem.q, q)?,
            k: map(problem.k, [keys, 1])?,
            v: map(problem.v, [keys, 1])?,
            out: map(problem.out, out)?,
        })
    }
}

/// The map of a tensor `[batch, heads, tokens, width]` with boxes of some tokens of some heads, 64 columns
/// wide; `None` if the copy engine cannot move it.
fn map(place: &TensorPlace<'_>, [tokens, heads]: [usize; 2]) -> Option<TensorMap> {
    let element_bytes = place.dtype.bytes();
    let mut bytes: SmallVec<[u64; 4]> = SmallVec::new();
    for axis in [2, 1, 0] {
        // An axis of one has no distances; any that is valid will do.
        let is_one = place.shape[axis] <= 1;
        let stride = place.strides[axis] as u64;
        bytes.push(if is_one { 16 } else { stride.checked_mul(element_bytes)? });
    }
    let sizes = [3, 2, 1, 0].map(|axis| place.shape[axis] as u64);
    let map = TensorMap {
        region: place.region,
        byte_offset: place.byte_offset,
        dtype: place.dtype,
        sizes: SmallVec::from_slice(&sizes),
        strides: bytes,
        tile: SmallVec::from_slice(&[CHUNK as u32, tokens as u32, heads as u32, 1]),
        swizzle: Swizzle::Bytes128,
        promotion: Promotion::Bytes256,
    };
    let moves = map.is_valid() && map.strides.iter().all(|bytes| *bytes > 0);
    moves.then_some(map)
}
