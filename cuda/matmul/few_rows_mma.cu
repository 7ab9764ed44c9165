// Products of at most 16 rows with a weight [n, k] of 16-bit elements: their time is that of
// reading the weight once. A block goes through strips of 8 TILES rows of the weight. Its warps
// share k, so that what a block reads at a time lies together; their sums are added up at the end
// of each strip, while what the next one needs is on its way.
//
// Every warp has a ring in shared memory that it copies the weight to, well ahead: warps wait for
// each other once in a strip, and never for another's copies. The lhs comes from the first-level
// cache.

#include "minuend/async_copy.cuh"
#include "minuend/dependency.cuh"
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
// Tiles of eight rows of the weight in a strip: 1, 2 or 4.
#ifndef TILES
#define TILES 2
#endif
// KiB of a warp's ring, which are also tiles of the weight that are under way or being multiplied.
#ifndef RING_TILES
#define RING_TILES 8
#endif

namespace {

using minuend::i64;
using minuend::u32;

constexpr int MAX_WARPS = 16;
constexpr int ROW_HALVES = ROWS / 8;
// Elements of k that a warp copies at once: 128 bytes of every row, a line of the cache.
constexpr int CHUNK = 64;
constexpr int VECTORS = CHUNK / 8;
constexpr int TILE_BYTES = 8 * CHUNK * 2;
// Chunks that are under way or being multiplied.
constexpr int STAGES = RING_TILES / TILES;
constexpr int STAGE_BYTES = TILES * TILE_BYTES;
constexpr int RING_BYTES = STAGES * STAGE_BYTES;
// Sums of a warp: [tile][row][column of the tile].
constexpr int TILE_SUMS = ROWS * 8;
constexpr int WARP_SUMS = TILES * TILE_SUMS;

static_assert(ROWS == 8 || ROWS == 16, "rows are those of one tensor core product");
static_assert(TILES == 1 || TILES == 2 || TILES == 4, "a gated product takes half of the tiles");
static_assert(TILE_BYTES == 1024, "the host reserves a KiB for each tile");
static_assert(STAGES >= 2, "a stage is copied to while another is multiplied");

// Byte offset in a tile of a vector of 16 bytes: the vectors that eight lanes read together, four
// of each of two neighbouring rows, are in different banks.
__device__ __forceinline__ int vector_offset(int row, int vector) {
    return (row * VECTORS + (vector ^ (row % 2 * 4))) * 16;
}

}  // namespace

// out[row, column] = sum over k of lhs[row, k] * weight[column, k]. Rows of the lhs and of the
// result are dense, those of the weight weight_stride elements apart; all operands' rows begin at
// multiples of 16 bytes. With is_gated, the weight has 2 columns rows, and out[row, column] =
// silu(sum of column) * (sum of column + columns). Dynamic shared memory: RING_BYTES and 2
// WARP_SUMS floats for each warp.
extern "C" __global__ __launch_bounds__(MAX_WARPS * 32, 1) void matmul_few_rows_mma(
    const ELEMENT* lhs, const ELEMENT* __restrict__ weight, void* __restrict__ out,
    const int rows, const int columns, const int k, const long long weight_stride,
    const int is_gated, const int stores_f32) {
    extern __shared__ __align__(128) unsigned char rings[];

    const int warps = int(blockDim.x) / 32;
    const int warp = int(threadIdx.x) / 32;
    const int lane = int(threadIdx.x) % 32;
    const int warp_k = warp * CHUNK;
    const int step_k = warps * CHUNK;
    // Tiles of the gate come first, those of the other half behind them.
    const int shown_tiles = is_gated ? TILES / 2 : TILES;
    const int strip_columns = shown_tiles * 8;
    const int strips = (columns + strip_columns - 1) / strip_columns;

    unsigned char* const ring = rings + warp * RING_BYTES;
    float* const all_sums = reinterpret_cast<float*>(rings + warps * RING_BYTES);

    // The chunk that is copied next: a lane has a vector of every fourth row.
    const int lane_row = lane / VECTORS;
    const int lane_k = lane % VECTORS * 8;
    const u32 copied_to =
        u32(__cvta_generic_to_shared(ring)) + vector_offset(lane_row, lane % VECTORS);
    constexpr int HALF_TILES = TILES > 1 ? TILES / 2 : 1;
    const i64 half_step = is_gated ? columns * weight_stride : HALF_TILES * 8 * weight_stride;
    const int next_k = warp_k + lane_k;
    int copy_strip = warp_k < k ? int(blockIdx.x) : strips;
    int copy_k = next_k;
    const auto copy = [&](int stage) {
        if (copy_strip < strips) {
            const int first_column = copy_strip * strip_columns;
            const ELEMENT* from = weight + (first_column + lane_row) * weight_stride + copy_k;
#pragma unroll
            for (int i = 0; i < TILES * 2; ++i) {
                const int tile = i / 2;
                const int row = tile % HALF_TILES * 8 + i % 2 * 4;
                const int half = tile / HALF_TILES;
                const int shown_row = row + (is_gated ? 0 : half * HALF_TILES * 8);
                const bool is_there =
                    first_column + lane_row + shown_row < columns && copy_k < k;
                minuend::copy_16_async(copied_to + stage * STAGE_BYTES + i * (TILE_BYTES / 2),
                                       from + row * weight_stride + half * half_step, is_there);
            }
            copy_k += step_k;
            if (copy_k - lane_k >= k) {
                copy_k = next_k;
                copy_strip += int(gridDim.x);
            }
        }
        minuend::end_copy_group();
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        copy(stage);
    }
    // The ring fills while the kernel in front, which makes the lhs, comes to its end.
    minuend::let_next_start();
    minuend::wait_for_previous();

    // What a lane multiplies: of each row of both operands, 16 bytes of every 64. The sum over k
    // takes them in any order, so eight neighbours stand for the pairs that two products of 16
    // expect of it.
    const int group = lane / 4;
    const int group_k = lane % 4 * 8;
    const ELEMENT* const row_from = lhs + i64(group) * k + group_k;
    const auto lhs_vector = [&](int half, int at_k) {
        uint4 vector = {};
        if (half * 8 + group < rows && at_k + group_k < k) {
            vector = *reinterpret_cast<const uint4*>(row_from + i64(half * 8) * k + at_k);
        }
        return vector;
    };

    int stage = 0;
    int parity = 0;
#pragma unroll 1
    for (int strip = int(blockIdx.x); strip < strips; strip += int(gridDim.x)) {
        minuend::MmaSums sums[TILES] = {};
#pragma unroll 1
        for (int first_k = warp_k; first_k < k; first_k += step_k) {
            uint4 values[ROW_HALVES][2];
#pragma unroll
            for (int i = 0; i < ROW_HALVES * 2; ++i) {
                values[i / 2][i % 2] = lhs_vector(i / 2, first_k + i % 2 * 32);
            }
            minuend::wait_copy_groups<STAGES - 2>();
            // What other lanes copied is there, and all have read the stage that is copied to next.
            __syncwarp();
            copy((stage + STAGES - 1) % STAGES);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const uint4 low = values[0][i];
                const uint4 high = ROW_HALVES == 2 ? values[ROW_HALVES - 1][i] : uint4{};
                const u32 first[4] = {low.x, high.x, low.y, high.y};
                const u32 second[4] = {low.z, high.z, low.w, high.w};
                const int at = stage * STAGE_BYTES + vector_offset(group, i * 4 + lane % 4);
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile) {
                    const uint4 b = *reinterpret_cast<const uint4*>(ring + at + tile * TILE_BYTES);
                    minuend::mma_16x8x16<ELEMENT>(sums[tile], first, b.x, b.y);
                    minuend::mma_16x8x16<ELEMENT>(sums[tile], second, b.z, b.w);
                }
            }
            stage = (stage + 1) % STAGES;
        }

        // Sums of every other strip lie in the same place: who writes there has met those who read
        // the strip before the last at the barrier of the last.
        float* const strip_sums = all_sums + parity * warps * WARP_SUMS;
        parity ^= 1;
#pragma unroll
        for (int i = 0; i < TILES * ROW_HALVES; ++i) {
            const int tile = i / ROW_HALVES;
            const int half = i % ROW_HALVES;
            const int at = (tile * ROWS + half * 8 + group) * 8 + lane % 4 * 2;
            *reinterpret_cast<float2*>(strip_sums + warp * WARP_SUMS + at) =
                make_float2(sums[tile][half * 2], sums[tile][half * 2 + 1]);
        }
        __syncthreads();
        const auto sum_of = [&](int at) {
            float sum = 0.0f;
#pragma unroll 4
            for (int part = 0; part < warps; ++part) {
                sum += strip_sums[part * WARP_SUMS + at];
            }
            return sum;
        };
        for (int at = int(threadIdx.x); at < shown_tiles * TILE_SUMS; at += int(blockDim.x)) {
            const int row = at / 8 % ROWS;
            const int column = strip * strip_columns + at / TILE_SUMS * 8 + at % 8;
            if (row < rows && column < columns) {
                float sum = sum_of(at);
                if (is_gated) {
                    sum = minuend::silu(sum) * sum_of(at + shown_tiles * TILE_SUMS);
                }
                minuend::store_sum<ELEMENT>(out, i64(row) * columns + column, sum, stores_f32);
            }
        }
    }
    minuend::wait_copy_groups<0>();
}
