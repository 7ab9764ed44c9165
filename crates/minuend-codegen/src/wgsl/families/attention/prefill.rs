//! Many queries: tiles of keys in workgroup memory, scores and outputs in registers.

use std::borrow::Cow;

use crate::attention::Problem;
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::attention::problem;
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/attention_prefill.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "attention_prefill",
    file: "attention_prefill.wgsl",
    source: SOURCE,
    region,
    rows,
};

/// Keys of a tile.
const KEYS: usize = 32;
/// Invocations that share a row's keys, and a row's value columns.
const LANES: usize = 8;

/// How a workgroup divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    threads: usize,
    rows_per_thread: usize,
    /// vec4 columns of keys or values in workgroup memory at once.
    chunk: usize,
    /// Keys, values, weights and maxima do not share memory.
    separate: bool,
}

impl Shape {
    /// For 16 KiB of workgroup memory.
    const PORTABLE: Shape = Shape { threads: 128, rows_per_thread: 4, chunk: 16, separate: false };
    /// For 32 KiB: keys of up to 128 columns at once.
    const WIDE: Shape = Shape { threads: 128, rows_per_thread: 4, chunk: 32, separate: false };

    fn of(problem: &Problem<'_>, limits: &WgslLimits) -> Shape {
        let columns = problem.head_dim.max(problem.value_dim);
        if columns > 64 && limits.max_workgroup_bytes >= Shape::WIDE.bytes() {
            return Shape::WIDE;
        }
        Shape::PORTABLE
    }

    fn rows(self) -> usize {
        self.threads / LANES * self.rows_per_thread
    }

    fn bytes(self) -> u32 {
        let tile = KEYS * self.chunk * 16;
        let weights = self.rows() * KEYS * 4;
        let maxima = self.rows() * LANES * 4;
        let bytes = if self.separate { 2 * tile + weights + maxima } else { tile + weights };
        bytes as u32
    }

    /// vec4 columns that an invocation accumulates: at most 4, in whole chunks.
    fn columns(self, value_dim: usize) -> usize {
        let needed = value_dim.div_ceil(4 * LANES).clamp(1, 4);
        let per_chunk = self.chunk / LANES;
        if needed <= per_chunk { needed } else { needed.next_multiple_of(per_chunk) }
    }

    fn set(self, spec: KernelSpec, columns: usize) -> KernelSpec {
        spec.with_u32("THREADS", self.threads as u32)
            .with_u32("ROWS_PER_THREAD", self.rows_per_thread as u32)
            .with_u32("CHUNK", self.chunk as u32)
            .with_u32("COLUMNS", columns as u32)
            .with_bool("SEPARATE", self.separate)
    }
}

pub(super) fn dispatch(
    problem: &Problem<'_>,
    limits: &WgslLimits,
) -> Result<Dispatch, ShaderError> {
    let shape = Shape::of(problem, limits);
    let columns = shape.columns(problem.value_dim);
    let slices = problem.value_dim.div_ceil(columns * LANES * 4);
    let tiles = problem.queries.div_ceil(shape.rows() / problem.streams());
    let groups = [tiles, problem.batch, problem.heads, slices];
    let groups = groups.into_iter().fold(1usize, usize::saturating_mul);
    let spec = shape.set(problem.spec(TEMPLATE.name, &problem::WHOLE)?, columns);
    let mut dispatch = Dispatch::new(spec, groups);
    problem.add_whole(&mut dispatch, slices, tiles, limits)?;
    dispatch.work_per_group = problem.row_work().saturating_mul(shape.rows() as u64);
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
    let (rows, columns) = (number("ROWS_PER_THREAD"), number("COLUMNS"));
    let chunk_columns = columns.min(number("CHUNK") / LANES as u32).max(1);
    let bounds = [
        ("ROWS_PER_THREAD", rows),
        ("OWN_POSITIONS", if spec.is_set("PAIRED") { rows / 2 } else { rows }),
        ("COLUMNS", columns),
        ("CHUNK_COLUMNS", chunk_columns),
        ("VALUE_CHUNKS", columns / chunk_columns),
    ];
    Ok(region_of(SOURCE, name).map(|text| Cow::Owned(unrolled(text, &bounds))))
}

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for (paired, value, head_dim, value_dim, shape) in [
        (true, "vec4<f32>", 64, 64, Shape::PORTABLE),
        (true, "vec4<f32>", 128, 128, Shape::WIDE),
        (true, "vec4<f32>", 80, 80, Shape::PORTABLE),
        (true, "f32", 7, 20, Shape::PORTABLE),
        (false, "vec4<f32>", 64, 64, Shape::PORTABLE),
        (false, "vec4<f32>", 256, 256, Shape::PORTABLE),
        (false, "f32", 65, 33, Shape::WIDE),
    ] {
        let spec = KernelSpec::new(TEMPLATE.name)
            .with_bool("PAIRED", paired)
            .with_u32("HEAD_DIM", head_dim)
            .with_u32("VALUE_DIM", value_dim)
            .with("Value", Param::Type(value));
        let spec = shape.set(spec, shape.columns(value_dim as usize));
        rows.push(problem::with_accesses(spec, &["q", "k", "v", "out"]));
    }
    rows
}
