// Products of 16-bit elements on the tensor cores of every architecture (mma.sync), with f32 sums.
// A block of eight warps, two by four, computes TILE_ROWS by 128 of the product; panels of both
// operands are copied to shared memory some steps ahead.

#include "minuend/async_copy.cuh"
#include "minuend/elementary.cuh"
#include "minuend/matmul.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/types.cuh"

#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Rows of a block's tile: 128 or 64.
#ifndef TILE_ROWS
#define TILE_ROWS 128
#endif
// Neighbours along k, and not along the columns, lie next to each other in the rhs.
#ifndef K_INNER
#define K_INNER true
#endif
// Columns of the rhs come in two halves, gate and up.
#ifndef GATED
#define GATED false
#endif

namespace {

using minuend::i64;
using minuend::u32;

constexpr int THREADS = 256;
constexpr int TILE_COLUMNS = 128;
constexpr int TILE_K = 32;
constexpr int STAGES = 4;
// The part of a warp, in rows and columns of one tensor core product.
constexpr int WARP_ROWS = TILE_ROWS / 2;
constexpr int WARP_COLUMNS = TILE_COLUMNS / 4;
constexpr int ROW_PARTS = WARP_ROWS / 16;
constexpr int COLUMN_PARTS = WARP_COLUMNS / 8;
// Columns of the result in a tile, and in a warp's part of it.
constexpr int SHOWN_COLUMNS = GATED ? TILE_COLUMNS / 2 : TILE_COLUMNS;
constexpr int WARP_SHOWN = GATED ? WARP_COLUMNS / 2 : WARP_COLUMNS;

using LhsPanel = minuend::MatrixRows<TILE_K>;
using RhsPanel = minuend::MatrixRows<K_INNER ? TILE_K : TILE_COLUMNS>;
constexpr int LHS_BYTES = TILE_ROWS * LhsPanel::row_bytes;
constexpr int RHS_BYTES = (K_INNER ? TILE_COLUMNS : TILE_K) * RhsPanel::row_bytes;
constexpr int STAGE_BYTES = LHS_BYTES + RHS_BYTES;

static_assert(TILE_ROWS == 128 || TILE_ROWS == 64, "a warp's sums are 64 or 32 registers");
static_assert(TILE_ROWS * TILE_K % (THREADS * 8) == 0, "threads copy equal parts of the lhs");
static_assert(STAGES * STAGE_BYTES <= 99 << 10, "every architecture has that much shared memory");
static_assert(!GATED || K_INNER, "gate and up are rows of the stored weight");

// Two neighbouring results, of which those before column `columns` exist.
__device__ __forceinline__ void store_two(void* out, i64 row, int column, int columns, float first,
                                          float second, bool stores_f32) {
    const i64 at = row * columns + column;
    if (columns % 2 == 0 && column < columns) {
        if (stores_f32) {
            *reinterpret_cast<float2*>(static_cast<float*>(out) + at) = make_float2(first, second);
        } else {
            *reinterpret_cast<u32*>(static_cast<ELEMENT*>(out) + at) =
                minuend::pack<ELEMENT>(first, second);
        }
        return;
    }
    if (column < columns) {
        minuend::store_sum<ELEMENT>(out, at, first, stores_f32);
    }
    if (column + 1 < columns) {
        minuend::store_sum<ELEMENT>(out, at + 1, second, stores_f32);
    }
}

}  // namespace

// out[entry, row, column] = sum over k of lhs[entry, row, k] * rhs[entry, k, column]. Rows of the
// lhs and of the result are dense; neighbours along the rhs' outer axis are outer_stride elements
// apart. Rows of both operands begin at multiples of 16 bytes and are whole numbers of 16 bytes;
// the result begins at such a multiple. With GATED, the rhs has 2 columns columns, and out[row,
// column] = silu(sum of column) * (sum of column + columns). Dynamic shared memory: STAGES *
// STAGE_BYTES.
extern "C" __global__ __launch_bounds__(THREADS) void matmul_mma(
    const ELEMENT* __restrict__ lhs, const ELEMENT* __restrict__ rhs, void* __restrict__ out,
    const int rows, const int columns, const int k, const minuend::Axes batch_shape,
    const minuend::Strides lhs_batch, const minuend::Strides rhs_batch,
    const long long outer_stride, const int stores_f32) {
    extern __shared__ __align__(128) unsigned char panels[];

    const int row_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const int tiles = row_tiles * ((columns + SHOWN_COLUMNS - 1) / SHOWN_COLUMNS);
    const int entry = int(blockIdx.x) / tiles;
    const int tile = int(blockIdx.x) % tiles;
    // Blocks that run together read the same columns of a weight.
    const int first_row = tile % row_tiles * TILE_ROWS;
    const int first_column = tile / row_tiles * SHOWN_COLUMNS;
    const minuend::BatchOffsets offsets =
        minuend::batch_offsets(entry, batch_shape, lhs_batch, rhs_batch);
    lhs += offsets.lhs;
    rhs += offsets.rhs;

    const u32 shared = u32(__cvta_generic_to_shared(panels));
    // 16 bytes that a thread copies of each panel: vector `index` of rows of `vectors` vectors.
    const auto copy = [&](int stage, int first_k) {
        const u32 lhs_panel = shared + stage * STAGE_BYTES;
        const u32 rhs_panel = lhs_panel + LHS_BYTES;
#pragma unroll
        for (int i = 0; i < TILE_ROWS * TILE_K / 8 / THREADS; ++i) {
            const int index = i * THREADS + int(threadIdx.x);
            const int line = index / LhsPanel::vectors;
            const int vector = index % LhsPanel::vectors;
            const int row = first_row + line;
            const int at_k = first_k + vector * 8;
            const bool is_there = row < rows && at_k < k;
            minuend::copy_16_async(lhs_panel + LhsPanel::offset(line, vector),
                                   is_there ? lhs + i64(row) * k + at_k : lhs, is_there);
        }
#pragma unroll
        for (int i = 0; i < TILE_COLUMNS * TILE_K / 8 / THREADS; ++i) {
            const int index = i * THREADS + int(threadIdx.x);
            const int line = index / RhsPanel::vectors;
            const int vector = index % RhsPanel::vectors;
            i64 offset;
            bool is_there;
            if constexpr (K_INNER) {
                // Of a gated tile, each warp's part is its gate columns, then their up columns.
                const int shown = line / WARP_COLUMNS * WARP_SHOWN + line % WARP_SHOWN;
                const int half = line % WARP_COLUMNS < WARP_SHOWN ? 0 : columns;
                const int at_k = first_k + vector * 8;
                is_there = first_column + shown < columns && at_k < k;
                offset = (half + first_column + shown) * outer_stride + at_k;
            } else {
                const int column = first_column + vector * 8;
                is_there = column < columns && first_k + line < k;
                offset = (first_k + line) * outer_stride + column;
            }
            minuend::copy_16_async(rhs_panel + RhsPanel::offset(line, vector),
                                   is_there ? rhs + offset : rhs, is_there);
        }
    };

    const int warp = int(threadIdx.x) / 32;
    const int lane = int(threadIdx.x) % 32;
    const int warp_row = warp / 4 * WARP_ROWS;
    const int warp_column = warp % 4 * WARP_COLUMNS;
    minuend::MmaSums sums[ROW_PARTS][COLUMN_PARTS] = {};

    const auto multiply = [&](int stage) {
        const u32 lhs_panel = shared + stage * STAGE_BYTES;
        const u32 rhs_panel = lhs_panel + LHS_BYTES;
#pragma unroll
        for (int at_k = 0; at_k < TILE_K; at_k += 16) {
            u32 a[ROW_PARTS][4];
#pragma unroll
            for (int part = 0; part < ROW_PARTS; ++part) {
                const int line = warp_row + part * 16 + lane % 16;
                minuend::load_matrices(a[part],
                                       lhs_panel + LhsPanel::offset(line, at_k / 8 + lane / 16));
            }
            // For each two parts: lower and upper half of k of the first, then of the second.
            u32 b[COLUMN_PARTS / 2][4];
#pragma unroll
            for (int pair = 0; pair < COLUMN_PARTS / 2; ++pair) {
                const int column = warp_column + pair * 16 + lane / 16 * 8;
                const int upper = lane / 8 % 2;
                if constexpr (K_INNER) {
                    const u32 at = RhsPanel::offset(column + lane % 8, at_k / 8 + upper);
                    minuend::load_matrices(b[pair], rhs_panel + at);
                } else {
                    const u32 at = RhsPanel::offset(at_k + upper * 8 + lane % 8, column / 8);
                    minuend::load_matrices_transposed(b[pair], rhs_panel + at);
                }
            }
#pragma unroll
            for (int part = 0; part < ROW_PARTS; ++part) {
#pragma unroll
                for (int i = 0; i < COLUMN_PARTS; ++i) {
                    minuend::mma_16x8x16<ELEMENT>(sums[part][i], a[part], b[i / 2][i % 2 * 2],
                                                  b[i / 2][i % 2 * 2 + 1]);
                }
            }
        }
    };

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        copy(stage, stage * TILE_K);
        minuend::end_copy_group();
    }
    int stage = 0;
#pragma unroll 1
    for (int first_k = 0; first_k < k; first_k += TILE_K) {
        minuend::wait_copy_groups<STAGES - 2>();
        // The stage is there for all, and all have read the one that is copied into next.
        __syncthreads();
        copy((stage + STAGES - 1) % STAGES, first_k + (STAGES - 1) * TILE_K);
        minuend::end_copy_group();
        multiply(stage);
        stage = (stage + 1) % STAGES;
    }

#pragma unroll
    for (int part = 0; part < ROW_PARTS; ++part) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first_row + warp_row + part * 16 + half * 8 + lane / 4;
            if (row >= rows) {
                continue;
            }
            const i64 out_row = i64(entry) * rows + row;
            const int column = first_column + warp % 4 * WARP_SHOWN + lane % 4 * 2;
#pragma unroll
            for (int i = 0; i < WARP_SHOWN / 8; ++i) {
                float first = sums[part][i][half * 2];
                float second = sums[part][i][half * 2 + 1];
                if constexpr (GATED) {
                    constexpr int UP = COLUMN_PARTS / 2;
                    first = minuend::silu(first) * sums[part][i + UP][half * 2];
                    second = minuend::silu(second) * sums[part][i + UP][half * 2 + 1];
                }
                store_two(out, out_row, column + i * 8, columns, first, second, stores_f32);
            }
        }
    }
}
