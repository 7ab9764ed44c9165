//! Attention over many queries by matrix products whose sums are in tensor memory.

use minuend_ir::DType;
use minuend_ir::ops::Mask;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::forward::{Layout, Maps, Tiles, arguments, covers};
use crate::cuda::families::element;
use crate::cuda::launch::{KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Opcode, Template, not_generated, present};

pub(super) const TEMPLATE: Template = Template {
    name: "attention/forward_tcgen05",
    source: include_str!("../../../../../../cuda/attention/forward_tcgen05.cu"),
    needs: Needs::Tcgen05,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes,
};

/// Tiles of queries that a block works on at a time.
const STAGES: usize = 2;
/// Rows of a stage: lanes of tensor memory.
const STAGE_ROWS: usize = 128;
/// Keys of a block of keys.
const BLOCK_KEYS: usize = 128;
/// Rows whose result a warp stores.
const WARP_ROWS: usize = 32;
/// Summed elements of one product.
const PRODUCT_DEPTH: usize = 16;
const THREADS: u32 = 512;
/// Barriers of a stage.
const STAGE_BARRIERS: usize = 6;

/// How a block divides its shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuning {
    head_dim: usize,
    /// Tiles of queries, of both stages.
    q_stages: usize,
    /// Blocks of keys or of values.
    kv_stages: usize,
}

impl Tuning {
    /// `None` for a width of heads that tensor memory has no room for, or that there are no tiles for.
    fn of(head_dim: usize) -> Option<Tuning> {
        match head_dim {
            64 => Some(Tuning { head_dim, q_stages: 2, kv_stages: 8 }),
            128 => Some(Tuning { head_dim, q_stages: 1, kv_stages: 4 }),
            _ => None,
        }
    }

    /// Bytes of dynamic shared memory; what `attention/tcgen05_memory.cuh` lays out.
    fn shared_bytes(self) -> u32 {
        let row = 2 * self.head_dim;
        let keys = self.kv_stages * BLOCK_KEYS * row;
        let queries = self.q_stages * STAGES * STAGE_ROWS * row;
        let out = STAGE_ROWS * row;
        let notes = STAGES * STAGE_ROWS * 4;
        let rings = 2 * (self.kv_stages + self.q_stages * STAGES);
        let barriers = rings + STAGES * STAGE_BARRIERS;
        let tensor_address = 16;
        (keys + queries + out + notes + 8 * barriers + tensor_address) as u32
    }

    fn spec(self, layout: Layout, is_windowed: bool, dtype: DType) -> KernelSpec {
        KernelSpec::new(TEMPLATE.name)
            .with_type("ELEMENT", element(dtype))
            .with_int("HEAD_DIM", self.head_dim as i32)
            .with_int("STREAMS", layout.streams as i32)
            .with_int("TILE_HEADS", layout.tile_heads as i32)
            .with_bool("WINDOWED", is_windowed)
            .with_int("Q_STAGES", self.q_stages as i32)
            .with_int("KV_STAGES", self.kv_stages as i32)
            .with_int("SHARED_BYTES", self.shared_bytes() as i32)
    }
}

/// What runs the launch; `None` if there is no tensor memory, or the copy engine cannot move a tensor.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let Some(tuning) = Tuning::of(problem.head_dim) else { return Ok(None) };
    let runs_here = limits.use_tcgen05 && TEMPLATE.needs.met_by(limits.arch);
    if !runs_here || !covers(problem) || tuning.shared_bytes() > limits.arch.shared_bytes {
        return Ok(None);
    }
    let boxes = Maps::of(problem, [STAGE_ROWS, 1], BLOCK_KEYS, [WARP_ROWS, 1]);
    let Some(maps) = boxes else { return Ok(None) };
    let layout = Layout::of(problem);
    let tokens = STAGES * STAGE_ROWS / layout.tile_heads;
    let takers = limits.multiprocessors as usize;
    let Some(tiles) = Tiles::of(problem, layout, tokens, 1, takers) else { return Ok(None) };
    let is_windowed = matches!(problem.mask, Mask::SlidingWindow { .. });
    let spec = tuning.spec(layout, is_windowed, problem.dtype);
    let launch = KernelLaunch::new(spec, takers.min(tiles.count) as u32, THREADS);
    let launch = arguments(launch, problem, maps, None, tiles)?;
    Ok(Some(Works::of(KernelLaunch { shared_bytes: tuning.shared_bytes(), ..launch })))
}

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for tuning in [64, 128].into_iter().filter_map(Tuning::of) {
        for is_windowed in [false, true] {
            for layout in [Layout::DIFFERENCE, Layout::PAIR, Layout::SINGLE] {
                rows.push(tuning.spec(layout, is_windowed, DType::Bf16));
            }
            rows.push(tuning.spec(Layout::DIFFERENCE, is_windowed, DType::F16));
        }
    }
    rows
}

/// The text starts scores and sums of each stage in two places: scores of a tile's first block and of its
/// others, sums of its last block and of its others.
fn opcodes(spec: &KernelSpec) -> Vec<Opcode> {
    let head_dim = match spec.define("HEAD_DIM") {
        Some(Define::Int(64)) => 64,
        _ => 128,
    };
    let products = 2 * STAGES * (head_dim / PRODUCT_DEPTH + BLOCK_KEYS / PRODUCT_DEPTH);
    let mut rules = present(["LDTM", "STTM", "UTCBAR", "UTMALDG", "UTMASTG", "USETMAXREG"]);
    rules.push(Opcode::Count("UTCHMMA", products));
    rules.push(Opcode::Absent("HMMA"));
    rules.push(Opcode::Absent("HGMMA"));
    rules
}

#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod tests;
