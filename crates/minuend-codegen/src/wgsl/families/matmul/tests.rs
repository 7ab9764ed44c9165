//! Which kernels are chosen for which products, and that their texts are valid.

use minuend_ir::ops::Matmul;
use minuend_ir::{DType, Op};
use smallvec::smallvec;

use super::*;
use crate::kernel::{Kernel, Tail};
use crate::wgsl::limits::{CooperativeShape, SubgroupSizes};
use crate::wgsl::place::{Region, TensorPlace};
use crate::wgsl::template::{Dialect, specialise};
use crate::wgsl::validate::validate;

#[test]
fn every_row_is_valid() {
    for template in TEMPLATES {
        for spec in (template.rows)() {
            let source = specialise(&spec, Dialect::Native).unwrap();
            if let Err(error) = validate(&source) {
                panic!("{error}\n{}", source.text);
            }
        }
    }
}

#[test]
fn files_are_valid_as_they_are() {
    for template in TEMPLATES {
        let module = naga::front::wgsl::parse_str(template.source);
        assert!(module.is_ok(), "{}: {:?}", template.name, module.err());
    }
}

/// A product of f32 rows in the arena with a weight, `[n, k]` or, `transpose` false, `[k, n]`.
#[derive(Clone, Copy)]
struct Case {
    lhs: &'static [usize],
    rhs: &'static [usize],
    /// Bytes at which the rhs begins.
    rhs_start: u64,
    dtype: DType,
    transpose: bool,
    is_swiglu: bool,
}

const CASE: Case = Case {
    lhs: &[64, 32],
    rhs: &[96, 32],
    rhs_start: 0,
    dtype: DType::F32,
    transpose: true,
    is_swiglu: false,
};

fn dense(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

fn run(case: Case, limits: &WgslLimits) -> Result<Vec<Dispatch>, ShaderError> {
    let columns = case.rhs[usize::from(!case.transpose)] / (1 + usize::from(case.is_swiglu));
    let mut out = case.lhs.to_vec();
    *out.last_mut().unwrap() = columns;
    let kernel = Kernel {
        op: Op::Matmul(Matmul { transpose_rhs: case.transpose }),
        operands: smallvec![DType::F32, case.dtype],
        results: smallvec![DType::F32],
        tail: if case.is_swiglu { Tail::Swiglu } else { Tail::None },
    };
    let strides = [case.lhs, case.rhs, &out].map(dense);
    let place = |region, dtype, byte_offset, shape, strides| TensorPlace {
        region,
        dtype,
        byte_offset,
        shape,
        strides,
    };
    let operands = [
        place(Region::Arena, DType::F32, 0, case.lhs, &strides[0]),
        place(Region::Weight(0), case.dtype, case.rhs_start, case.rhs, &strides[1]),
    ];
    let results = [place(Region::Arena, DType::F32, 1 << 20, &out, &strides[2])];
    let launch =
        LaunchPlaces { kernel: &kernel, operands: &operands, results: &results, scalars: &[] };
    let found = dispatches(Matmul { transpose_rhs: case.transpose }, &launch, limits)?;
    for dispatch in &found {
        let checked = validate(&specialise(&dispatch.spec, Dialect::Native).unwrap()).unwrap();
        assert!(checked.workgroup_bytes <= limits.max_workgroup_bytes);
        assert!(checked.workgroup_size <= limits.max_workgroup_size);
        let fields = checked.uniforms.iter();
        let fields = fields.flat_map(|field| vec![field.name.as_str(); field.words as usize]);
        assert!(fields.eq(dispatch.uniforms.words.iter().map(|(name, _)| *name)));
        let rows = (template(&dispatch.spec).rows)();
        let params = |spec: &KernelSpec| {
            let mut params = spec.params.to_vec();
            params.retain(|(_, value)| !matches!(value, Param::ReadOnly(_)));
            params
        };
        let listed = rows.iter().any(|row| params(row) == params(&dispatch.spec));
        assert!(listed, "{} is in no row", dispatch.spec.label());
    }
    Ok(found)
}

fn template(spec: &KernelSpec) -> &'static Template {
    TEMPLATES.iter().find(|template| template.name == spec.template).unwrap()
}

fn word(dispatch: &Dispatch, field: &str) -> u32 {
    dispatch.uniforms.words.iter().find(|(name, _)| *name == field).unwrap().1
}

fn number(dispatch: &Dispatch, param: &'static str) -> Param {
    dispatch.spec.param(param).unwrap()
}

fn names(found: &[Dispatch]) -> Vec<&'static str> {
    found.iter().map(|dispatch| dispatch.spec.template).collect()
}

#[test]
fn tiles_shrink_until_there_are_enough_groups() {
    let portable = WgslLimits::portable();
    let tile = |lhs, rhs| {
        let found = run(Case { lhs, rhs, ..CASE }, &portable).unwrap();
        assert_eq!(names(&found), ["matmul_tiled"]);
        (number(&found[0], "TILE_ROWS"), number(&found[0], "TILE_COLUMNS"), found[0].groups)
    };
    assert_eq!(tile(&[2048, 32], &[2048, 32]), (Param::U32(128), Param::U32(128), 256));
    assert_eq!(tile(&[1024, 32], &[1024, 32]), (Param::U32(64), Param::U32(64), 256));
    assert_eq!(tile(&[65, 32], &[65, 32]), (Param::U32(32), Param::U32(64), 6));
    // All rows in front of a weight are rows of one product.
    assert_eq!(tile(&[8, 256, 32], &[2048, 32]), (Param::U32(128), Param::U32(128), 256));
}

#[test]
fn gated_tiles_cover_half_the_columns() {
    let case = Case { rhs: &[192, 32], is_swiglu: true, ..CASE };
    let found = run(case, &WgslLimits::portable()).unwrap();
    assert_eq!(found[0].groups, 2 * 3);
    assert!(found[0].spec.is_set("SWIGLU"));
    let [rhs, up] = ["rhs_offset", "up_offset"].map(|field| word(&found[0], field));
    assert_eq!((rhs, up), (0, 96 * 32));
    assert_eq!((found[0].windows[1].start, found[0].windows[2].start), (0, 0));
}

#[test]
fn few_rows_are_dot_products() {
    let mut limits = WgslLimits::portable();
    let case = Case { lhs: &[3, 1, 64], rhs: &[10, 64], dtype: DType::Bf16, ..CASE };
    let found = run(case, &limits).unwrap();
    assert_eq!(names(&found), ["matmul_few_rows"]);
    assert_eq!(number(&found[0], "ROWS"), Param::U32(4));
    assert_eq!(number(&found[0], "QUADS"), Param::U32(2));
    assert_eq!(number(&found[0], "SUBGROUP"), Param::U32(0));
    assert_eq!(found[0].groups, 2);
    limits.subgroups = Some(SubgroupSizes { min: 32, max: 32 });
    assert_eq!(number(&run(case, &limits).unwrap()[0], "SUBGROUP"), Param::U32(32));
    // Of an unknown size, or of one that no kernel is written for.
    limits.subgroups = Some(SubgroupSizes { min: 8, max: 32 });
    assert_eq!(number(&run(case, &limits).unwrap()[0], "SUBGROUP"), Param::U32(0));
    // More rows, or a weight whose columns are not rows in memory.
    let many = Case { lhs: &[9, 64], ..case };
    assert_eq!(names(&run(many, &limits).unwrap()), ["matmul_tiled"]);
    let plain = Case { rhs: &[64, 10], transpose: false, ..case };
    assert_eq!(names(&run(plain, &limits).unwrap()), ["matmul_tiled"]);
}

#[test]
fn adapters_on_the_cpu_read_memory_directly() {
    let limits = WgslLimits { is_cpu: true, ..WgslLimits::portable() };
    for (lhs, rows) in [(&[1, 32], 1), (&[3, 32], 4), (&[100, 32], 8)] {
        let found = run(Case { lhs, ..CASE }, &limits).unwrap();
        assert_eq!(names(&found), ["matmul_direct"]);
        assert_eq!(number(&found[0], "ROWS"), Param::U32(rows));
    }
    let gated = Case { is_swiglu: true, ..CASE };
    assert_eq!(number(&run(gated, &limits).unwrap()[0], "ROWS"), Param::U32(4));
}

#[test]
fn units_are_as_wide_as_the_alignment_allows() {
    let units = |case: Case| {
        let found = run(case, &WgslLimits::portable()).unwrap();
        (number(&found[0], "LhsUnit"), number(&found[0], "RhsUnit"))
    };
    let types = |lhs, rhs| (Param::Type(lhs), Param::Type(rhs));
    let half = Case { dtype: DType::F16, ..CASE };
    assert_eq!(units(CASE), types("vec4<f32>", "vec4<f32>"));
    assert_eq!(units(half), types("vec4<f32>", "vec2<u32>"));
    // The weight begins within a unit.
    assert_eq!(units(Case { rhs_start: 4, ..CASE }), types("f32", "f32"));
    assert_eq!(units(Case { rhs_start: 8, ..half }), types("vec4<f32>", "vec2<u32>"));
    assert_eq!(units(Case { rhs_start: 2, ..half }), types("f32", "u32"));
    // k, or the columns of a weight [k, n], are no multiple of 4.
    assert_eq!(units(Case { lhs: &[64, 30], rhs: &[96, 30], ..CASE }), types("f32", "f32"));
    let plain = Case { rhs: &[32, 97], transpose: false, ..half };
    assert_eq!(units(plain), types("f32", "u32"));
    assert_eq!(units(Case { rhs: &[32, 100], ..plain }), types("vec4<f32>", "vec2<u32>"));
    // Eight values at once, for few rows.
    let few = Case { lhs: &[1, 32], ..half };
    assert_eq!(units(few), types("vec4<f32>", "vec4<u32>"));
    assert_eq!(units(Case { rhs_start: 8, ..few }), types("vec4<f32>", "vec2<u32>"));
    assert_eq!(
        units(Case { lhs: &[1, 36], rhs: &[96, 36], ..few }),
        types("vec4<f32>", "vec2<u32>")
    );
}

#[test]
fn operands_are_rounded_only_where_the_user_allows() {
    let mut limits = WgslLimits {
        max_workgroup_bytes: 48 << 10,
        f16: true,
        subgroups: Some(SubgroupSizes { min: 32, max: 32 }),
        cooperative_matrix: Some(CooperativeShape { size: 16 }),
        ..WgslLimits::portable()
    };
    assert_eq!(names(&run(CASE, &limits).unwrap()), ["matmul_tiled"]);
    limits.half_products = true;
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let found = run(Case { dtype, ..CASE }, &limits).unwrap();
        assert_eq!(names(&found), ["matmul_cooperative"]);
        assert_eq!(found[0].groups, 1);
    }
    let few = Case { lhs: &[8, 32], ..CASE };
    assert_eq!(names(&run(few, &limits).unwrap()), ["matmul_few_rows"]);
    let small = WgslLimits { max_workgroup_bytes: 16 << 10, ..limits.clone() };
    assert_eq!(names(&run(CASE, &small).unwrap()), ["matmul_tiled"]);
    let unknown = Some(SubgroupSizes { min: 8, max: 32 });
    let unknown = WgslLimits { subgroups: unknown, ..limits };
    assert_eq!(names(&run(CASE, &unknown).unwrap()), ["matmul_tiled"]);
}

#[test]
fn cooperative_tiles_are_wide_where_there_are_enough() {
    let limits = WgslLimits {
        max_workgroup_bytes: 48 << 10,
        f16: true,
        subgroups: Some(SubgroupSizes { min: 32, max: 32 }),
        cooperative_matrix: Some(CooperativeShape { size: 16 }),
        half_products: true,
        ..WgslLimits::portable()
    };
    let tile = |case: Case, limits: &WgslLimits| {
        let found = run(case, limits).unwrap();
        let number = |param| number(&found[0], param);
        (number("TILE_K"), number("MATRIX_COLUMNS"), found[0].groups)
    };
    let large = Case { lhs: &[2048, 32], rhs: &[4096, 32], ..CASE };
    assert_eq!(tile(large, &limits), (Param::U32(32), Param::U32(4), 16 * 16));
    let gated = Case { is_swiglu: true, ..large };
    assert_eq!(tile(gated, &limits), (Param::U32(32), Param::U32(4), 16 * 16));
    let fewer = Case { lhs: &[1920, 32], ..large };
    assert_eq!(tile(fewer, &limits), (Param::U32(64), Param::U32(2), 15 * 32));
    // Neither fits.
    let small = WgslLimits { max_workgroup_bytes: 32 << 10, ..limits };
    assert_eq!(tile(large, &small), (Param::U32(32), Param::U32(2), 16 * 32));
}

/// The weight rows that dispatches read, from their windows: first and behind the last.
fn weight_rows(found: &[Dispatch], window: usize, field: &str, row_bytes: u64) -> Vec<[u64; 2]> {
    let range = |dispatch: &Dispatch| {
        let first = dispatch.windows[window].start + u64::from(word(dispatch, field)) * 4;
        let end = dispatch.windows[window].start + dispatch.windows[window].bytes;
        [first / row_bytes, end / row_bytes]
    };
    found.iter().map(range).collect()
}

#[test]
fn a_weight_too_large_for_a_binding_is_read_in_ranges() {
    let row_bytes = 32 * 4;
    let limits = WgslLimits { max_binding_bytes: 20 << 10, ..WgslLimits::portable() };
    // 158 rows and the alignment fit: a tile's columns of them are a range.
    let case = Case { lhs: &[9, 32], rhs: &[300, 32], rhs_start: 64, ..CASE };
    let found = run(case, &limits).unwrap();
    let rows = weight_rows(&found, 1, "rhs_offset", row_bytes);
    assert_eq!(rows, [[0, 128], [128, 256], [256, 300]]);
    let fields = |field| found.iter().map(|found| word(found, field)).collect::<Vec<u32>>();
    assert_eq!(fields("columns"), [128, 128, 44]);
    assert_eq!(fields("result_offset"), [0, 128, 256]);
    assert_eq!(fields("result_stride"), [300, 300, 300]);
    for window in found.iter().flat_map(|found| &found.windows) {
        assert!(window.bytes <= limits.max_binding_bytes && window.start % 256 == 0);
    }
    // Gate and up are ranges of their own.
    let gated = run(Case { rhs: &[256, 32], is_swiglu: true, ..case }, &limits).unwrap();
    assert_eq!(weight_rows(&gated, 1, "rhs_offset", row_bytes), [[0, 128]]);
    assert_eq!(weight_rows(&gated, 2, "up_offset", row_bytes), [[128, 256]]);
}

#[test]
fn what_cannot_be_bound_in_ranges_is_refused() {
    let limits = WgslLimits { max_binding_bytes: 20 << 10, ..WgslLimits::portable() };
    let too_large = |found: Result<Vec<Dispatch>, ShaderError>| {
        matches!(found, Err(ShaderError::Binding { needed, available })
            if needed > available && available == 20 << 10)
    };
    assert!(too_large(run(Case { rhs: &[32, 300], transpose: false, ..CASE }, &limits)));
    let long = Case { lhs: &[1, 5120], rhs: &[3, 5120], ..CASE };
    assert!(too_large(run(long, &limits)));
    assert_eq!(run(Case { lhs: &[1, 5000], rhs: &[3, 5000], ..CASE }, &limits).unwrap().len(), 3);
}

#[test]
fn an_empty_sum_reads_nothing() {
    let found = run(Case { lhs: &[3, 0], rhs: &[2, 0], ..CASE }, &WgslLimits::portable()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].windows[..3].iter().all(|window| window.data.is_some()));
}
