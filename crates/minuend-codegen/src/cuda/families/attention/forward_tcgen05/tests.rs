use super::*;
use crate::cuda::families::attention::tests::{
    NOT_BY_COPY_ENGINE, PREFILL, Sizes, checked, one, tensor_map, value,
};
use crate::cuda::families::attention::{forward_mma, works as chosen};
use crate::cuda::launch::Arg;
use crate::cuda::tensor_map::Swizzle;
use crate::cuda::{ARCHES, Arch};

fn limits() -> CudaLimits {
    CudaLimits::typical(Arch::of_capability(10, 0).unwrap())
}

fn launch(sizes: Sizes) -> Option<KernelLaunch> {
    one(sizes.with(|problem| works(problem, &limits())).unwrap())
}

#[test]
fn every_choice_is_a_row() {
    let mut rows: Vec<String> = rows().iter().map(KernelSpec::label).collect();
    // One row stands for the other layouts in f16.
    let halves: Vec<String> = rows.iter().map(|row| row.replace("bf16", "f16")).collect();
    rows.extend(halves);
    for dim in [64, 128] {
        for (paired, heads, kv_heads) in
            [(true, 8, 4), (true, 4, 4), (false, 16, 4), (false, 4, 4), (false, 12, 4)]
        {
            for mask in [Mask::Full, Mask::Causal, Mask::SlidingWindow { window: 100 }] {
                for dtype in [DType::Bf16, DType::F16] {
                    let value_dim = dim;
                    let sizes =
                        Sizes { paired, heads, kv_heads, dim, value_dim, mask, dtype, ..PREFILL };
                    let launch = launch(sizes).unwrap();
                    assert!(rows.contains(&launch.spec.label()), "{}", launch.spec.label());
                    assert_eq!((launch.threads, launch.cluster), (512, 1));
                    assert!(launch.shared_bytes <= 227 << 10);
                }
            }
        }
    }
}

#[test]
fn the_default_is_a_choice() {
    // What the file says of shared memory without -D.
    let tuning = Tuning::of(128).unwrap();
    let default = format!("#define SHARED_BYTES {}\n", tuning.shared_bytes());
    assert!(TEMPLATE.source.contains(&default), "{default}");
}

#[test]
fn blocks_stay_and_take_tiles() {
    // 16 pairs of heads in two batches; tiles of 128 tokens.
    let launched = launch(PREFILL).unwrap();
    assert_eq!(launched.grid, [148, 1, 1]);
    assert_eq!(value(&launched, "row_tiles"), &Arg::Int(32));
    assert_eq!(value(&launched, "units"), &Arg::Int(16));
    assert_eq!(value(&launched, "all_units"), &Arg::Int(32));
    assert_eq!(value(&launched, "group_units"), &Arg::Int(4));
    assert_eq!(value(&launched, "query_heads"), &Arg::Int(32));
    assert_eq!(value(&launched, "reach"), &Arg::Int(0));
    // Never more blocks than tiles.
    let few = launch(Sizes { queries: 129, batch: 1, ..PREFILL }).unwrap();
    assert_eq!((few.grid, value(&few, "row_tiles")), ([32, 1, 1], &Arg::Int(2)));
    assert_eq!(value(&few, "reach"), &Arg::Int(4096 - 129));
    // A head alone fills both stages with 256 tokens.
    let single = Sizes { paired: false, heads: 4, queries: 257, ..PREFILL };
    assert_eq!(value(&launch(single).unwrap(), "row_tiles"), &Arg::Int(2));
}

#[test]
fn maps_are_of_the_tensors_as_they_lie() {
    for (paired, heads) in [(true, 16), (false, 16), (false, 4)] {
        let packed = Sizes { paired, heads, q_token: 40 * 128 + 16, ..PREFILL };
        let launched = launch(packed).unwrap();
        let q_heads = if paired { 2 * heads } else { heads };
        let q = tensor_map(&launched, "q_map");
        let token = (40 * 128 + 16) * 2;
        assert_eq!(q.sizes.as_slice(), [128, 4096, q_heads as u64, 2]);
        assert_eq!(q.strides.as_slice(), [token, 256, 4096 * token]);
        let k = tensor_map(&launched, "k_map");
        assert_eq!(k.sizes.as_slice(), [128, 4096, 4, 2]);
        assert_eq!(k.strides.as_slice(), [256, 8192 * 256, 4 * 8192 * 256]);
        let v = tensor_map(&launched, "v_map");
        assert_eq!((&v.sizes, &v.strides, &v.tile), (&k.sizes, &k.strides, &k.tile));
        let out = tensor_map(&launched, "out_map");
        assert_eq!(out.sizes.as_slice(), [128, 4096, heads as u64, 2]);
        assert_eq!(out.strides.as_slice(), [heads as u64 * 256, 256, heads as u64 * 4096 * 256]);
        // Boxes are the same for every layout: 128 rows of queries or keys of a head, a warp's rows of the
        // result. What a barrier expects is counted in chunks of the first two.
        for (map, rows) in [(q, 128), (k, 128), (v, 128), (out, 32)] {
            assert_eq!(map.tile.as_slice(), [64, rows, 1, 1]);
            assert_eq!(map.swizzle, Swizzle::Bytes128);
            assert_eq!(map.dtype, DType::Bf16);
            assert!(map.is_valid());
        }
    }
}

#[test]
fn the_rest_is_left_to_other_kernels() {
    let wide = Sizes { dim: 256, value_dim: 256, ..PREFILL };
    for sizes in NOT_BY_COPY_ENGINE.into_iter().chain([wide]) {
        assert_eq!(launch(sizes), None, "{sizes:?}");
    }
}

/// The first kernel of a launch.
fn name(sizes: Sizes, limits: &CudaLimits) -> &'static str {
    let works = sizes.with(|problem| chosen(problem, limits)).unwrap();
    checked(works)[0].spec.template
}

#[test]
fn an_architecture_gets_the_best_that_it_has() {
    for arch in ARCHES {
        let expected = match arch.compiler_name {
            "sm_100a" | "sm_103a" => TEMPLATE.name,
            "sm_90a" => "attention/forward_wgmma",
            _ => forward_mma::TEMPLATE.name,
        };
        assert_eq!(name(PREFILL, &CudaLimits::typical(arch)), expected, "{}", arch.target);
    }
    // Decode has kernels of its own, and a refused variant leaves the instructions of warps.
    let decode = name(Sizes { queries: 1, ..PREFILL }, &limits());
    assert_eq!(decode, "attention/decode_bulk");
    let without = CudaLimits { use_tcgen05: false, ..limits() };
    assert_eq!(name(PREFILL, &without), forward_mma::TEMPLATE.name);
}
