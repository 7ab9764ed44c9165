//! Few queries: the keys are split over workgroups, and a second shader merges the parts.

use std::borrow::Cow;

use minuend_ir::ops::Mask;

use crate::attention::Problem;
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::attention::problem;
use crate::wgsl::families::unroll::{region_of, unrolled};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::Window;
use crate::wgsl::template::{KernelSpec, Param, Template};

const SOURCE: &str = include_str!("../../../../../../shaders/attention_split.wgsl");

const MERGE_SOURCE: &str = include_str!("../../../../../../shaders/attention_merge.wgsl");
/// Parts that an invocation of the merge reads at once.
const PARTS_AT_ONCE: u32 = 8;

pub(super) const SPLIT: Template = Template {
    name: "attention_split",
    file: "attention_split.wgsl",
    source: SOURCE,
    region,
    rows: split_rows,
};

pub(super) const MERGE: Template = Template {
    name: "attention_merge",
    file: "attention_merge.wgsl",
    source: MERGE_SOURCE,
    region: |spec, name| {
        if name != "merged" {
            return Ok(problem::region(spec, name).map(Cow::Borrowed));
        }
        let text = region_of(MERGE_SOURCE, name);
        Ok(text.map(|text| Cow::Owned(unrolled(text, &[("AT_ONCE", PARTS_AT_ONCE)]))))
    },
    rows: merge_rows,
};

/// Invocations of a workgroup of either shader.
const THREADS: usize = 128;
/// Query rows of one K/V head up to which the keys are split.
const MOST_ROWS: usize = 32;
/// vec4 of queries that workgroup memory has room for.
const QUERY_VECTORS: usize = 4 * THREADS;

/// True for few query rows on each K/V head, however many keys there are: a cache that grows by one
/// token keeps its kernels.
pub(super) fn pays(problem: &Problem<'_>) -> bool {
    let rows = head_rows(problem);
    let dims = 1..=QUERY_VECTORS;
    rows <= MOST_ROWS
        && problem.keys > 0
        && dims.contains(&problem.head_dim)
        && dims.contains(&problem.value_dim)
}

/// Query rows of a K/V head.
fn head_rows(problem: &Problem<'_>) -> usize {
    problem.group_heads().saturating_mul(problem.streams()).saturating_mul(problem.queries)
}

/// Rows of a workgroup, in fours, and keys of each of its invocations. 16 KiB hold the queries, at most
/// [`QUERY_VECTORS`], and as many vec4 of weights. Two keys where that fits: half as many parts to merge.
fn shape(rows: usize, head_dim: usize) -> (usize, usize) {
    let most = QUERY_VECTORS / (4 * head_dim.div_ceil(4)).max(4);
    let fours = [1, 2, 4].into_iter().find(|fours| fours * 4 >= rows).unwrap_or(4);
    let fours = [4, 2, 1].into_iter().find(|at_most| *at_most <= fours.min(most)).unwrap_or(1);
    (fours, if fours <= 2 { 2 } else { 1 })
}

pub(super) fn dispatches(
    problem: &Problem<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let head_rows = head_rows(problem);
    let (fours, keys_per_thread) = shape(head_rows, problem.head_dim);
    let row_blocks = head_rows.div_ceil(4 * fours);
    let split_keys = THREADS * keys_per_thread;
    let seen_from = match problem.mask {
        Mask::Full | Mask::Causal => 0,
        Mask::SlidingWindow { window } => {
            (problem.keys + 1).saturating_sub(problem.queries).saturating_sub(window as usize)
        }
    };
    let first_key = seen_from / split_keys * split_keys;
    let splits = (problem.keys - first_key).div_ceil(split_keys);
    let product = |factors: &[usize]| factors.iter().copied().fold(1usize, usize::saturating_mul);
    let all_rows = product(&[problem.batch, problem.kv_heads, head_rows]);
    let part_bytes = (problem.value_dim.div_ceil(4) + 1) * 16;
    let needed = product(&[splits, all_rows, part_bytes]) as u64;
    if needed > limits.max_binding_bytes {
        return Err(ShaderError::Binding { needed, available: limits.max_binding_bytes });
    }

    let spec = problem
        .spec(SPLIT.name, &["HEAD_DIM", "VALUE_DIM"])?
        .with_u32("ROW_FOURS", fours as u32)
        .with_u32("KEYS_PER_THREAD", keys_per_thread as u32);
    let groups = product(&[problem.batch, problem.kv_heads, row_blocks, splits]);
    let mut split = Dispatch::new(spec, groups);
    let uniforms = &mut split.uniforms;
    uniforms.size("queries", problem.queries)?;
    uniforms.size("keys", problem.keys)?;
    uniforms.size("first_key", first_key)?;
    uniforms.size("splits", splits)?;
    uniforms.size("row_blocks", row_blocks)?;
    uniforms.size("kv_heads", problem.kv_heads)?;
    uniforms.size("group_queries", problem.group_heads() * problem.streams())?;
    uniforms.size("all_rows", all_rows)?;
    problem.add_mask(&mut split);
    problem.add_sources(&mut split, limits)?;
    split.bind("parts", Window::of_scratch(needed));
    let dims = problem.head_dim + problem.value_dim;
    split.work_per_group = product(&[4 * fours, split_keys, dims]) as u64;

    let spec = problem.spec(MERGE.name, &["PAIRED", "VALUE_DIM"])?;
    let rows = product(&[problem.batch, problem.heads, problem.queries]);
    let mut merge = Dispatch::new(spec, rows);
    let uniforms = &mut merge.uniforms;
    uniforms.size("queries", problem.queries)?;
    uniforms.size("heads", problem.heads)?;
    uniforms.size("splits", splits)?;
    uniforms.size("all_rows", all_rows)?;
    merge.bind("parts", Window::of_scratch(needed));
    problem.add_result(&mut merge, limits)?;
    merge.work_per_group = product(&[problem.streams(), splits, problem.value_dim]) as u64;
    Ok(vec![split, merge])
}

fn region(spec: &KernelSpec, name: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    if name != "main" {
        return Ok(problem::region(spec, name).map(Cow::Borrowed));
    }
    let fours = spec.param("ROW_FOURS");
    let keys = spec.param("KEYS_PER_THREAD");
    let (Some(Param::U32(fours)), Some(Param::U32(keys))) = (fours, keys) else { return Ok(None) };
    let mut bounds = vec![("ROW_FOURS", fours), ("ROWS", 4 * fours), ("KEYS_PER_THREAD", keys)];
    if let Some(Param::U32(head_dim @ ..=128)) = spec.param("HEAD_DIM") {
        bounds.push(("HEAD_VECTORS", head_dim.div_ceil(4)));
    }
    Ok(region_of(SOURCE, name).map(|text| Cow::Owned(unrolled(text, &bounds))))
}

fn split_rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for (value, head_dim, value_dim, head_rows) in [
        ("vec4<f32>", 64, 64, 8),
        ("vec4<f32>", 128, 128, 16),
        ("vec4<f32>", 512, 512, 16),
        ("f32", 7, 20, 2),
        ("f32", 80, 33, 16),
    ] {
        let (fours, keys) = shape(head_rows, head_dim);
        let spec = KernelSpec::new(SPLIT.name)
            .with_u32("HEAD_DIM", head_dim as u32)
            .with_u32("VALUE_DIM", value_dim)
            .with("Value", Param::Type(value))
            .with_u32("ROW_FOURS", fours as u32)
            .with_u32("KEYS_PER_THREAD", keys as u32);
        rows.push(problem::with_accesses(spec, &["q", "k", "v", "parts"]));
    }
    rows
}

fn merge_rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for (paired, value, value_dim) in
        [(true, "vec4<f32>", 64), (true, "f32", 7), (false, "vec4<f32>", 512), (false, "f32", 33)]
    {
        let spec = KernelSpec::new(MERGE.name)
            .with_bool("PAIRED", paired)
            .with_u32("VALUE_DIM", value_dim)
            .with("Value", Param::Type(value));
        rows.push(problem::with_accesses(spec, &["parts", "out"]));
    }
    rows
}
