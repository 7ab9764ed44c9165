//! Many queries on adapters with cooperative matrices, where products may round to f16.

use std::borrow::Cow;

use crate::attention::Problem;
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::attention::problem;
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/attention_cooperative.wgsl");

pub(super) const TEMPLATE: Template = Template {
    name: "attention_cooperative",
    file: "attention_cooperative.wgsl",
    source: SOURCE,
    region,
    rows,
};

/// Largest number of columns of keys and of values that registers have room for.
const MOST_COLUMNS: usize = 128;

/// How a workgroup divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Keys of a tile.
    keys: usize,
    /// Rows, columns and inner size of a matrix.
    size: usize,
    /// Invocations of a subgroup.
    subgroup: usize,
    /// Subgroups of a workgroup.
    subgroups: usize,
}

impl Shape {
    fn of(problem: &Problem<'_>, limits: &WgslLimits) -> Option<Shape> {
        let matrix = limits.cooperative_matrix?;
        let sizes = limits.subgroups.filter(|sizes| sizes.min == sizes.max)?;
        let (size, subgroup) = (matrix.size as usize, sizes.max as usize);
        let dims = [problem.head_dim, problem.value_dim];
        let fits = dims.iter().all(|dim| (1..=MOST_COLUMNS).contains(dim) && dim % size == 0);
        let divides = matches!(size, 8 | 16) && subgroup.is_multiple_of(size);
        if !(limits.half_products && limits.f16 && fits && divides && problem.is_aligned()) {
            return None;
        }
        // Registers hold the next tile: with small heads, small tiles leave room for more workgroups.
        let keys = if problem.head_dim + problem.value_dim <= MOST_COLUMNS { 16 } else { 32 };
        let shapes = [8, 4].map(|subgroups| Shape { keys, size, subgroup, subgroups });
        shapes.into_iter().find(|shape| {
            let [head_dim, value_dim] = dims;
            shape.bytes(head_dim, value_dim) <= limits.max_workgroup_bytes as usize
                && shape.threads() <= limits.max_workgroup_size as usize
                && shape.keys.is_multiple_of(4 * subgroup / size)
        })
    }

    fn threads(self) -> usize {
        self.subgroup * self.subgroups
    }

    fn rows(self) -> usize {
        self.size * self.subgroups
    }

    fn bytes(self, head_dim: usize, value_dim: usize) -> usize {
        let tile = self.keys * (head_dim / 4 + 2 + value_dim / 4 + 2) * 8;
        let scores = self.rows() * (self.keys / 4 + 1) * 16;
        let weights = self.rows() * (self.keys / 4 + 2) * 8;
        tile + scores + weights + self.rows() * 4 + 8 * 4
    }

    fn set(self, spec: KernelSpec) -> KernelSpec {
        let [a, b, c] = match self.size {
            8 => ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"],
            _ => ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"],
        };
        spec.with_u32("KEYS", self.keys as u32)
            .with_u32("SIZE", self.size as u32)
            .with_u32("SUBGROUP", self.subgroup as u32)
            .with_u32("SUBGROUPS", self.subgroups as u32)
            .with("MatrixA", Param::Type(a))
            .with("MatrixB", Param::Type(b))
            .with("MatrixC", Param::Type(c))
    }
}

/// `None` where the adapter or the sizes do not allow it.
pub(super) fn dispatch(
    problem: &Problem<'_>,
    limits: &WgslLimits,
) -> Result<Option<Dispatch>, ShaderError> {
    let Some(shape) = Shape::of(problem, limits) else { return Ok(None) };
    let tiles = problem.queries.div_ceil(shape.rows() / problem.streams());
    let groups = [tiles, problem.batch, problem.heads];
    let groups = groups.into_iter().fold(1usize, usize::saturating_mul);
    let spec = shape.set(problem.spec(TEMPLATE.name, &problem::WHOLE)?);
    let mut dispatch = Dispatch::new(spec, groups);
    problem.add_whole(&mut dispatch, 1, tiles, limits)?;
    // A matrix product does many multiply-adds in the time of one.
    dispatch.work_per_group = problem.row_work().saturating_mul(shape.rows() as u64) / 8;
    Ok(Some(dispatch))
}

fn region(spec: &KernelSpec, name: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    if name != "main" {
        return Ok(problem::region(spec, name).map(Cow::Borrowed));
    }
    let number = |name| match spec.param(name) {
        Some(Param::U32(value)) => value.max(1),
        _ => 1,
    };
    let [size, keys] = ["SIZE", "KEYS"].map(number);
    let [subgroup, subgroups] = ["SUBGROUP", "SUBGROUPS"].map(number);
    let [head_dim, value_dim] = ["HEAD_DIM", "VALUE_DIM"].map(number);
    let each = |dim: u32| (keys * (dim / 4)).div_ceil(subgroup * subgroups);
    let bounds = [
        ("HEAD_MATRICES", head_dim / size),
        ("VALUE_MATRICES", value_dim / size),
        ("KEY_MATRICES", keys / size),
        ("KEYS_EACH", each(head_dim)),
        ("VALUES_EACH", each(value_dim)),
        ("PART_FOURS", keys / 4 / (subgroup / size).max(1)),
        ("SUBGROUPS", subgroups),
    ];
    Ok(region_of(SOURCE, name).map(|text| Cow::Owned(unrolled(text, &bounds))))
}

fn rows() -> Vec<KernelSpec> {
    let nvidia = Shape { keys: 32, size: 16, subgroup: 32, subgroups: 8 };
    let software = Shape { keys: 16, size: 8, subgroup: 8, ..nvidia };
    let mut rows = Vec::new();
    for (paired, head_dim, value_dim, shape) in [
        (true, 64, 64, Shape { keys: 16, ..nvidia }),
        (true, 128, 128, nvidia),
        (true, 128, 128, Shape { subgroups: 4, ..nvidia }),
        (false, 80, 16, Shape { keys: 16, ..nvidia }),
        (true, 64, 64, software),
        (false, 24, 8, software),
    ] {
        let spec = KernelSpec::new(TEMPLATE.name)
            .with("Value", Param::Type("vec4<f32>"))
            .with_bool("PAIRED", paired)
            .with_u32("HEAD_DIM", head_dim)
            .with_u32("VALUE_DIM", value_dim);
        rows.push(problem::with_accesses(shape.set(spec), &["q", "k", "v", "out"]));
    }
    rows
}
