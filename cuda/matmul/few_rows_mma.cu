// Products of at most 16 rows with a weight [n, k] of 16-bit elements: their time is that of reading the
// weight once. A block takes 8 TILES rows of the weight; its warps share k and add up their sums at the end.
//
// A lane copies to shared memory what it holds of the operands of tensor cores, well ahead, and reads back
// only what it copied itself: warps and lanes never wait for each other before the end.

#include "minuend/async_copy.cuh"
#include "minuend/elementary.cuh"
#include "minuend/matmul.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/types.cuh"

#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Rows that there are sums for: 8 or 16.
#ifndef ROWS
#define ROWS 8
#endif
// Tiles of eight rows of the weight that a warp reads side by side: 1, 2 or 4.
#ifndef TILES
#define TILES 2
#endif

namespace {

using minuend::i64;
using minuend::u32;

constexpr int MAX_WARPS = 16;
// Elements of k that the four lanes of a row hold: 16 bytes each. The sum over k takes them in any
// order, so a lane's eight neighbours stand for the pairs that two products of 16 expect of it.
constexpr int CHUNK = 32;
constexpr int ROW_HALVES = ROWS / 8;
// Chunks that are under way: what keeps memory busy.
constexpr int STAGES = TILES == 4 ? 4 : 8;
// What a warp copies with one instruction.
constexpr int VECTORS_BYTES = 32 * 16;
constexpr int STAGE_BYTES = (TILES + ROW_HALVES) * VECTORS_BYTES;
constexpr int RING_BYTES = STAGES * STAGE_BYTES;
// [tile][row][column of the tile]
constexpr int TILE_SUMS = ROWS * 8;
constexpr int WARP_SUMS = TILES * TILE_SUMS;

static_assert(ROWS == 8 || ROWS == 16, "rows are those of one tensor core product");
static_assert(TILES == 1 || TILES == 2 || TILES == 4, "a gated product takes half of the tiles");
static_assert(WARP_SUMS * 4 <= RING_BYTES, "a warp's sums take the place of its ring");

}  // namespace

// out[row, column] = sum over k of lhs[row, k] * weight[column, k]. Rows of the lhs and of the result are
// dense, those of the weight weight_stride elements apart; all of them begin at multiples of 16 bytes.
// With is_gated, the weight has 2 columns rows, and out[row, column] = silu(sum of column) * (sum of
// column + columns). Dynamic shared memory: RING_BYTES for each warp.
extern "C" __global__ __launch_bounds__(MAX_WARPS * 32) void matmul_few_rows_mma(
    const ELEMENT* __restrict__ lhs, const ELEMENT* __restrict__ weight, void* __restrict__ out,
    const int rows, const int columns, const int k, const long long weight_stride,
    const int is_gated, const int stores_f32) {
    extern __shared__ __align__(16) unsigned char rings[];

    const int warps = int(blockDim.x) / 32;
    const int warp = int(threadIdx.x) / 32;
    const int lane = int(threadIdx.x) % 32;
    const int group = lane / 4;
    const int lane_k = lane % 4 * 8;
    // Tiles of the gate come first, those of the other half behind them.
    const int shown_tiles = is_gated ? TILES / 2 : TILES;
    const int first_column = int(blockIdx.x) * shown_tiles * 8;

    const ELEMENT* from[TILES];
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
        // Columns that are not there are read as the last one that is, and not stored.
        const int column = min(first_column + tile % shown_tiles * 8 + group, columns - 1);
        const int half = tile < shown_tiles ? 0 : columns;
        from[tile] = weight + (half + column) * weight_stride + lane_k;
    }
    const ELEMENT* row_from = lhs + i64(group) * k + lane_k;

    unsigned char* const ring = rings + warp * RING_BYTES;
    const u32 slot = u32(__cvta_generic_to_shared(ring)) + lane * 16;
    const auto copy = [&](int stage, int chunk) {
        const u32 to = slot + stage * STAGE_BYTES;
        const int at_k = chunk * CHUNK;
        const bool is_inside = at_k + lane_k < k;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            const ELEMENT* element = is_inside ? from[tile] + at_k : weight;
            minuend::copy_16_async(to + tile * VECTORS_BYTES, element, is_inside);
        }
#pragma unroll
        for (int half = 0; half < ROW_HALVES; ++half) {
            const bool is_there = is_inside && half * 8 + group < rows;
            const ELEMENT* element = is_there ? row_from + i64(half * 8) * k + at_k : lhs;
            minuend::copy_16_async_cached(to + (TILES + half) * VECTORS_BYTES, element, is_there);
        }
        minuend::end_copy_group();
    };
    const auto copied = [&](int stage, int vector) {
        const int at = stage * STAGE_BYTES + vector * VECTORS_BYTES + lane * 16;
        return *reinterpret_cast<const uint4*>(ring + at);
    };

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        copy(stage, warp + stage * warps);
    }
    minuend::MmaSums sums[TILES] = {};
    int stage = 0;
#pragma unroll 1
    for (int first_k = warp * CHUNK; first_k < k; first_k += warps * CHUNK) {
        minuend::wait_copy_groups<STAGES - 2>();
        const uint4 low = copied(stage, TILES);
        const uint4 high = ROW_HALVES == 2 ? copied(stage, TILES + 1) : uint4{};
        const u32 first[4] = {low.x, high.x, low.y, high.y};
        const u32 second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            const uint4 b = copied(stage, tile);
            minuend::mma_16x8x16<ELEMENT>(sums[tile], first, b.x, b.y);
            minuend::mma_16x8x16<ELEMENT>(sums[tile], second, b.z, b.w);
        }
        // Into the stage that was read in the step before this one.
        copy((stage + STAGES - 1) % STAGES, first_k / CHUNK + (STAGES - 1) * warps);
        stage = (stage + 1) % STAGES;
    }

    // All lanes have read the ring.
    __syncwarp();
    minuend::wait_copy_groups<0>();
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
        for (int half = 0; half < ROW_HALVES; ++half) {
            const int at = (tile * ROWS + half * 8 + group) * 8 + lane % 4 * 2;
            reinterpret_cast<float2*>(ring)[at / 2] =
                make_float2(sums[tile][half * 2], sums[tile][half * 2 + 1]);
        }
    }
    __syncthreads();

    const auto sum_of = [&](int at) {
        float sum = 0.0f;
        for (int part = 0; part < warps; ++part) {
            sum += reinterpret_cast<const float*>(rings + part * RING_BYTES)[at];
        }
        return sum;
    };
    for (int at = int(threadIdx.x); at < shown_tiles * TILE_SUMS; at += int(blockDim.x)) {
        const int row = at / 8 % ROWS;
        const int column = first_column + at / TILE_SUMS * 8 + at % 8;
        if (row < rows && column < columns) {
            float sum = sum_of(at);
            if (is_gated) {
                sum = minuend::silu(sum) * sum_of(at + shown_tiles * TILE_SUMS);
            }
            minuend::store_sum<ELEMENT>(out, i64(row) * columns + column, sum, stores_f32);
        }
    }
}
