//! Cooperative matrices: f16 operands, f32 sums.

use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::matmul::product::{Bound, Product};
use crate::wgsl::families::matmul::{FORMS, Units, loads, tile_dispatch, with_accesses};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

pub(super) const TEMPLATE: Template = Template {
    name: "matmul_cooperative",
    file: "matmul_cooperative.wgsl",
    source: include_str!("../../../../../../shaders/matmul_cooperative.wgsl"),
    region: |spec, region| {
        let text = match region {
            "loads" => Some(loads::stored_values(spec)),
            "columns" if !spec.is_set("K_INNER") => Some(ROWS_OF_RHS.into()),
            _ => None,
        };
        Ok(text.map(Into::into))
    },
    rows: || {
        let mut specs = Vec::new();
        for shape in SHAPES {
            for units in Units::all().into_iter().map(of_f16) {
                for (k_inner, is_swiglu) in FORMS {
                    specs.push(with_accesses(spec(shape, units, k_inner, is_swiglu)));
                }
            }
        }
        specs
    },
};

/// A cooperative matrix and how subgroups share a tile: eight subgroups, two below and four beside each
/// other, with four by two matrices each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Rows, columns and inner size of a matrix.
    size: u32,
    /// Invocations of a subgroup.
    subgroup: u32,
}

/// The combinations that exist: large matrices on adapters with subgroups of 32, small ones on those with 8.
const SHAPES: [Shape; 3] = [
    Shape { size: 16, subgroup: 32 },
    Shape { size: 8, subgroup: 8 },
    Shape { size: 8, subgroup: 32 },
];

impl Shape {
    fn tile(self) -> u32 {
        8 * self.size
    }

    /// Staged operands, and the sums of a subgroup's matrices on their way to memory.
    fn workgroup_bytes(self) -> u32 {
        2 * self.tile() * (TILE_K + PADDING) * 2 + 2 * SUBGROUPS * self.size * self.size * 4
    }
}

/// The region `columns` for an rhs whose strip lies k by k.
const ROWS_OF_RHS: &str = "
            let b = k * RHS_LINE + subgroup_column / 4u;
            let b0 = coopLoadT<MatrixB>(&rhs_strip[b], RHS_LINE);
            let b1 = coopLoadT<MatrixB>(&rhs_strip[b + SIZE], RHS_LINE);
";

/// Values of k that are staged at once.
const TILE_K: u32 = 32;
/// Values behind each staged row, so that rows begin in different banks.
const PADDING: u32 = 8;
const SUBGROUPS: u32 = 8;

/// The shape for a product, if its operands may be rounded and the adapter has one.
pub(super) fn shape(product: &Product<'_>, limits: &WgslLimits) -> Option<Shape> {
    let size = limits.cooperative_matrix?.size;
    let subgroup = limits.subgroups.filter(|sizes| sizes.min == sizes.max)?.max;
    let shape =
        SHAPES.into_iter().find(|shape| (shape.size, shape.subgroup) == (size, subgroup))?;
    let is_allowed = limits.half_products
        && limits.f16
        && shape.workgroup_bytes() <= limits.max_workgroup_bytes
        && SUBGROUPS * subgroup <= limits.max_workgroup_size;
    // Few rows take as long as reading the rhs, with or without cooperative matrices.
    (is_allowed && product.rows > 8).then_some(shape)
}

/// Quads of f16 are read as such.
fn of_f16(units: Units) -> Units {
    if units.rhs == loads::HALF_QUAD && !units.is_bf16 {
        return Units { rhs: loads::F16_QUAD, ..units };
    }
    units
}

fn spec(shape: Shape, units: Units, k_inner: bool, is_swiglu: bool) -> KernelSpec {
    let [a, b, c] = match shape.size {
        8 => ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"],
        _ => ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"],
    };
    let spec = KernelSpec::new(TEMPLATE.name)
        .with_u32("SIZE", shape.size)
        .with_u32("SUBGROUP", shape.subgroup)
        .with("MatrixA", Param::Type(a))
        .with("MatrixB", Param::Type(b))
        .with("MatrixC", Param::Type(c))
        .with_bool("K_INNER", k_inner)
        .with_bool("SWIGLU", is_swiglu);
    units.set(spec)
}

pub(super) fn dispatch(
    product: &Product<'_>,
    bound: &Bound,
    shape: Shape,
) -> Result<Dispatch, ShaderError> {
    let units = of_f16(Units::of(product, bound));
    let spec = spec(shape, units, product.k_inner, product.is_swiglu);
    let tile = shape.tile() as usize;
    let columns = tile / (1 + usize::from(product.is_swiglu));
    tile_dispatch(spec, product, bound, [tile, columns])
}
