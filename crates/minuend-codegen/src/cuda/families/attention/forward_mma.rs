//! Attention by the matrix instructions of a warp.

use minuend_ir::DType;

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::families::attention::forward::Layout;
use crate::cuda::families::attention::forward_simt::{arguments, blocks};
use crate::cuda::families::element;
use crate::cuda::launch::{KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Opcode, Template, not_generated, present};

pub(super) const TEMPLATE: Template = Template {
    name: "attention/forward_mma",
    source: include_str!("../../../../../../cuda/attention/forward_mma.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes,
};

/// Largest width of keys and values that registers have room for.
const MOST_COLUMNS: usize = 256;

/// How a block divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tiling {
    /// Keys of a tile.
    keys: usize,
    warps: usize,
    /// Groups of 16 rows that a warp has.
    groups: usize,
    /// Rows of q stay in registers.
    keeps_q: bool,
    /// Blocks that registers leave room for.
    blocks: usize,
}

impl Tiling {
    /// Of a thread's 255 registers, sums take `value_dim / 2` for each group and scores `keys / 2`; q, where
    /// it is kept, takes `head_dim / 4`. Two groups to a warp halve the reads of keys and values.
    fn of(head_dim: usize, value_dim: usize, shared_bytes: u32) -> Tiling {
        let tiling = Tiling { keys: 64, warps: 4, groups: 2, keeps_q: false, blocks: 2 };
        match head_dim.max(value_dim) {
            0..=64 => Tiling { keeps_q: true, ..tiling },
            65..=128 if head_dim == value_dim => Tiling { keys: 48, ..tiling },
            65..=128 => Tiling { keys: 32, ..tiling },
            _ => {
                let wide = Tiling { warps: 8, groups: 1, blocks: 1, ..tiling };
                let choices = [wide, Tiling { keys: 32, ..wide }];
                let fits = |tiling: &Tiling| tiling.bytes(head_dim, value_dim) <= shared_bytes;
                let narrow = Tiling { keys: 32, groups: 1, ..tiling };
                choices.into_iter().find(fits).unwrap_or(narrow)
            }
        }
    }

    fn queries(self, heads: usize) -> usize {
        self.warps * self.groups * 16 / heads
    }

    /// Bytes of shared memory: q, then two stages of keys and values.
    fn bytes(self, head_dim: usize, value_dim: usize) -> u32 {
        let rows = self.warps * self.groups * 16;
        let [key, value] = [head_dim, value_dim].map(row_bytes);
        (rows * key + 2 * self.keys * (key + value)) as u32
    }
}

/// Bytes between rows in shared memory: see `MatrixRows`.
fn row_bytes(columns: usize) -> usize {
    let vectors = columns / 8;
    16 * if vectors.is_multiple_of(8) { vectors } else { vectors + 1 }
}

/// True for widths, types and places that the kernel reads.
fn covers(problem: &Problem<'_>) -> bool {
    let is_width = |dim: usize| dim > 0 && dim <= MOST_COLUMNS && dim.is_multiple_of(16);
    problem.dtype.bytes() == 2
        && problem.dtype.is_float()
        && problem.scale > 0.0
        && is_width(problem.head_dim)
        && is_width(problem.value_dim)
        && problem.moves_by(16)
}

/// `None` where the kernel does not cover the launch.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    if !covers(problem) {
        return Ok(None);
    }
    let (head_dim, value_dim) = (problem.head_dim, problem.value_dim);
    let tiling = Tiling::of(head_dim, value_dim, limits.arch.shared_bytes);
    // Two heads of a K/V head share a group of rows where there are two.
    let heads = Layout::of(problem).tile_heads;
    let spec = spec(problem.dtype, problem.streams(), heads, head_dim, value_dim, tiling);
    let head_groups = problem.heads * problem.streams() / heads;
    let blocks = blocks(problem, tiling.queries(heads), head_groups, 1)?;
    let mut launch = KernelLaunch::new(spec, blocks, 32 * tiling.warps as u32);
    launch.shared_bytes = tiling.bytes(head_dim, value_dim);
    Ok(Some(Works::of(arguments(launch, problem)?)))
}

fn spec(
    dtype: DType,
    streams: usize,
    heads: usize,
    head_dim: usize,
    value_dim: usize,
    tiling: Tiling,
) -> KernelSpec {
    KernelSpec::new(TEMPLATE.name)
        .with_type("ELEMENT", element(dtype))
        .with_int("STREAMS", streams as i32)
        .with_int("HEADS", heads as i32)
        .with_int("HEAD_DIM", head_dim as i32)
        .with_int("VALUE_DIM", value_dim as i32)
        .with_int("TILE_KEYS", tiling.keys as i32)
        .with_int("WARPS", tiling.warps as i32)
        .with_int("GROUPS", tiling.groups as i32)
        .with_bool("KEEPS_Q", tiling.keeps_q)
        .with_int("BLOCKS", tiling.blocks as i32)
}

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    let ampere = 163 << 10;
    let ada = 99 << 10;
    let hopper = 227 << 10;
    for (dtype, streams, heads, head_dim, value_dim, shared_bytes) in [
        (DType::Bf16, 2, 2, 64, 64, ada),
        (DType::F16, 2, 2, 64, 64, ada),
        (DType::Bf16, 1, 2, 64, 64, ada),
        (DType::Bf16, 1, 1, 64, 64, ada),
        (DType::Bf16, 2, 2, 16, 16, ada),
        (DType::Bf16, 2, 2, 128, 128, ada),
        (DType::F16, 2, 2, 128, 128, ada),
        (DType::Bf16, 1, 2, 128, 128, ada),
        (DType::Bf16, 1, 1, 128, 128, ada),
        (DType::Bf16, 2, 2, 80, 80, ada),
        (DType::F16, 1, 1, 96, 96, ada),
        (DType::Bf16, 2, 2, 64, 128, ada),
        (DType::Bf16, 2, 2, 128, 64, ada),
        (DType::Bf16, 2, 2, 256, 256, ada),
        (DType::Bf16, 2, 2, 256, 256, ampere),
        (DType::Bf16, 2, 2, 256, 256, hopper),
        (DType::F16, 1, 1, 256, 256, ada),
        (DType::Bf16, 2, 2, 192, 192, ampere),
    ] {
        let tiling = Tiling::of(head_dim, value_dim, shared_bytes);
        rows.push(spec(dtype, streams, heads, head_dim, value_dim, tiling));
    }
    rows
}

fn opcodes(spec: &KernelSpec) -> Vec<Opcode> {
    let product = match spec.define("ELEMENT") {
        Some(Define::Type("minuend::bf16")) => "HMMA.16816.F32.BF16",
        _ => "HMMA.16816.F32",
    };
    present([product, "LDSM.16.M88.4", "LDSM.16.MT88.4", "LDGSTS.E.BYPASS.128"])
}

#[cfg(test)]
mod tests {
    use minuend_ir::ops::Mask;

    use super::*;
    use crate::cuda::families::attention::forward_simt;
    use crate::cuda::families::attention::tests::{PREFILL, Sizes, checked};
    use crate::cuda::launch::{Arg, KernelLaunch};
    use crate::cuda::{ARCHES, Arch};

    fn launch(sizes: Sizes, arch: &'static Arch) -> Option<KernelLaunch> {
        let works = sizes.with(|problem| works(problem, &CudaLimits::typical(arch)).unwrap());
        checked(works?).pop()
    }

    fn arch(target: &str) -> &'static Arch {
        Arch::of_target(target).unwrap()
    }

    #[test]
    fn blocks_cover_all_queries_of_all_heads() {
        let found = launch(PREFILL, arch("cuda-sm80")).unwrap();
        // 128 rows are 64 queries of both heads of a pair.
        assert_eq!(found.grid, [4096 / 64 * 2 * 16, 1, 1]);
        assert_eq!((found.threads, found.shared_bytes), (128, 128 * 256 + 2 * 48 * 512));
        let ragged = launch(Sizes { queries: 4097, keys: 4100, ..PREFILL }, arch("cuda-sm80"));
        assert_eq!(ragged.unwrap().grid, [65 * 2 * 16, 1, 1]);
        // A KV head with one query head leaves nothing to share a group of rows.
        let plain = Sizes { paired: false, ..PREFILL };
        let single = launch(Sizes { kv_heads: 16, ..plain }, arch("cuda-sm80")).unwrap();
        assert_eq!(single.spec.define("HEADS"), Some(Define::Int(1)));
        assert_eq!(single.grid, [4096 / 128 * 2 * 16, 1, 1]);
        let double = launch(plain, arch("cuda-sm80")).unwrap();
        assert_eq!(double.spec.define("HEADS"), Some(Define::Int(2)));
        assert_eq!(double.grid, [4096 / 64 * 2 * 8, 1, 1]);
    }

    #[test]
    fn shared_memory_fits_every_architecture() {
        for arch in ARCHES {
            for dim in (16..=256).step_by(16) {
                for value_dim in [dim, 16, 256] {
                    let tiling = Tiling::of(dim, value_dim, arch.shared_bytes);
                    assert!(tiling.bytes(dim, value_dim) <= arch.shared_bytes, "{dim} {value_dim}");
                    // The kernel's own condition: results take the place of the operands.
                    let results = tiling.warps * tiling.groups * 16 * row_bytes(value_dim);
                    assert!(results as u32 <= tiling.bytes(dim, value_dim), "{dim} {value_dim}");
                }
            }
        }
    }

    #[test]
    fn other_places_and_types_are_left_to_fused_multiply_adds() {
        let others = [
            Sizes { dtype: DType::F32, ..PREFILL },
            Sizes { key_offset: 8, ..PREFILL },
            Sizes { q_token: 32 * 128 + 4, ..PREFILL },
            Sizes { dim: 72, value_dim: 72, ..PREFILL },
            Sizes { dim: 272, value_dim: 272, ..PREFILL },
        ];
        for sizes in others {
            let limits = CudaLimits::typical(arch("cuda-sm80"));
            assert_eq!(launch(sizes, limits.arch), None, "{sizes:?}");
            let simt = sizes.with(|problem| forward_simt::works(problem, &limits).unwrap());
            assert_eq!(checked(simt).len(), 1);
        }
    }

    #[test]
    fn masks_are_a_reach_and_a_window() {
        let told = |mask, queries| {
            let sizes = Sizes { mask, queries, ..PREFILL };
            let found = launch(sizes, arch("cuda-sm80")).unwrap();
            let value = |name| found.args.iter().find(|arg| arg.0 == name).unwrap().1.clone();
            (value("reach"), value("window"))
        };
        let all = Arg::Int(i32::MAX);
        assert_eq!(told(Mask::Causal, 4000), (Arg::Int(96), all.clone()));
        assert_eq!(told(Mask::Full, 4000), (Arg::Int(4096), all));
        let window = Mask::SlidingWindow { window: 33 };
        assert_eq!(told(window, 4096), (Arg::Int(0), Arg::Int(33)));
    }
}
