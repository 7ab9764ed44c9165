//! Products of few rows, whose time is that of reading the rhs once.

use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::matmul::product::{Bound, Product};
use crate::wgsl::families::matmul::{Units, bound_dispatch, loads, with_accesses};
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/matmul_few_rows.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "matmul_few_rows",
    file: "matmul_few_rows.wgsl",
    source: SOURCE,
    region: |spec, region| {
        let text = match region {
            "loads" => Some(loads::steps(spec)),
            "team" if spec.param("SUBGROUP") != Some(Param::U32(0)) => {
                Some(written_out(spec, SUBGROUP_TEAM))
            }
            _ => region_of(SOURCE, region).map(|text| written_out(spec, text)),
        };
        Ok(text.map(Into::into))
    },
    rows: || {
        let mut specs = Vec::new();
        for rows in ROWS {
            for (units, quads) in steps() {
                for is_swiglu in [false, true] {
                    for subgroup in SUBGROUPS {
                        let spec = spec(rows, units, quads, is_swiglu, subgroup);
                        specs.push(with_accesses(spec));
                    }
                }
            }
        }
        specs
    },
};

/// Rows that a kernel has sums for.
const ROWS: [usize; 4] = [1, 2, 4, 8];
/// Lanes that work on the same columns: adding up the sums of many rows takes longer the more lanes
/// have them.
fn lanes(rows: usize) -> u32 {
    if rows > 4 { 64 } else { 128 }
}

const GROUP_SIZE: u32 = 256;
/// Columns of the rhs that a team of lanes works on.
const COLUMNS: usize = 4;

/// Sizes of subgroups whose sums are used; 0 for none.
const SUBGROUPS: [u32; 6] = [0, 4, 8, 16, 32, 64];

/// The region `team` with subgroups: a subgroup adds up its lanes' sums, the first lane of a team those of
/// its subgroups. Lanes are numbered by subgroup, whichever invocations those are made of.
const SUBGROUP_TEAM: &str = "
var<workgroup> collected: array<array<vec4<f32>, ROWS>, GROUP_SIZE / SUBGROUP>;

fn team_sums(lane: u32, own: array<vec4<f32>, ROWS>) -> array<vec4<f32>, ROWS> {
    var sums = own;
    let subgroup = lane / SUBGROUP;
    for (var row = 0u; row < ROWS; row = row + 1u) { //@unroll
        sums[row] = subgroupAdd(sums[row]);
        if (lane % SUBGROUP == 0u) {
            collected[subgroup][row] = sums[row];
        }
    }
    workgroupBarrier();
    if (lane % LANES == 0u) {
        for (var row = 0u; row < ROWS; row = row + 1u) { //@unroll
            for (var i = 1u; i < LANES / SUBGROUP; i = i + 1u) {
                sums[row] = sums[row] + collected[subgroup + i][row];
            }
        }
    }
    return sums;
}

@compute @workgroup_size(GROUP_SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) subgroup_number: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let lane = subgroup_number * SUBGROUP + subgroup_lane;
";

/// A region in which loops over rows, columns and quads are written out.
fn written_out(spec: &KernelSpec, text: &str) -> String {
    let number = |name| match spec.param(name) {
        Some(Param::U32(value)) => value,
        _ => 1,
    };
    let rows = number("ROWS");
    let at_once = rows.min(4);
    let columns = COLUMNS as u32;
    let bounds = [
        ("ROWS", rows),
        ("ROWS_AT_ONCE", at_once),
        ("ROUNDS", rows / at_once.max(1)),
        ("QUADS", number("QUADS")),
        ("COLUMNS", columns),
        ("RESULT_COLUMNS", columns / (1 + u32::from(spec.is_set("SWIGLU")))),
    ];
    unrolled(text, &bounds)
}

/// Units and quads of a step.
fn step(product: &Product<'_>, bound: &Bound) -> (Units, u32) {
    let units = Units::of(product, bound);
    if units.rhs == loads::HALF_QUAD && product.is_aligned(bound, 4, 8) {
        return (Units { rhs: loads::HALF_OCTET, ..units }, 2);
    }
    (units, 1)
}

/// Every result of [`step`].
fn steps() -> Vec<(Units, u32)> {
    let mut all: Vec<(Units, u32)> = Units::all().into_iter().map(|units| (units, 1)).collect();
    for (units, _) in all.clone() {
        if units.rhs == loads::HALF_QUAD {
            all.push((Units { rhs: loads::HALF_OCTET, ..units }, 2));
        }
    }
    all
}

/// Size of a subgroup if it is known and sums of subgroups are used.
fn subgroup(limits: &WgslLimits) -> u32 {
    let known =
        limits.subgroups.filter(|sizes| sizes.min == sizes.max).map_or(0, |sizes| sizes.max);
    if SUBGROUPS.contains(&known) { known } else { 0 }
}

fn spec(rows: usize, units: Units, quads: u32, is_swiglu: bool, subgroup: u32) -> KernelSpec {
    let spec = KernelSpec::new(TEMPLATE.name)
        .with_u32("ROWS", rows as u32)
        .with_u32("LANES", lanes(rows))
        .with_u32("QUADS", quads)
        .with_u32("SUBGROUP", subgroup)
        .with_bool("SWIGLU", is_swiglu);
    units.set(spec)
}

/// True for products that this shader computes.
pub(super) fn fits(product: &Product<'_>) -> bool {
    product.rows <= ROWS[ROWS.len() - 1] && product.batches() == 1 && product.k_inner
}

pub(super) fn dispatch(
    product: &Product<'_>,
    bound: &Bound,
    limits: &WgslLimits,
) -> Result<Dispatch, ShaderError> {
    let enough = ROWS.into_iter().find(|rows| *rows >= product.rows);
    let rows = enough.unwrap_or(ROWS[ROWS.len() - 1]);
    let (units, quads) = step(product, bound);
    let spec = spec(rows, units, quads, product.is_swiglu, subgroup(limits));
    let team_columns = COLUMNS / (1 + usize::from(product.is_swiglu));
    let teams = GROUP_SIZE / lanes(rows);
    let group_columns = teams as usize * team_columns;
    let groups = bound.columns.len().div_ceil(group_columns);
    let mut dispatch = bound_dispatch(spec, product, bound, None, groups)?;
    let products = (rows * COLUMNS) as u64 * product.k.max(1) as u64;
    dispatch.work_per_group = products * u64::from(teams);
    Ok(dispatch)
}
