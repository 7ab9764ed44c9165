//! Attention over many queries by the matrix products of warpgroups.

use minuend_ir::DType;
use minuend_ir::ops::Mask;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::forward::{Layout, Maps, Tiles, arguments, covers};
use crate::cuda::families::element;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Opcode, Template, not_generated, present};
use crate::place::Region;

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
/// Threads of a warpgroup.
const WARPGROUP_THREADS: u32 = 128;
/// Tiles that are handed out and not taken yet, each with a barrier.
const SLOTS: u32 = 4;

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
    let group_units = layout.group_units(problem);
    let shares_keys = group_units.is_multiple_of(2) && limits.multiprocessors >= 2;
    let Some(tuning) = Tuning::of(problem.head_dim, is_windowed, shares_keys) else {
        return Ok(None);
    };
    let runs_here = limits.use_wgmma && TEMPLATE.needs.met_by(limits.arch);
    if !runs_here || !covers(problem) || tuning.shared_bytes(layout) > limits.arch.shared_bytes {
        return Ok(None);
    }
    let Some(maps) = maps(problem, layout, tuning) else { return Ok(None) };
    let clusters = limits.multiprocessors as usize / tuning.cluster;
    let tokens = tuning.warpgroups * warpgroup_tokens(layout);
    let Some(tiles) = Tiles::of(problem, layout, tokens, tuning.cluster, clusters) else {
        return Ok(None);
    };
    let spec = tuning.spec(layout, is_windowed, problem.dtype);
    let blocks = (clusters.min(tiles.count) * tuning.cluster) as u32;
    let counter = Arg::Pointer { region: Region::Counters, byte_offset: 0 };
    let launch = KernelLaunch::new(spec, blocks, tuning.threads());
    let launch = arguments(launch, problem, maps, Some(counter), tiles)?;
    let (cluster, shared_bytes) = (tuning.cluster as u32, tuning.shared_bytes(layout));
    Ok(Some(Works::of(KernelLaunch { cluster, shared_bytes, ..launch })))
}

/// How the copy engine sees the tensors; `None` if it cannot move one of them.
fn maps(problem: &Problem<'_>, layout: Layout, tuning: Tuning) -> Option<Maps> {
    let heads = layout.tile_heads;
    let out = [warpgroup_tokens(layout), heads / layout.streams];
    let keys = tuning.block_keys / tuning.cluster;
    Maps::of(problem, [GROUP_ROWS / heads, heads], keys, out)
}

/// Tokens of a warpgroup's rows.
fn warpgroup_tokens(layout: Layout) -> usize {
    WARPGROUP_ROWS / layout.tile_heads
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

fn opcodes(spec: &KernelSpec) -> Vec<Opcode> {
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
    present([scores, sums, "UTMALDG", "UTMASTG", "USETMAXREG"])
}

#[cfg(test)]
mod tests;
