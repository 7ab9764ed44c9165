//! Products of 16-bit elements on tensor cores, by instructions of every architecture.

use minuend_ir::DType;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::matmul::product::{Problem, flag};
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, not_generated, present};

pub(super) const TEMPLATE: Template = Template {
    name: "matmul/mma",
    source: include_str!("../../../../../../cuda/matmul/mma.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows: || {
        let mut specs = Vec::new();
        for dtype in [DType::F16, DType::Bf16] {
            for tile_rows in [128, 64] {
                let forms = [(true, false), (false, false), (true, true)];
                specs.extend(
                    forms.map(|(k_inner, is_gated)| spec(dtype, tile_rows, k_inner, is_gated)),
                );
            }
        }
        specs
    },
    opcodes: |_| present(["HMMA.16816.F32", "LDSM.16", "LDGSTS.E.BYPASS.128"]),
};

const THREADS: u32 = 256;
const TILE_COLUMNS: usize = 128;
const STAGES: usize = 4;
const TILE_K: usize = 32;

fn spec(dtype: DType, tile_rows: usize, k_inner: bool, is_gated: bool) -> KernelSpec {
    KernelSpec::new(TEMPLATE.name)
        .with_type("ELEMENT", element(dtype))
        .with_int("TILE_ROWS", tile_rows as i32)
        .with_bool("K_INNER", k_inner)
        .with_bool("GATED", is_gated)
}

/// Bytes of the stages. Rows of 64 bytes lie 80 bytes apart, those of 256 bytes are permuted
/// (`minuend::MatrixRows`).
fn shared_bytes(tile_rows: usize, k_inner: bool) -> usize {
    let rhs = if k_inner { TILE_COLUMNS * 80 } else { TILE_K * 2 * TILE_COLUMNS };
    STAGES * (tile_rows * 80 + rhs)
}

/// True for products that this kernel computes.
pub(super) fn fits(problem: &Problem<'_>) -> bool {
    let is_half = problem.lhs.dtype != DType::F32 && problem.rhs.dtype != DType::F32;
    is_half
        && problem.k > 0
        && problem.is_aligned_to_vectors()
        && problem.result.byte_offset.is_multiple_of(16)
        && (problem.k_inner() || !problem.is_gated)
}

/// The kernel of a product that [`fits`].
pub(super) fn launch(problem: &Problem<'_>) -> Result<KernelLaunch, CudaError> {
    let tile_rows = if problem.rows > 64 { 128 } else { 64 };
    let k_inner = problem.k_inner();
    let spec = spec(problem.lhs.dtype, tile_rows, k_inner, problem.is_gated);
    let tile_columns = TILE_COLUMNS / (1 + usize::from(problem.is_gated));
    let mut launch = KernelLaunch::new(spec, problem.tiles(tile_rows, tile_columns)?, THREADS);
    launch.shared_bytes = shared_bytes(tile_rows, k_inner) as u32;
    Ok(problem
        .with_args(launch)?
        .arg("outer_stride", Arg::long("the stride of the rhs", problem.outer_stride())?)
        .arg("stores_f32", flag(problem.stores_f32())))
}
