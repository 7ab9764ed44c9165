//! Many queries on adapters that run on the CPU: no workgroup memory, everything unrolled.

use std::borrow::Cow;

use crate::attention::Problem;
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::attention::problem;
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/attention_direct.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "attention_direct",
    file: "attention_direct.wgsl",
    source: SOURCE,
    region,
    rows,
};

/// Rows of a workgroup: 8 invocations with 4 each.
const ROWS: usize = 32;
/// Value columns that an invocation accumulates at most.
const SLICE: usize = 128;

/// The text grows with the size of heads, as everything is unrolled.
pub(super) fn covers(problem: &Problem<'_>) -> bool {
    (1..=128).contains(&problem.head_dim)
}

pub(super) fn dispatch(
    problem: &Problem<'_>,
    limits: &WgslLimits,
) -> Result<Dispatch, ShaderError> {
    let slice = problem.value_dim.next_multiple_of(4).min(SLICE);
    let slices = problem.value_dim.div_ceil(slice);
    let tiles = problem.queries.div_ceil(ROWS / problem.streams());
    let groups = [tiles, problem.batch, problem.heads, slices];
    let groups = groups.into_iter().fold(1usize, usize::saturating_mul);
    let spec = problem.spec(TEMPLATE.name, &problem::WHOLE)?.with_u32("SLICE_DIM", slice as u32);
    let mut dispatch = Dispatch::new(spec, groups);
    problem.add_whole(&mut dispatch, slices, tiles, limits)?;
    dispatch.work_per_group = problem.row_work().saturating_mul(ROWS as u64);
    Ok(dispatch)
}

fn region(spec: &KernelSpec, name: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    if name != "main" {
        return Ok(problem::region(spec, name).map(Cow::Borrowed));
    }
    let number = |name| match spec.param(name) {
        Some(Param::U32(value)) => value,
        _ => 0,
    };
    let bounds = [
        ("ROWS", 4),
        ("OWN_POSITIONS", if spec.is_set("PAIRED") { 2 } else { 4 }),
        ("HEAD_VECTORS", number("HEAD_DIM").div_ceil(4)),
        ("COLUMNS", number("SLICE_DIM") / 4),
    ];
    Ok(region_of(SOURCE, name).map(|text| Cow::Owned(unrolled(text, &bounds))))
}

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for (paired, value, head_dim, value_dim, slice) in [
        (true, "vec4<f32>", 64, 64, 64),
        (true, "f32", 7, 20, 20),
        (false, "vec4<f32>", 64, 256, 128),
        (false, "f32", 20, 7, 8),
    ] {
        let spec = KernelSpec::new(TEMPLATE.name)
            .with_bool("PAIRED", paired)
            .with_u32("HEAD_DIM", head_dim)
            .with_u32("VALUE_DIM", value_dim)
            .with("Value", Param::Type(value))
            .with_u32("SLICE_DIM", slice);
        rows.push(problem::with_accesses(spec, &["q", "k", "v", "out"]));
    }
    rows
}
