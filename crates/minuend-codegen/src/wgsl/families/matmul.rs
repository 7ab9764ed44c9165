//! Matrix products.

mod cooperative;
mod direct;
mod few_rows;
mod loads;
mod product;
mod tiled;

use minuend_ir::DType;
use minuend_ir::ops::Matmul;

use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

use product::{Bound, Product};

pub(crate) const TEMPLATES: &[Template] =
    &[tiled::TEMPLATE, direct::TEMPLATE, few_rows::TEMPLATE, cooperative::TEMPLATE];

/// A product, with several dispatches where the adapter cannot bind all of the rhs at once.
pub(crate) fn dispatches(
    op: Matmul,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let product = Product::of(op, launch)?;
    let bound = product.bind(limits)?;
    bound.iter().map(|bound| dispatch(&product, bound, limits)).collect()
}

fn dispatch(
    product: &Product<'_>,
    bound: &Bound,
    limits: &WgslLimits,
) -> Result<Dispatch, ShaderError> {
    if let Some(shape) = cooperative::shape(product, limits) {
        return cooperative::dispatch(product, bound, shape);
    }
    if limits.is_cpu {
        return direct::dispatch(product, bound);
    }
    if few_rows::fits(product) {
        return few_rows::dispatch(product, bound, limits);
    }
    tiled::dispatch(product, bound, limits)
}

/// The types of the operands' units, and what else depends on how the rhs is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Units {
    lhs: &'static str,
    rhs: &'static str,
    is_bf16: bool,
}

impl Units {
    /// Units of four values where everything is aligned to them.
    fn of(product: &Product<'_>, bound: &Bound) -> Units {
        let is_half = product.rhs.dtype != DType::F32;
        let (lhs, rhs) = match (product.is_aligned(bound, 4, 4), is_half) {
            (true, false) => (loads::F32_QUAD, loads::F32_QUAD),
            (true, true) => (loads::F32_QUAD, loads::HALF_QUAD),
            (false, false) => (loads::F32, loads::F32),
            (false, true) => (loads::F32, loads::HALVES),
        };
        Units { lhs, rhs, is_bf16: product.rhs.dtype == DType::Bf16 }
    }

    /// Every result of [`Units::of`].
    fn all() -> Vec<Units> {
        let mut all = Vec::new();
        for (lhs, rhs) in [(loads::F32_QUAD, loads::F32_QUAD), (loads::F32, loads::F32)] {
            all.push(Units { lhs, rhs, is_bf16: false });
        }
        for (lhs, rhs) in [(loads::F32_QUAD, loads::HALF_QUAD), (loads::F32, loads::HALVES)] {
            all.extend([false, true].map(|is_bf16| Units { lhs, rhs, is_bf16 }));
        }
        all
    }

    /// Sets the parameters that say so.
    fn set(self, spec: KernelSpec) -> KernelSpec {
        spec.with("LhsUnit", Param::Type(self.lhs))
            .with("RhsUnit", Param::Type(self.rhs))
            .with_bool("BF16", self.is_bf16)
    }
}

/// Forms of the rhs that shaders of any form of it are specialised for: K_INNER and SWIGLU.
const FORMS: [(bool, bool); 3] = [(true, false), (false, false), (true, true)];

/// Names of the operands' bindings, in their order, as reads and writes of a weight's product.
fn with_accesses(mut spec: KernelSpec) -> KernelSpec {
    for (name, is_read_only) in [("lhs", false), ("rhs", true), ("up", true), ("result", false)] {
        spec.params.push((name, Param::ReadOnly(is_read_only)));
    }
    spec
}

/// A dispatch with the bindings and the uniforms of every product shader, without those of a batch.
fn bound_dispatch(
    spec: KernelSpec,
    product: &Product<'_>,
    bound: &Bound,
    row_tiles: Option<usize>,
    groups: usize,
) -> Result<Dispatch, ShaderError> {
    let mut dispatch = Dispatch::new(spec, groups);
    dispatch.bind("lhs", bound.lhs.0.clone());
    dispatch.bind("rhs", bound.rhs.0.clone());
    dispatch.bind("up", bound.up.0.clone());
    dispatch.bind("result", bound.result.0.clone());
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rows", product.rows)?;
    uniforms.size("columns", bound.columns.len())?;
    uniforms.size("k", product.k)?;
    if let Some(row_tiles) = row_tiles {
        uniforms.size("row_tiles", row_tiles)?;
    }
    uniforms.word("lhs_offset", bound.lhs.1);
    uniforms.word("rhs_offset", bound.rhs.1);
    uniforms.word("up_offset", bound.up.1);
    uniforms.size("result_offset", bound.result.1 as usize + bound.columns.start)?;
    uniforms.size("result_stride", product.columns)?;
    uniforms.size("rhs_outer", product.outer_stride)?;
    uniforms.size("rhs_inner", product.inner_stride)?;
    Ok(dispatch)
}

/// A dispatch of a shader whose groups are tiles of `rows` by `columns` of the result, for each entry
/// of the batch.
fn tile_dispatch(
    spec: KernelSpec,
    product: &Product<'_>,
    bound: &Bound,
    [rows, columns]: [usize; 2],
) -> Result<Dispatch, ShaderError> {
    let row_tiles = product.rows.div_ceil(rows);
    let column_tiles = bound.columns.len().div_ceil(columns);
    let tiles = row_tiles.checked_mul(column_tiles);
    let groups = tiles.and_then(|tiles| tiles.checked_mul(product.batches()));
    let groups = groups.ok_or(ShaderError::Size { name: "groups", value: row_tiles })?;
    let mut dispatch = bound_dispatch(spec, product, bound, Some(row_tiles), groups)?;
    product.push_batch(&mut dispatch.uniforms)?;
    let halves = 1 + u64::from(product.is_swiglu);
    dispatch.work_per_group = (rows * columns) as u64 * halves * product.k.max(1) as u64;
    Ok(dispatch)
}

#[cfg(test)]
mod tests;
