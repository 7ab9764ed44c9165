use minuend_ir::ops::{HeadPairing, Mask};
use minuend_ir::{DType, Op, Real};
use smallvec::smallvec;

use super::*;
use crate::kernel::{Kernel, Tail};
use crate::wgsl::limits::{CooperativeShape, SubgroupSizes};
use crate::wgsl::place::{Region, TensorPlace};
use crate::wgsl::template::{Dialect, Features, KernelSource, Param, specialise};
use crate::wgsl::validate::validate;

/// Sizes of a launch over dense tensors, q and the result token-major.
#[derive(Clone, Copy)]
struct Sizes {
    paired: bool,
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    dim: usize,
    value_dim: usize,
    mask: Mask,
    /// Byte offset of the keys.
    key_offset: u64,
}

const PREFILL: Sizes = Sizes {
    paired: true,
    batch: 2,
    heads: 4,
    kv_heads: 2,
    queries: 100,
    keys: 120,
    dim: 64,
    value_dim: 64,
    mask: Mask::Causal,
    key_offset: 0,
};
const DECODE: Sizes = Sizes { queries: 1, keys: 1000, ..PREFILL };

impl Sizes {
    fn select(self, limits: &WgslLimits) -> Result<Vec<Dispatch>, ShaderError> {
        let Sizes { batch, heads, kv_heads, queries, keys, dim, value_dim, mask, .. } = self;
        let q_heads = if self.paired { 2 * heads } else { heads };
        let scale = Real::new(0.125);
        let op = if self.paired {
            Op::DiffAttention(DiffAttention { pairing: HeadPairing::Interleaved, mask, scale })
        } else {
            Op::Attention(Attention { mask, scale })
        };
        let kernel = Kernel {
            op,
            operands: smallvec![DType::F32; if self.paired { 4 } else { 3 }],
            results: smallvec![DType::F32],
            tail: Tail::None,
        };
        let place = |region, byte_offset, shape: &'static [usize], strides: &'static [usize]| {
            TensorPlace { region, dtype: DType::F32, byte_offset, shape, strides }
        };
        // Leaked so that views of them need no names.
        let list = |values: [usize; 4]| -> &'static [usize] { Box::leak(Box::new(values)) };
        let token_major = |heads: usize, dim: usize| {
            (list([batch, heads, queries, dim]), list([queries * heads * dim, dim, heads * dim, 1]))
        };
        let head_major = |dim: usize| {
            (list([batch, kv_heads, keys, dim]), list([kv_heads * keys * dim, keys * dim, dim, 1]))
        };
        let (q, k, v) = (token_major(q_heads, dim), head_major(dim), head_major(value_dim));
        let (lambda, out) = (token_major(heads, 1), token_major(heads, value_dim));
        let operands = [
            place(Region::Arena, 4096, q.0, q.1),
            place(Region::State(0), self.key_offset, k.0, k.1),
            place(Region::State(1), 0, v.0, v.1),
            place(Region::Arena, 1 << 20, lambda.0, lambda.1),
        ];
        let launch = LaunchPlaces {
            kernel: &kernel,
            operands: &operands[..kernel.operands.len()],
            results: &[place(Region::Arena, 0, out.0, out.1)],
            scalars: &[],
        };
        crate::wgsl::dispatches(&launch, limits)
    }

    /// The selection, of which every text is valid and fits its uniforms and bindings.
    fn checked(self, limits: &WgslLimits) -> Vec<Dispatch> {
        let dispatches = self.select(limits).unwrap();
        for dispatch in &dispatches {
            let source = specialise(&dispatch.spec, Dialect::Native).unwrap();
            let checked = validate(&source).unwrap();
            let fields = checked.uniforms.iter().map(|field| field.name.as_str());
            let words: Vec<&str> = dispatch.uniforms.words.iter().map(|word| word.0).collect();
            assert!(fields.eq(words.iter().copied()), "{}: {words:?}", source.label);
            assert!(checked.workgroup_bytes <= limits.max_workgroup_bytes, "{}", source.label);
            assert!(checked.workgroup_size <= limits.max_workgroup_size);
            assert!(dispatch.windows.len() <= limits.max_storage_buffers as usize);
            let bindings = source.text.matches("var<storage").count();
            assert_eq!(bindings, dispatch.windows.len(), "{}", source.label);
        }
        dispatches
    }
}

fn templates(dispatches: &[Dispatch]) -> Vec<&'static str> {
    dispatches.iter().map(|dispatch| dispatch.spec.template).collect()
}

fn word(dispatch: &Dispatch, name: &str) -> Option<u32> {
    dispatch.uniforms.words.iter().find(|word| word.0 == name).map(|word| word.1)
}

#[test]
fn every_row_is_valid() {
    for template in TEMPLATES {
        for spec in (template.rows)() {
            let source = specialise(&spec, Dialect::Native).unwrap();
            validate(&source).unwrap();
        }
        // The file as it lies.
        let is_cooperative = template.source.contains("enable wgpu_cooperative_matrix;");
        let needs = Features {
            f16: is_cooperative,
            subgroups: is_cooperative,
            cooperative_matrix: is_cooperative,
        };
        let (label, text) = (template.file.to_string(), template.source.to_string());
        validate(&KernelSource { label, text, needs }).unwrap();
    }
}

#[test]
fn many_queries_take_whole_rows() {
    let portable = WgslLimits::portable();
    let prefill = PREFILL.checked(&portable);
    assert_eq!(templates(&prefill), ["attention_prefill"]);
    // 64 rows are 32 positions of both streams: 4 tiles, of 4 heads in 2 batches.
    assert_eq!(prefill[0].groups, 4 * 4 * 2);
    let single = Sizes { paired: false, ..PREFILL }.checked(&portable);
    assert_eq!((single[0].groups, single[0].windows.len()), (2 * 4 * 2, 4));

    let cpu = WgslLimits { is_cpu: true, ..portable };
    let direct = PREFILL.checked(&cpu);
    assert_eq!(templates(&direct), ["attention_direct"]);
    assert_eq!(direct[0].groups, 7 * 4 * 2);
    // Too large to be unrolled.
    let large = Sizes { dim: 256, value_dim: 256, ..PREFILL }.checked(&cpu);
    assert_eq!(templates(&large), ["attention_prefill"]);
    // Two slices of 128 value columns.
    assert_eq!(large[0].groups, 4 * 4 * 2 * 2);
}

#[test]
fn cooperative_matrices_need_leave_to_round() {
    let exact = WgslLimits {
        max_workgroup_bytes: 48 << 10,
        f16: true,
        subgroups: Some(SubgroupSizes { min: 32, max: 32 }),
        cooperative_matrix: Some(CooperativeShape { size: 16 }),
        ..WgslLimits::portable()
    };
    let half = WgslLimits { half_products: true, ..exact.clone() };
    let name = |sizes: Sizes, limits: &WgslLimits| templates(&sizes.checked(limits));
    assert_eq!(name(PREFILL, &exact), ["attention_prefill"]);
    let cooperative = PREFILL.checked(&half);
    assert_eq!(templates(&cooperative), ["attention_cooperative"]);
    // 64 positions of both streams: 2 tiles.
    assert_eq!(cooperative[0].groups, 2 * 4 * 2);
    assert_eq!(cooperative[0].spec.param("KEYS"), Some(Param::U32(16)));
    let wide = Sizes { dim: 128, value_dim: 128, ..PREFILL };
    assert_eq!(wide.checked(&half)[0].spec.param("KEYS"), Some(Param::U32(32)));
    let single = Sizes { paired: false, dim: 80, value_dim: 16, ..PREFILL };
    assert_eq!(name(single, &half), ["attention_cooperative"]);

    // Sizes, places and adapters that matrices do not fit.
    for sizes in [
        Sizes { dim: 72, ..PREFILL },
        Sizes { value_dim: 20, ..PREFILL },
        Sizes { dim: 144, ..PREFILL },
        Sizes { key_offset: 4, ..PREFILL },
    ] {
        assert_eq!(name(sizes, &half), ["attention_prefill"]);
    }
    let varying = SubgroupSizes { min: 16, max: 32 };
    for limits in [
        WgslLimits { f16: false, ..half.clone() },
        WgslLimits { subgroups: Some(varying), ..half.clone() },
        WgslLimits { subgroups: None, ..half.clone() },
        WgslLimits { cooperative_matrix: None, ..half.clone() },
    ] {
        assert_eq!(name(PREFILL, &limits), ["attention_prefill"]);
    }
    let small = WgslLimits { max_workgroup_bytes: 16 << 10, ..half.clone() };
    assert_eq!(name(wide, &small), ["attention_prefill"]);
    assert_eq!(name(DECODE, &half), ["attention_split", "attention_merge"]);

    let software = WgslLimits {
        max_workgroup_bytes: 32 << 10,
        subgroups: Some(SubgroupSizes { min: 8, max: 8 }),
        cooperative_matrix: Some(CooperativeShape { size: 8 }),
        ..half
    };
    assert_eq!(name(PREFILL, &software), ["attention_cooperative"]);
}

#[test]
fn few_queries_split_the_keys() {
    let portable = WgslLimits::portable();
    let decode = DECODE.checked(&portable);
    assert_eq!(templates(&decode), ["attention_split", "attention_merge"]);
    // 1000 keys are 4 splits of 256; 4 rows for each K/V head.
    assert_eq!(decode[0].groups, 4 * 2 * 2);
    assert_eq!(decode[0].spec.param("ROW_FOURS"), Some(Param::U32(1)));
    assert_eq!(decode[1].groups, 2 * 4);
    // 8 query heads of 2 batches, 4 splits, 17 vec4.
    let scratch = decode[0].windows.last().unwrap();
    assert_eq!((scratch.region, scratch.bytes), (Region::Scratch, 4 * 16 * 17 * 16));
    assert_eq!(decode[1].windows.first(), Some(scratch));

    let widest = Sizes { queries: 4, dim: 512, value_dim: 512, ..DECODE }.checked(&portable);
    assert_eq!(widest[0].spec.param("ROW_FOURS"), Some(Param::U32(1)));
    assert_eq!(word(&widest[0], "row_blocks"), Some(4));
    let wider = Sizes { dim: 513, ..DECODE }.checked(&portable);
    assert_eq!(templates(&wider), ["attention_prefill"]);
}

#[test]
fn a_growing_cache_keeps_pipelines_and_windows() {
    let portable = WgslLimits::portable();
    let specs = |keys| {
        let dispatches = Sizes { keys, ..DECODE }.checked(&portable);
        dispatches.into_iter().map(|dispatch| dispatch.spec).collect::<Vec<_>>()
    };
    assert!((2..40).chain([127, 128, 129, 5000]).all(|keys| specs(keys) == specs(1)));
    let starts = |keys| {
        let windows = Sizes { keys, ..DECODE }.checked(&portable).remove(0).windows;
        windows.iter().map(|window| window.start).collect::<Vec<_>>()
    };
    assert_eq!(starts(300), starts(301));
}

#[test]
fn a_window_leaves_out_keys_before_it() {
    let windowed = Sizes { mask: Mask::SlidingWindow { window: 64 }, ..DECODE };
    let dispatches = windowed.checked(&WgslLimits::portable());
    // Keys 936.. are in the last split.
    assert_eq!(word(&dispatches[0], "first_key"), Some(768));
    assert_eq!(dispatches[0].groups, 2 * 2);
    let all = Sizes { mask: Mask::SlidingWindow { window: u32::MAX }, ..DECODE };
    assert_eq!(word(&all.checked(&WgslLimits::portable())[0], "first_key"), Some(0));
}

#[test]
fn vectors_need_aligned_tensors() {
    let value = |sizes: Sizes| {
        let dispatches = sizes.checked(&WgslLimits::portable());
        let values = dispatches.iter().map(|dispatch| dispatch.spec.param("Value"));
        let values: Vec<_> = values.collect();
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
        values[0]
    };
    for sizes in [PREFILL, DECODE] {
        assert_eq!(value(sizes), Some(Param::Type("vec4<f32>")));
        let scalar = Some(Param::Type("f32"));
        assert_eq!(value(Sizes { key_offset: 4, ..sizes }), scalar);
        assert_eq!(value(Sizes { dim: 66, ..sizes }), scalar);
        assert_eq!(value(Sizes { value_dim: 7, ..sizes }), scalar);
    }
}

#[test]
fn no_keys_give_zeros_without_a_binding_on_nothing() {
    let sizes = Sizes { keys: 0, mask: Mask::Full, ..DECODE };
    let dispatches = sizes.checked(&WgslLimits::portable());
    assert_eq!(templates(&dispatches), ["attention_prefill"]);
    assert!(dispatches[0].windows.iter().all(|window| window.bytes > 0));
}

#[test]
fn scratch_beyond_the_largest_binding_is_refused() {
    let limits = WgslLimits { max_binding_bytes: 8 << 20, ..WgslLimits::portable() };
    let sizes = Sizes { batch: 64, keys: 10, ..DECODE };
    assert!(sizes.select(&limits).is_ok());
    let error = Sizes { queries: 4, value_dim: 512, batch: 400, ..sizes }.select(&limits);
    assert!(matches!(error, Err(ShaderError::Binding { .. })), "{error:?}");
}
