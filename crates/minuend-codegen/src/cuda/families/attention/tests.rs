//! Launches of made-up sizes, for the tests of every kernel of the family.

use minuend_ir::ops::{HeadPairing, Mask};
use minuend_ir::{DType, Op, Real};
use smallvec::smallvec;

use super::*;
use crate::cuda::launch::{Arg, KernelLaunch, Work};
use crate::cuda::tensor_map::TensorMap;
use crate::kernel::{Kernel, Tail};
use crate::place::{Region, TensorPlace};

/// Sizes of a launch: q, lambda and the result token-major, keys and values in caches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Differential attention, with `lambda`.
    pub(super) paired: bool,
    pub(super) dtype: DType,
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// Tokens between two heads of a cache.
    pub(super) capacity: usize,
    pub(super) dim: usize,
    pub(super) value_dim: usize,
    pub(super) mask: Mask,
    /// Elements between tokens of q; 0 for dense ones.
    pub(super) q_token: usize,
    /// Byte offset of the keys.
    pub(super) key_offset: u64,
}

pub(super) const PREFILL: Sizes = Sizes {
    paired: true,
    dtype: DType::Bf16,
    batch: 2,
    heads: 16,
    kv_heads: 4,
    queries: 4096,
    keys: 4096,
    capacity: 8192,
    dim: 128,
    value_dim: 128,
    mask: Mask::Causal,
    q_token: 0,
    key_offset: 0,
};

/// Launches that no kernel takes whose tiles the copy engine moves.
pub(super) const NOT_BY_COPY_ENGINE: [Sizes; 7] = [
    Sizes { dtype: DType::F32, ..PREFILL },
    Sizes { dim: 96, value_dim: 96, ..PREFILL },
    Sizes { value_dim: 64, ..PREFILL },
    Sizes { key_offset: 8, ..PREFILL },
    Sizes { q_token: 32 * 128 + 4, ..PREFILL },
    Sizes { keys: 0, mask: Mask::Full, ..PREFILL },
    Sizes { queries: 1 << 31, keys: 1 << 31, capacity: 1 << 31, ..PREFILL },
];

pub(super) const DECODE: Sizes = Sizes { queries: 1, keys: 1000, ..PREFILL };

impl Sizes {
    /// What `select` makes of the launch.
    pub(super) fn with<T>(self, select: impl FnOnce(&Problem<'_>) -> T) -> T {
        self.launch(|launch| {
            let problem = match launch.kernel.op {
                Op::DiffAttention(op) => Problem::of(launch, op.attention(), true),
                Op::Attention(op) => Problem::of(launch, op, false),
                _ => unreachable!(),
            };
            select(&problem.unwrap())
        })
    }

    fn launch<T>(self, run: impl FnOnce(&LaunchPlaces<'_>) -> T) -> T {
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
            operands: smallvec![self.dtype; if self.paired { 4 } else { 3 }],
            results: smallvec![self.dtype],
            tail: Tail::None,
        };
        let dense = |heads: usize, dim: usize| [queries * heads * dim, dim, heads * dim, 1];
        let q_token = if self.q_token == 0 { q_heads * dim } else { self.q_token };
        let cache = |dim: usize| [kv_heads * self.capacity * dim, self.capacity * dim, dim, 1];
        let shapes = [
            [batch, q_heads, queries, dim],
            [batch, kv_heads, keys, dim],
            [batch, kv_heads, keys, value_dim],
            [batch, heads, queries, 1],
            [batch, heads, queries, value_dim],
        ];
        let strides = [
            [queries * q_token, dim, q_token, 1],
            cache(dim),
            cache(value_dim),
            dense(heads, 1),
            dense(heads, value_dim),
        ];
        let places = [
            (Region::Arena, 1 << 30),
            (Region::State(0), self.key_offset),
            (Region::State(1), 0),
            (Region::Arena, 1 << 20),
            (Region::Arena, 0),
        ];
        let tensors: [TensorPlace<'_>; 5] = std::array::from_fn(|index| {
            let (region, byte_offset) = places[index];
            let (shape, strides) = (&shapes[index], &strides[index]);
            TensorPlace { region, dtype: self.dtype, byte_offset, shape, strides }
        });
        run(&LaunchPlaces {
            kernel: &kernel,
            operands: &tensors[..kernel.operands.len()],
            results: &tensors[4..],
            scalars: &[],
        })
    }
}

/// The kernels, each with arguments that its file takes.
pub(super) fn checked(works: Works) -> Vec<KernelLaunch> {
    let kernels = works.steps.into_iter().map(|step| match step {
        Work::Kernel(kernel) => *kernel,
        Work::Product(product) => panic!("{product:?}"),
    });
    let kernels: Vec<_> = kernels.collect();
    kernels.iter().for_each(|kernel| kernel.check().unwrap());
    kernels
}

/// The one kernel of a launch, which needs no scratch memory.
pub(super) fn one(works: Option<Works>) -> Option<KernelLaunch> {
    let works = works?;
    assert_eq!(works.scratch_bytes, 0);
    checked(works).pop()
}

/// An argument of a launch.
pub(super) fn value<'l>(launch: &'l KernelLaunch, name: &str) -> &'l Arg {
    &launch.args.iter().find(|arg| arg.0 == name).unwrap().1
}

/// The same, of one that is a tensor map.
pub(super) fn tensor_map<'l>(launch: &'l KernelLaunch, name: &str) -> &'l TensorMap {
    match value(launch, name) {
        Arg::TensorMap(map) => map,
        other => panic!("{other:?}"),
    }
}

#[test]
fn strides_of_axes_of_one_do_not_count() {
    // The tokens of one query are as far apart as one likes.
    let sizes = Sizes { queries: 1, q_token: 12345, batch: 1, ..PREFILL };
    assert!(sizes.with(|problem| problem.moves_by(16)));
    assert!(!Sizes { queries: 2, ..sizes }.with(|problem| problem.moves_by(2 * 16)));
    assert!(!Sizes { key_offset: 8, ..PREFILL }.with(|problem| problem.moves_by(16)));
}
