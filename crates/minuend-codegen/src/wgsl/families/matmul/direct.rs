//! Blocks of the result straight from memory, for adapters that run on the CPU.

use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::matmul::product::{Bound, Product};
use crate::wgsl::families::matmul::{FORMS, Units, loads, tile_dispatch, with_accesses};
use crate::wgsl::template::{KernelSpec, Template};

pub(super) const TEMPLATE: Template = Template {
    name: "matmul_direct",
    file: "matmul_direct.wgsl",
    source: include_str!("../../../../../../shaders/matmul_direct.wgsl"),
    region: |spec, _| Ok(Some(loads::four_values(spec).into())),
    rows: || {
        let mut specs = Vec::new();
        for rows in ROWS {
            for units in Units::all() {
                for (k_inner, is_swiglu) in FORMS {
                    if rows <= most_rows(is_swiglu) {
                        specs.push(with_accesses(spec(rows, units, k_inner, is_swiglu)));
                    }
                }
            }
        }
        specs
    },
};

/// Rows of an invocation.
const ROWS: [usize; 4] = [1, 2, 4, 8];
/// Columns of a workgroup.
const GROUP_COLUMNS: usize = 64;

/// Rows of an invocation that has eight sums, two for each row of a gated product.
fn most_rows(is_swiglu: bool) -> usize {
    if is_swiglu { 4 } else { 8 }
}

fn spec(rows: usize, units: Units, k_inner: bool, is_swiglu: bool) -> KernelSpec {
    let spec = KernelSpec::new(TEMPLATE.name)
        .with_u32("ROWS", rows as u32)
        .with_bool("K_INNER", k_inner)
        .with_bool("SWIGLU", is_swiglu);
    units.set(spec)
}

pub(super) fn dispatch(product: &Product<'_>, bound: &Bound) -> Result<Dispatch, ShaderError> {
    let most = most_rows(product.is_swiglu);
    let enough = ROWS.into_iter().find(|rows| *rows >= product.rows);
    let rows = enough.map_or(most, |rows| rows.min(most));
    let spec = spec(rows, Units::of(product, bound), product.k_inner, product.is_swiglu);
    tile_dispatch(spec, product, bound, [rows, GROUP_COLUMNS])
}
