use super::*;
use crate::cuda::families::attention::tests::{
    NOT_BY_COPY_ENGINE, PREFILL, Sizes, one, tensor_map, value,
};
use crate::cuda::{ARCHES, Arch};

fn limits() -> CudaLimits {
    CudaLimits::typical(Arch::of_capability(9, 0).unwrap())
}

fn launch(sizes: Sizes) -> Option<KernelLaunch> {
    one(sizes.with(|problem| works(problem, &limits())).unwrap())
}

#[test]
fn every_choice_is_a_row() {
    let rows: Vec<String> = rows().iter().map(KernelSpec::label).collect();
    for dim in [64, 128, 256] {
        for (paired, heads, kv_heads) in [
            (true, 8, 4),
            (true, 4, 4),
            (false, 16, 4),
            (false, 8, 4),
            (false, 4, 4),
            (false, 12, 4),
        ] {
            for mask in [Mask::Full, Mask::Causal, Mask::SlidingWindow { window: 100 }] {
                let value_dim = dim;
                let sizes = Sizes { paired, heads, kv_heads, dim, value_dim, mask, ..PREFILL };
                let launch = launch(sizes).unwrap();
                assert!(rows.contains(&launch.spec.label()), "{}", launch.spec.label());
                assert!(launch.shared_bytes <= 227 << 10);
                assert!(launch.grid[0].is_multiple_of(launch.cluster));
            }
        }
    }
}

#[test]
fn blocks_stay_and_take_tiles() {
    // 16 units of a batch are 8 pairs of blocks; tiles of 64 tokens.
    let launch = launch(PREFILL).unwrap();
    assert_eq!((launch.grid, launch.cluster, launch.threads), ([132, 1, 1], 2, 384));
    assert_eq!(value(&launch, "row_tiles"), &Arg::Int(64));
    assert_eq!(value(&launch, "units"), &Arg::Int(8));
    assert_eq!(value(&launch, "all_units"), &Arg::Int(16));
    // A head's keys and values are 2 MiB: all of them are one section.
    assert_eq!(value(&launch, "section"), &Arg::Int(16));
    assert_eq!(value(&launch, "group_units"), &Arg::Int(4));
    assert_eq!(value(&launch, "query_heads"), &Arg::Int(32));
    assert_eq!(value(&launch, "reach"), &Arg::Int(0));

    let few = super::tests::launch(Sizes { queries: 65, batch: 1, ..PREFILL }).unwrap();
    assert_eq!((few.grid, value(&few, "row_tiles")), ([32, 1, 1], &Arg::Int(2)));
    assert_eq!(value(&few, "reach"), &Arg::Int(4096 - 65));
}

#[test]
fn sections_keep_keys_in_the_cache() {
    let full = Sizes { mask: Mask::Full, keys: 8192, ..PREFILL };
    // A head's keys and values are 4 MiB; its units are 2 pairs of blocks.
    assert_eq!(value(&launch(full).unwrap(), "section"), &Arg::Int(5 * 2));
    let long = Sizes { keys: 1 << 20, ..full };
    assert_eq!(value(&launch(long).unwrap(), "section"), &Arg::Int(2));
}

#[test]
fn maps_are_of_the_tensors_as_they_lie() {
    let packed = Sizes { q_token: 40 * 128 + 16, ..PREFILL };
    let launched = launch(packed).unwrap();
    let q = tensor_map(&launched, "q_map");
    let token = (40 * 128 + 16) * 2;
    assert_eq!(q.sizes.as_slice(), [128, 4096, 32, 2]);
    assert_eq!(q.strides.as_slice(), [token, 256, 4096 * token]);
    assert_eq!(q.tile.as_slice(), [64, 8, 2, 1]);
    let k = tensor_map(&launched, "k_map");
    assert_eq!(k.strides.as_slice(), [256, 8192 * 256, 4 * 8192 * 256]);
    assert_eq!(k.tile.as_slice(), [64, 64, 1, 1]);
    assert_eq!(tensor_map(&launched, "out_map").tile.as_slice(), [64, 32, 1, 1]);

    let pair = launch(Sizes { paired: false, ..PREFILL }).unwrap();
    assert_eq!(tensor_map(&pair, "out_map").tile.as_slice(), [64, 32, 2, 1]);
    assert_eq!(value(&pair, "lambda"), &Arg::Null);
    let single = launch(Sizes { paired: false, heads: 4, ..PREFILL }).unwrap();
    assert_eq!(tensor_map(&single, "q_map").tile.as_slice(), [64, 16, 1, 1]);
    assert_eq!(tensor_map(&single, "out_map").tile.as_slice(), [64, 64, 1, 1]);
    // An axis of one has no stride that counts.
    let one = launch(Sizes { batch: 1, queries: 1, q_token: 12345, ..PREFILL }).unwrap();
    assert_eq!(tensor_map(&one, "q_map").strides.as_slice(), [16, 256, 16]);
}

#[test]
fn the_rest_is_left_to_other_kernels() {
    for sizes in NOT_BY_COPY_ENGINE {
        assert_eq!(launch(sizes), None, "{sizes:?}");
    }
    for arch in ARCHES.iter().filter(|arch| !arch.has_wgmma) {
        let works = PREFILL.with(|problem| works(problem, &CudaLimits::typical(arch))).unwrap();
        assert_eq!(works, None);
    }
    let without = CudaLimits { use_wgmma: false, ..limits() };
    assert_eq!(PREFILL.with(|problem| works(problem, &without)).unwrap(), None);
}
