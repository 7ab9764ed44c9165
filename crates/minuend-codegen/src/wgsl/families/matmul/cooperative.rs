//! Cooperative matrices: f16 operands, f32 sums.

use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::matmul::product::{Bound, Product};
use crate::wgsl::families::matmul::{FORMS, Units, loads, tile_dispatch, with_accesses};
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/matmul_cooperative.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "matmul_cooperative",
    file: "matmul_cooperative.wgsl",
    source: SOURCE,
    region: |spec, region| {
        let text = match region {
            "loads" => Some(loads::stored_values(spec)),
            "main" => main(spec),
            _ => None,
        };
        Ok(text.map(Into::into))
    },
    rows: || {
        let mut specs = Vec::new();
        for shape in SHAPES {
            for units in Units::all() {
                for (k_inner, is_swiglu) in FORMS {
                    specs.push(with_accesses(spec(shape, units, k_inner, is_swiglu)));
                }
            }
        }
        specs
    },
};

/// A cooperative matrix, and the tile of a workgroup: [`SUBGROUPS`], two below and four beside each other,
/// have [`MATRIX_ROWS`] matrices below each other each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Rows, columns and inner size of a matrix.
    size: u32,
    /// Invocations of a subgroup.
    subgroup: u32,
    /// Values of k that are staged at once.
    tile_k: u32,
    /// Matrices beside each other of a subgroup.
    matrix_columns: u32,
}

/// The combinations that exist: large matrices on adapters with subgroups of 32, small ones on those with
/// 8. From the most arithmetic for each load to the least.
const SHAPES: [Shape; 5] = [
    Shape { size: 16, subgroup: 32, tile_k: 32, matrix_columns: 4 },
    Shape { size: 16, subgroup: 32, tile_k: 64, matrix_columns: 2 },
    Shape { size: 16, subgroup: 32, tile_k: 32, matrix_columns: 2 },
    Shape { size: 8, subgroup: 8, tile_k: 32, matrix_columns: 2 },
    Shape { size: 8, subgroup: 32, tile_k: 32, matrix_columns: 2 },
];

/// With fewer workgroups of tiles wider than [`NARROW`], a large adapter is not busy.
const ENOUGH_GROUPS: usize = 256;
/// Matrices beside each other of a subgroup in tiles that any product may have.
const NARROW: u32 = 2;
const SUBGROUPS: u32 = 8;
const MATRIX_ROWS: u32 = 4;
/// Values behind each staged row, so that rows begin in different banks.
const PADDING: u32 = 8;

impl Shape {
    /// Rows and columns of a tile.
    fn tile(self) -> [u32; 2] {
        [2 * MATRIX_ROWS * self.size, 4 * self.matrix_columns * self.size]
    }

    /// Staged operands, the rhs in its larger form, and matrices on their way to memory.
    fn workgroup_bytes(self) -> u32 {
        let [rows, columns] = self.tile();
        let padded = self.tile_k + PADDING;
        let rhs = (columns * padded).max(self.tile_k * (columns + PADDING));
        (rows * padded + rhs) * 2 + SUBGROUPS * self.size * self.size * 4
    }
}

/// The region `main`, written out.
fn main(spec: &KernelSpec) -> Option<String> {
    let number = |name| match spec.param(name) {
        Some(Param::U32(value)) => value.max(1),
        _ => 1,
    };
    let [size, tile_k, matrix_columns] = ["SIZE", "TILE_K", "MATRIX_COLUMNS"].map(number);
    let shape = Shape { size, subgroup: number("SUBGROUP"), tile_k, matrix_columns };
    let each = |lines: u32| lines * (tile_k / 4) / (SUBGROUPS * shape.subgroup);
    let [rows, columns] = shape.tile();
    let bounds = [
        ("MATRIX_ROWS", MATRIX_ROWS),
        ("MATRIX_COLUMNS", matrix_columns),
        ("MATRIX_PAIRS", matrix_columns / 2),
        ("LHS_EACH", each(rows)),
        ("RHS_EACH", each(columns)),
    ];
    region_of(SOURCE, "main").map(|text| unrolled(text, &bounds))
}

/// The shape for a product, if its operands may be rounded and the adapter has one.
pub(super) fn shape(product: &Product<'_>, limits: &WgslLimits) -> Option<Shape> {
    let size = limits.cooperative_matrix?.size;
    let subgroup = limits.subgroups.filter(|sizes| sizes.min == sizes.max)?.max;
    let is_busy = |shape: &Shape| {
        let [rows, columns] = shape.tile().map(|size| size as usize);
        let row_tiles = product.rows.div_ceil(rows);
        let rhs_columns = product.columns.saturating_mul(1 + usize::from(product.is_swiglu));
        let tiles = row_tiles.saturating_mul(rhs_columns.div_ceil(columns));
        tiles.saturating_mul(product.batches()) >= ENOUGH_GROUPS
    };
    let shape = SHAPES.into_iter().find(|shape| {
        (shape.size, shape.subgroup) == (size, subgroup)
            && shape.workgroup_bytes() <= limits.max_workgroup_bytes
            && (shape.matrix_columns <= NARROW || is_busy(shape))
    })?;
    let is_allowed =
        limits.half_products && limits.f16 && SUBGROUPS * subgroup <= limits.max_workgroup_size;
    // Few rows take as long as reading the rhs, with or without cooperative matrices.
    (is_allowed && product.rows > 8).then_some(shape)
}

fn spec(shape: Shape, units: Units, k_inner: bool, is_swiglu: bool) -> KernelSpec {
    let [a, b, c] = match shape.size {
        8 => ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"],
        _ => ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"],
    };
    let spec = KernelSpec::new(TEMPLATE.name)
        .with_u32("SIZE", shape.size)
        .with_u32("SUBGROUP", shape.subgroup)
        .with_u32("TILE_K", shape.tile_k)
        .with_u32("MATRIX_COLUMNS", shape.matrix_columns)
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
    let spec = spec(shape, Units::of(product, bound), product.k_inner, product.is_swiglu);
    let [rows, columns] = shape.tile().map(|size| size as usize);
    tile_dispatch(spec, product, bound, [rows, columns / (1 + usize::from(product.is_swiglu))])
}
