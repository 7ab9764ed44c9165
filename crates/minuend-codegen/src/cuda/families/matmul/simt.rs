//! Products by multiply-adds: any types, any strides of the rhs.

use minuend_ir::DType;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::matmul::product::{Problem, flag};
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Template, not_generated, present};

pub(super) const TEMPLATE: Template = Template {
    name: "matmul/simt",
    source: include_str!("../../../../../../cuda/matmul/simt.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows: || {
        let types = [DType::F32, DType::F16, DType::Bf16];
        let same = types.map(|dtype| (dtype, dtype));
        let widening = [DType::F16, DType::Bf16].map(|rhs| (DType::F32, rhs));
        let mut specs = Vec::new();
        for (lhs, rhs) in same.into_iter().chain(widening) {
            for (tile, is_aligned) in [(128, true), (64, true), (64, false)] {
                specs
                    .extend([true, false].map(|k_inner| spec(lhs, rhs, tile, k_inner, is_aligned)));
            }
        }
        specs
    },
    opcodes: |spec| match (spec.define("LHS"), spec.define("ALIGNED")) {
        (Some(Define::Type("float")), Some(Define::Bool(true))) => present(["FFMA", "LDG.E.128"]),
        _ => present(["FFMA"]),
    },
};

/// Elements that are read at once from aligned operands.
const WIDTH: usize = 4;

fn spec(lhs: DType, rhs: DType, tile: usize, k_inner: bool, is_aligned: bool) -> KernelSpec {
    KernelSpec::new(TEMPLATE.name)
        .with_type("LHS", element(lhs))
        .with_type("RHS", element(rhs))
        .with_int("TILE", tile as i32)
        .with_bool("K_INNER", k_inner)
        .with_bool("ALIGNED", is_aligned)
}

/// The kernel of a product.
pub(super) fn launch(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<KernelLaunch, CudaError> {
    let is_aligned = problem.is_aligned(WIDTH, WIDTH);
    let blocks = |tile: usize| problem.tiles(tile, tile / (1 + usize::from(problem.is_gated)));
    // Large tiles read less for each multiply-add. Two of them fit a multiprocessor: with fewer,
    // smaller ones keep more of the device busy.
    let is_large = is_aligned && blocks(128)? >= 2 * limits.multiprocessors;
    let tile = if is_large { 128 } else { 64 };
    let spec = spec(problem.lhs.dtype, problem.rhs.dtype, tile, problem.k_inner(), is_aligned);
    let launch = KernelLaunch::new(spec, blocks(tile)?, 2 * tile as u32);
    Ok(problem
        .with_args(launch)?
        .arg("column_stride", Arg::long("the stride of columns", problem.column_stride)?)
        .arg("k_stride", Arg::long("the stride of k", problem.k_stride)?)
        .arg("is_gated", flag(problem.is_gated))
        .arg("stores_f32", flag(problem.stores_f32())))
}
