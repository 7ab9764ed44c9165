//! Attention over many queries by the matrix products of warpgroups.

use std::f64::consts::LOG2_E;

use minuend_ir::DType;
use minuend_ir::ops::Mask;
use smallvec::SmallVec;

use crate::attention::{Problem, strides};
use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Template, not_generated};
use crate::cuda::tensor_map::{Promotion, Swizzle, TensorMap};
use crate::place::{Region, TensorPlace};

pub(super) const TEMPLATE: Template = Template {
    name: "attention/forward_wgmma",
    source: include_str!("../../../../../../cuda/attention/forward_wgmma.cu"),
    needs: Needs::Wgmma,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes,
};

/// Rows of scores of a warpgroup.
const WARPGROUP_ROWS: usize = 64;
/// Rows of a box of queries: what a warp has of its warpgroup's.
const GROUP_ROWS: usize = 16;
/// Elements of a row in one piece of shared memory: 128 bytes.
const CHUNK: usize = 64;
/// Threads of a warpgroup.
const WARPGROUP_THREADS: u32 = 128;
/// Bytes of keys and values that the second-level cache keeps while all queries of their heads pass.
const SECTION_BYTES: usize = 20 << 20;
/// Tiles that are handed out and not taken yet, each with a barrier.
const SLOTS: u32 = 4;

/// What rows of a tile are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Softmaxes of an output head.
    streams: usize,
    /// Query heads of a tile.
    tile_heads: usize,
}

impl Layout {
    const DIFFERENCE: Layout = Layout { streams: 2, tile_heads: 2 };
    const PAIR: Layout = Layout { streams: 1, tile_heads: 2 };
    const SINGLE: Layout = Layout { streams: 1, tile_heads: 1 };

    /// Both streams of an output head, or two heads that read the same keys, or one.
    fn of(problem: &Problem<'_>) -> Layout {
        if problem.streams() == 2 {
            Layout::DIFFERENCE
        } else if problem.group_heads().is_multiple_of(2) {
            Layout::PAIR
        } else {
            Layout::SINGLE
        }
    }

    /// Tokens of a warpgroup's rows.
    fn warpgroup_tokens(self) -> usize {
        WARPGROUP_ROWS / self.tile_heads
    }
}

/// How a block divides its work and its shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuning {
    head_dim: usize,
    /// Keys of a tile.
    block_keys: usize,
    /// Warpgroups that compute.
    warpgroups: usize,
    /// Blocks that share what they copy.
    cluster: usize,
    /// Tiles in shared memory.
    q_stages: usize,
    k_stages: usize,
    v_stages: usize,
    /// Queries stay in registers, and make room for the next ones at once.
    q_in_registers: bool,
    /// A tile of keys whose second half nobody sees is processed by half.
    halves_diagonal: bool,
    /// Warpgroups take turns at starting products.
    takes_turns: bool,
}

impl Tuning {
    /// `None` for a width of heads that there are no tiles for.
    fn of(head_dim: usize, is_windowed: bool, shares_keys: bool) -> Option<Tuning> {
        let tuning = Tuning {
            head_dim,
            block_keys: 128,
            warpgroups: 2,
            cluster: if shares_keys { 2 } else { 1 },
            q_stages: 1,
            k_stages: 3,
            v_stages: 2,
            q_in_registers: true,
            halves_diagonal: false,
            takes_turns: false,
        };
        match head_dim {
            // Three warpgroups have 160 registers a thread.
            64 => Some(Tuning {
                block_keys: 96,
                warpgroups: 3,
                cluster: 1,
                v_stages: 3,
                takes_turns: true,
                ..tuning
            }),
            // A window ends inside tiles on both sides: less of a narrow one is hidden.
            128 if is_windowed => Some(Tuning { block_keys: 96, v_stages: 3, ..tuning }),
            128 => Some(Tuning { halves_diagonal: true, ..tuning }),
            // Registers and shared memory hold no more.
            256 => Some(Tuning {
                block_keys: 64,
                k_stages: 2,
                q_in_registers: false,
                takes_turns: true,
                ..tuning
            }),
            _ => None,
        }
    }

    /// Bytes of dynamic shared memory; what `attention/forward_memory.cuh` lays out.
    fn shared_bytes(self, layout: Layout) -> u32 {
        let row = 2 * self.head_dim;
        let queries = self.q_stages * self.warpgroups * WARPGROUP_ROWS * row;
        let keys = (self.k_stages + self.v_stages) * self.block_keys * row;
        // A wide result of two heads leaves in two halves.
        let out_row = if self.head_dim > 128 && layout.streams == 1 { row / 2 } else { row };
        let out = self.warpgroups * WARPGROUP_ROWS / layout.streams * out_row;
        let rings = self.k_stages + self.v_stages + self.q_stages * self.warpgroups;
        (queries + keys + out + 16 * rings) as u32 + SLOTS * (8 + 16)
    }

    fn threads(self) -> u32 {
        (self.warpgroups as u32 + 1) * WARPGROUP_THREADS
    }

    fn spec(self, layout: Layout, is_windowed: bool, dtype: DType) -> KernelSpec {
        KernelSpec::new(TEMPLATE.name)
            .with_type("ELEMENT", element(dtype))
            .with_int("HEAD_DIM", self.head_dim as i32)
            .with_int("STREAMS", layout.streams as i32)
            .with_int("TILE_HEADS", layout.tile_heads as i32)
            .with_bool("WINDOWED", is_windowed)
            .with_int("BLOCK_KEYS", self.block_keys as i32)
            .with_int("WARPGROUPS", self.warpgroups as i32)
            .with_int("CLUSTER", self.cluster as i32)
            .with_int("Q_STAGES", self.q_stages as i32)
            .with_int("K_STAGES", self.k_stages as i32)
            .with_int("V_STAGES", self.v_stages as i32)
            .with_bool("Q_IN_REGISTERS", self.q_in_registers)
            .with_bool("HALVES_DIAGONAL", self.halves_diagonal)
            .with_bool("TAKES_TURNS", self.takes_turns)
            .with_int("SHARED_BYTES", self.shared_bytes(layout) as i32)
    }
}

/// What runs the launch; `None` if the tensor cores of warpgroups or the copy engine cannot.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let is_windowed = matches!(problem.mask, Mask::SlidingWindow { .. });
    let layout = Layout::of(problem);
    let query_heads = problem.heads * problem.streams();
    let group_units = query_heads / layout.tile_heads / problem.kv_heads;
    let shares_keys = group_units.is_multiple_of(2) && limits.multiprocessors >= 2;
    let Some(tuning) = Tuning::of(problem.head_dim, is_windowed, shares_keys) else {
        return Ok(None);
    };
    let runs_here = limits.use_wgmma && TEMPLATE.needs.met_by(limits.arch);
    let is_half = matches!(problem.dtype, DType::F16 | DType::Bf16);
    if !runs_here
        || !is_half
        || problem.value_dim != problem.head_dim
        || problem.keys == 0
        // The largest score is looked for before it is scaled.
        || !(problem.scale.is_normal() && problem.scale > 0.0)
        || tuning.shared_bytes(layout) > limits.arch.shared_bytes << 10
    {
        return Ok(None);
    }
    let Some(maps) = Maps::of(problem, layout, tuning) else { return Ok(None) };

    let tokens = tuning.warpgroups * layout.warpgroup_tokens();
    let row_tiles = problem.queries.div_ceil(tokens);
    let units = query_heads / layout.tile_heads / tuning.cluster;
    let all_units = units.saturating_mul(problem.batch);
    let clusters = limits.multiprocessors as usize / tuning.cluster;
    let tiles = row_tiles.saturating_mul(all_units);
    let reach = if problem.is_causal() { problem.keys - problem.queries } else { problem.keys };
    // The kernel counts tiles a round ahead, and positions a tile ahead.
    let positions = reach.saturating_add(problem.queries).saturating_add(tokens);
    if i32::try_from(tiles.saturating_add(clusters)).is_err() || i32::try_from(positions).is_err() {
        return Ok(None);
    }

    let spec = tuning.spec(layout, is_windowed, problem.dtype);
    let blocks = (clusters.min(tiles) * tuning.cluster) as u32;
    let [lambda_batch, lambda_head, lambda_token] = problem.lambda.map_or([0; 3], strides);
    let counter = Arg::Pointer { region: Region::Counters, byte_offset: 0 };
    let scale = f64::from(problem.scale) * LOG2_E;
    let launch = KernelLaunch::new(spec, blocks, tuning.threads())
        .arg("q_map", Arg::TensorMap(Box::new(maps.q)))
        .arg("k_map", Arg::TensorMap(Box::new(maps.k)))
        .arg("v_map", Arg::TensorMap(Box::new(maps.v)))
        .arg("out_map", Arg::TensorMap(Box::new(maps.out)))
        .arg("lse", Arg::Null)
        .arg("lambda", problem.lambda.map_or(Arg::Null, Arg::tensor))
        .arg("lambda_batch", Arg::long("lambda_batch", lambda_batch)?)
        .arg("lambda_head", Arg::long("lambda_head", lambda_head)?)
        .arg("lambda_token", Arg::long("lambda_token", lambda_token)?)
        .arg("counter", counter)
        .arg("score_scale", Arg::Float(scale as f32))
        .arg("queries", Arg::size("queries", problem.queries)?)
        .arg("keys", Arg::size("keys", problem.keys)?)
        .arg("reach", Arg::size("reach", reach)?)
        .arg("window", Arg::Int(problem.window()))
        .arg("query_heads", Arg::size("query_heads", query_heads)?)
        .arg("group_units", Arg::size("group_units", group_units)?)
        .arg("row_tiles", Arg::size("row_tiles", row_tiles)?)
        .arg("units", Arg::size("units", units)?)
        .arg("all_units", Arg::size("all_units", all_units)?)
        .arg(
            "section",
            Arg::size("section", section(problem, group_units / tuning.cluster, all_units))?,
        );
    let (cluster, shared_bytes) = (tuning.cluster as u32, tuning.shared_bytes(layout));
    Ok(Some(Works::of(KernelLaunch { cluster, shared_bytes, ..launch })))
}

/// Units whose queries are taken before those of others; `group_units` of them read one K/V head.
fn section(problem: &Problem<'_>, group_units: usize, all_units: usize) -> usize {
    let element_bytes = problem.dtype.bytes() as usize;
    let head_bytes = problem.keys.saturating_mul(2 * problem.head_dim * element_bytes);
    let heads = (SECTION_BYTES / head_bytes.max(1)).max(1);
    heads.saturating_mul(group_units).min(all_units)
}

/// How the copy engine sees the tensors.
struct Maps {
    q: TensorMap,
    k: TensorMap,
    v: TensorMap,
    out: TensorMap,
}

impl Maps {
    /// `None` if it cannot move one of them.
    fn of(problem: &Problem<'_>, layout: Layout, tuning: Tuning) -> Option<Maps> {
        let heads = layout.tile_heads;
        let keys = [tuning.block_keys / tuning.cluster, 1];
        let out = [layout.warpgroup_tokens(), heads / layout.streams];
        Some(Maps {
            q: map(problem.q, [GROUP_ROWS / heads, heads])?,
            k: map(problem.k, keys)?,
            v: map(problem.v, keys)?,
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

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for head_dim in [64, 128, 256] {
        for (is_windowed, shares_keys) in
            [(false, true), (false, false), (true, false), (true, true)]
        {
            let tunings = Tuning::of(head_dim, is_windowed, shares_keys);
            // Wherever there is no cluster anyway, one row is enough.
            let Some(tuning) = tunings.filter(|t| (t.cluster == 2) == shares_keys) else {
                continue;
            };
            for layout in [Layout::DIFFERENCE, Layout::PAIR, Layout::SINGLE] {
                rows.push(tuning.spec(layout, is_windowed, DType::Bf16));
            }
            if !is_windowed {
                rows.push(tuning.spec(Layout::DIFFERENCE, is_windowed, DType::F16));
            }
        }
    }
    rows
}

fn opcodes(spec: &KernelSpec) -> Vec<&'static str> {
    let scores = match spec.define("BLOCK_KEYS") {
        Some(Define::Int(64)) => "HGMMA.64x64x16",
        Some(Define::Int(96)) => "HGMMA.64x96x16",
        _ => "HGMMA.64x128x16",
    };
    let sums = match spec.define("HEAD_DIM") {
        Some(Define::Int(64)) => "HGMMA.64x64x16",
        Some(Define::Int(256)) => "HGMMA.64x256x16",
        _ => "HGMMA.64x128x16",
    };
    vec![scores, sums, "UTMALDG", "UTMASTG", "USETMAXREG"]
}

#[cfg(test)]
mod tests;
