//! Tiles staged in workgroup memory.

use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::matmul::product::{Bound, Product};
use crate::wgsl::families::matmul::{FORMS, Units, loads, tile_dispatch, with_accesses};
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/matmul_tiled.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "matmul_tiled",
    file: "matmul_tiled.wgsl",
    source: SOURCE,
    region: |spec, region| {
        let text = match region {
            "loads" => Some(loads::four_values(spec)),
            _ => main(spec),
        };
        Ok(text.map(Into::into))
    },
    rows: || {
        let mut rows = Vec::new();
        for tile in TILES {
            for units in Units::all() {
                for (k_inner, is_swiglu) in FORMS {
                    rows.push(with_accesses(spec(tile, units, k_inner, is_swiglu)));
                }
            }
        }
        rows
    },
};

/// The size of a workgroup's part of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    rows: u32,
    /// Columns of the rhs; with a gated product, half of them are columns of the result.
    columns: u32,
    /// Rows of an invocation, whose columns are [`COLUMNS_EACH`].
    rows_each: u32,
}

/// From the most arithmetic for each load to the least.
const TILES: [Tile; 3] = [
    Tile { rows: 128, columns: 128, rows_each: 8 },
    Tile { rows: 64, columns: 64, rows_each: 4 },
    Tile { rows: 32, columns: 64, rows_each: 4 },
];

const COLUMNS_EACH: u32 = 8;
/// Values of k that are staged at once.
const TILE_K: u32 = 16;
/// With fewer workgroups a large adapter is not busy: smaller tiles make more.
const ENOUGH_GROUPS: usize = 256;

impl Tile {
    fn invocations(self) -> u32 {
        self.rows / self.rows_each * (self.columns / COLUMNS_EACH)
    }

    fn workgroup_bytes(self) -> u32 {
        (self.rows + self.columns) * TILE_K * 4
    }

    /// Rows and columns of the result.
    fn of_result(self, is_swiglu: bool) -> [usize; 2] {
        [self.rows as usize, self.columns as usize / (1 + usize::from(is_swiglu))]
    }

    fn is_allowed(self, limits: &WgslLimits) -> bool {
        self.invocations() <= limits.max_workgroup_size
            && self.workgroup_bytes() <= limits.max_workgroup_bytes
    }
}

/// The region `main`, written out for the largest tile: smaller ones gain nothing from it.
fn main(spec: &KernelSpec) -> Option<String> {
    let [tile, ..] = TILES;
    let is_largest = spec.param("TILE_ROWS") == Some(Param::U32(tile.rows))
        && spec.param("TILE_COLUMNS") == Some(Param::U32(tile.columns));
    let blocks = (tile.rows + tile.columns) / 4 * (TILE_K / 4);
    let bounds = [
        ("TILE_K", TILE_K),
        ("ROWS_EACH", tile.rows_each),
        ("ROW_QUADS_EACH", tile.rows_each / 4),
        ("SUMS", 2 * tile.rows_each),
        ("BLOCKS_EACH", blocks.div_ceil(tile.invocations())),
    ];
    region_of(SOURCE, "main").filter(|_| is_largest).map(|text| unrolled(text, &bounds))
}

fn choose(product: &Product<'_>, bound: &Bound, limits: &WgslLimits) -> Tile {
    let is_busy = |tile: &Tile| {
        let [rows, columns] = tile.of_result(product.is_swiglu);
        let tiles = product.rows.div_ceil(rows) * bound.columns.len().div_ceil(columns);
        tiles.saturating_mul(product.batches()) >= ENOUGH_GROUPS
    };
    let fits = |tile: &Tile| tile.is_allowed(limits) && is_busy(tile);
    TILES.into_iter().find(fits).unwrap_or(TILES[TILES.len() - 1])
}

fn spec(tile: Tile, units: Units, k_inner: bool, is_swiglu: bool) -> KernelSpec {
    let spec = KernelSpec::new(TEMPLATE.name)
        .with_u32("TILE_ROWS", tile.rows)
        .with_u32("TILE_COLUMNS", tile.columns)
        .with_u32("ROWS_EACH", tile.rows_each)
        .with_bool("K_INNER", k_inner)
        .with_bool("SWIGLU", is_swiglu);
    units.set(spec)
}

pub(super) fn dispatch(
    product: &Product<'_>,
    bound: &Bound,
    limits: &WgslLimits,
) -> Result<Dispatch, ShaderError> {
    let tile = choose(product, bound, limits);
    let spec = spec(tile, Units::of(product, bound), product.k_inner, product.is_swiglu);
    tile_dispatch(spec, product, bound, tile.of_result(product.is_swiglu))
}
