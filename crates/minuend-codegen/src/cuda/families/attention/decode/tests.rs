use minuend_ir::DType;
use minuend_ir::ops::Mask;

use super::split::{MOST_SPLITS, Split};
use super::works;
use crate::cuda::arch::ARCHES;
use crate::cuda::families::attention::tests::{DECODE, PREFILL, Sizes, checked};
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::Define;
use crate::cuda::{Arch, template};

fn limits(target: &str) -> CudaLimits {
    CudaLimits::typical(Arch::of_target(target).unwrap())
}

/// The kernel of a launch and its scratch memory; `None` if it is left to others.
fn chosen(sizes: Sizes, limits: &CudaLimits) -> Option<(KernelLaunch, u64)> {
    let works = sizes.with(|problem| works(problem, limits)).unwrap()?;
    let scratch = works.scratch_bytes;
    let mut kernels = checked(works);
    assert_eq!(kernels.len(), 1);
    let kernel = kernels.remove(0);
    assert!(kernel.shared_bytes <= limits.arch.shared_bytes, "{}", kernel.spec.label());
    assert!(template(kernel.spec.template).unwrap().needs.met_by(limits.arch));
    Some((kernel, scratch))
}

fn name(sizes: Sizes, target: &str) -> Option<&'static str> {
    chosen(sizes, &limits(target)).map(|(kernel, _)| kernel.spec.template)
}

const BULK: Option<&str> = Some("attention/decode_bulk");
const ASYNC: Option<&str> = Some("attention/decode_async");
const WGMMA: Option<&str> = Some("attention/decode_wgmma");
const SIMT: Option<&str> = Some("attention/decode_simt");

#[test]
fn kernels_are_chosen_by_type_alignment_and_architecture() {
    for (target, tiles) in [("cuda-sm80", ASYNC), ("cuda-sm90a", BULK), ("cuda-sm120a", BULK)] {
        assert_eq!(name(DECODE, target), tiles);
        let many = if target == "cuda-sm90a" { WGMMA } else { tiles };
        assert_eq!(name(Sizes { dtype: DType::F16, queries: 8, ..DECODE }, target), many);
        assert_eq!(name(Sizes { paired: false, dim: 64, value_dim: 64, ..DECODE }, target), tiles);
        assert_eq!(name(Sizes { dim: 80, ..DECODE }, target), ASYNC);
        assert_eq!(name(Sizes { dtype: DType::F32, ..DECODE }, target), SIMT);
        assert_eq!(name(Sizes { key_offset: 2, ..DECODE }, target), SIMT);
        assert_eq!(name(Sizes { value_dim: 33, ..DECODE }, target), SIMT);
        assert_eq!(name(Sizes { value_dim: 300, ..DECODE }, target), None);
        assert_eq!(name(Sizes { queries: 9, ..DECODE }, target), None);
        assert_eq!(name(Sizes { keys: 0, mask: Mask::Full, ..DECODE }, target), None);
        assert_eq!(name(PREFILL, target), None);
    }
}

#[test]
fn every_shape_has_room_on_every_architecture() {
    for arch in ARCHES {
        let limits = CudaLimits::typical(arch);
        for dim in [16, 64, 96, 128, 192, 256] {
            for queries in [1, 2, 3, 4, 8] {
                for paired in [false, true] {
                    let sizes = Sizes { dim, value_dim: dim, queries, paired, ..DECODE };
                    let (kernel, _) = chosen(sizes, &limits).unwrap();
                    assert_ne!(
                        Some(kernel.spec.template),
                        SIMT,
                        "{sizes:?} on {}",
                        arch.compiler_name
                    );
                }
            }
        }
    }
}

#[test]
fn one_kernel_serves_a_generation() {
    let limits = limits("cuda-sm90a");
    for queries in [1, 4] {
        let sizes = Sizes { queries, ..DECODE };
        let (first, _) = chosen(Sizes { keys: 4, ..sizes }, &limits).unwrap();
        for keys in [5, 17, 1000, 8192, 12288] {
            let (kernel, scratch) = chosen(Sizes { keys, ..sizes }, &limits).unwrap();
            assert_eq!(kernel.spec, first.spec);
            let [splits, kv_heads, batch] = kernel.grid;
            assert_eq!([kv_heads, batch, splits % kernel.cluster], [4, 2, 0]);
            let results = splits / kernel.cluster;
            let rows = u64::from(results * kv_heads * batch) * 8 * queries as u64;
            assert_eq!(scratch, if results == 1 { 0 } else { rows * (128 + 1) * 4 });
        }
    }
}

#[test]
fn clusters_serve_short_caches_and_many_rows() {
    let cluster = |batch: usize, queries: usize, keys: usize| {
        let sizes = Sizes { batch, queries, keys, kv_heads: 8, ..DECODE };
        let (kernel, _) = chosen(sizes, &limits("cuda-sm90a")).unwrap();
        (kernel.cluster, kernel.grid[0])
    };
    assert_eq!(cluster(1, 1, 100), (8, 8));
    assert_eq!(cluster(1, 8, 8192), (8, 8));
    assert_eq!(cluster(1, 1, 65536), (1, 16));
    assert_eq!(cluster(1, 8, 65536), (2, 16));
    assert_eq!(cluster(8, 1, 8192), (2, 2));
    assert_eq!(cluster(5, 8, 8192), (1, 3));
    assert_eq!(cluster(32, 8, 8192), (1, 1));
    let (kernel, _) = chosen(DECODE, &limits("cuda-sm80")).unwrap();
    assert_eq!(kernel.cluster, 1);
}

#[test]
fn splits_cover_what_is_seen() {
    let masks = [Mask::Full, Mask::Causal, Mask::SlidingWindow { window: 100 }];
    for mask in masks {
        for (keys, queries) in [(1, 1), (15, 4), (64, 1), (1000, 3), (8191, 8), (131072, 1)] {
            for blocks in [1, 7, 66, 100, 132, 1000] {
                let sizes = Sizes { keys, queries, mask, ..DECODE };
                let Split { first_key, chunk, splits, .. } =
                    sizes.with(|problem| Split::of(problem, blocks, 132, 16, 1));
                let paired = sizes.with(|problem| Split::of(problem, blocks, 132, 16, 2));
                assert!(paired.splits.is_multiple_of(2) && paired.splits <= MOST_SPLITS);
                assert!(paired.first_key + (paired.splits - 2) * paired.chunk < keys);
                assert!(paired.first_key + paired.splits * paired.chunk >= keys);
                assert!(first_key.is_multiple_of(16) && chunk.is_multiple_of(16));
                assert!(splits <= MOST_SPLITS);
                // No part is empty, and together they reach the last key.
                assert!(first_key + (splits - 1) * chunk < keys);
                assert!(first_key + splits * chunk >= keys);
                let window = match mask {
                    Mask::SlidingWindow { window } => window as usize,
                    Mask::Full | Mask::Causal => keys,
                };
                assert!(first_key <= (keys - queries + 1).saturating_sub(window));
                assert!(mask == Mask::Full || first_key + 16 + window + queries > keys);
            }
        }
    }
}

#[test]
fn a_device_is_filled_once_or_well() {
    let splits = |blocks: usize, keys: usize| {
        let sizes = Sizes { keys, ..DECODE };
        sizes.with(|problem| Split::of(problem, blocks, 132, 16, 1)).splits
    };
    assert_eq!(splits(8, 1024), 16);
    assert_eq!(splits(8, 131072), 16);
    assert_eq!(splits(8, 640), 10);
    assert_eq!(splits(1, 131072), 128);
    assert_eq!(splits(128, 32768), 1);
    assert_eq!(splits(256, 8192), 1);
    // Five waves of parts leave 5 % of the device idle where one leaves a quarter.
    assert_eq!(splits(100, 32768), 5);
    assert_eq!(splits(100, 1024), 1);
}

#[test]
fn arguments_of_a_window_and_of_an_odd_model() {
    let mask = Mask::SlidingWindow { window: 100 };
    let (kernel, _) = chosen(Sizes { mask, ..DECODE }, &limits("cuda-sm90a")).unwrap();
    let arg = |name| kernel.args.iter().find(|arg| arg.0 == name).map(|arg| arg.1.clone());
    assert_eq!(arg("first_key"), Some(Arg::Int(896)));
    assert_eq!(arg("reach"), Some(Arg::Int(999)));
    assert_eq!(arg("window"), Some(Arg::Int(100)));
    // 12 rows in blocks of 4.
    let sizes = Sizes { dtype: DType::F32, dim: 256, heads: 24, queries: 1, ..DECODE };
    let (kernel, _) = chosen(sizes, &limits("cuda-sm80")).unwrap();
    assert_eq!(kernel.spec.define("ROWS"), Some(Define::Int(4)));
    assert_eq!(kernel.grid[1], 3 * 4);
}
