// Products of at most 8 rows of f32 with a weight [n, k], of f32 or of 16-bit elements that are
// widened: their time is that of reading the weight once. A warp takes four rows of the weight, or
// several warps take them together and share k.
//
// A lane copies the parts of those rows that it multiplies to shared memory, well ahead, and reads
// back only what it copied itself; the lhs comes from the first-level cache.

#include "minuend/async_copy.cuh"
#include "minuend/dependency.cuh"
#include "minuend/elementary.cuh"
#include "minuend/matmul.cuh"
#include "minuend/types.cuh"

// Element type of the weight.
#ifndef WEIGHT
#define WEIGHT minuend::bf16
#endif
// Rows that there are sums for: 1, 2, 4 or 8.
#ifndef ROWS
#define ROWS 1
#endif

namespace {

using minuend::i64;
using minuend::u32;

constexpr int MAX_WARPS = 8;
// Rows of the weight that a warp reads side by side.
constexpr int COLUMNS = 4;
// Elements in 16 bytes.
constexpr int WIDTH = 16 / int(sizeof(WEIGHT));
// Elements of k that a warp reads at once.
constexpr int CHUNK = 32 * WIDTH;
// Chunks that are under way: what keeps memory busy.
constexpr int STAGES = 4;
constexpr int STAGE_BYTES = COLUMNS * 32 * 16;
constexpr int RING_BYTES = STAGES * STAGE_BYTES;
constexpr int WARP_SUMS = COLUMNS * ROWS;

static_assert(ROWS <= 8, "sums are held in registers");
static_assert(WARP_SUMS * 4 <= RING_BYTES, "a warp's sums take the place of its ring");

__device__ __forceinline__ float sum_of_warp(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }
    return x;
}

}  // namespace

// out[row, column] = sum over k of lhs[row, k] * weight[column, k]. Rows of the lhs and of the
// result are dense, those of the weight weight_stride elements apart; all operands' rows begin at
// multiples of 16 bytes. With is_gated, the weight has 2 columns rows, and out[row, column] =
// silu(sum of column) * (sum of column + columns). Of the block's warps, `parts` neighbours share
// k. Dynamic shared memory: RING_BYTES for each warp.
extern "C" __global__ __launch_bounds__(MAX_WARPS * 32, 2) void matmul_few_rows(
    const float* lhs, const WEIGHT* __restrict__ weight, float* __restrict__ out,
    const int rows, const int columns, const int k, const long long weight_stride, const int parts,
    const int is_gated) {
    extern __shared__ __align__(16) unsigned char rings[];

    const int warps = int(blockDim.x) / 32;
    const int warp = int(threadIdx.x) / 32;
    const int lane = int(threadIdx.x) % 32;
    const int part = warp % parts;
    // Columns of the gate come first, those of the other half behind them.
    const int shown_columns = is_gated ? COLUMNS / 2 : COLUMNS;
    const int team = int(blockIdx.x) * (warps / parts) + warp / parts;
    const int first_column = team * shown_columns;

    const WEIGHT* from[COLUMNS];
#pragma unroll
    for (int i = 0; i < COLUMNS; ++i) {
        // Columns that are not there are read as the last one that is, and not stored.
        const int column = min(first_column + i % shown_columns, columns - 1);
        const int half = i < shown_columns ? 0 : columns;
        from[i] = weight + (half + column) * weight_stride + lane * WIDTH;
    }

    unsigned char* const ring = rings + warp * RING_BYTES;
    const u32 slot = u32(__cvta_generic_to_shared(ring)) + lane * 16;
    const auto copy = [&](int stage, int first_k) {
        const bool is_there = first_k + lane * WIDTH < k;
#pragma unroll
        for (int i = 0; i < COLUMNS; ++i) {
            minuend::copy_16_async(slot + stage * STAGE_BYTES + i * 512,
                                   is_there ? from[i] + first_k : weight, is_there);
        }
        minuend::end_copy_group();
    };

    const int step = parts * CHUNK;
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        copy(stage, part * CHUNK + stage * step);
    }
    // The ring fills while the kernel in front, which makes the lhs, comes to its end.
    minuend::let_next_start();
    minuend::wait_for_previous();
    float sums[COLUMNS][ROWS] = {};
    int stage = 0;
#pragma unroll 1
    for (int first_k = part * CHUNK; first_k < k; first_k += step) {
        minuend::wait_copy_groups<STAGES - 2>();
        float weights[COLUMNS][WIDTH];
#pragma unroll
        for (int i = 0; i < COLUMNS; ++i) {
            const int at = stage * STAGE_BYTES + i * 512 + lane * 16;
            minuend::widen<WEIGHT>(*reinterpret_cast<const uint4*>(ring + at), weights[i]);
        }
        // Into the stage that was read in the step before this one.
        copy((stage + STAGES - 1) % STAGES, first_k + (STAGES - 1) * step);
        stage = (stage + 1) % STAGES;

        const int at_k = first_k + lane * WIDTH;
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
            if (row < rows && at_k < k) {
                const uint4* words = reinterpret_cast<const uint4*>(lhs + i64(row) * k + at_k);
                float values[WIDTH / 4][4];
#pragma unroll
                for (int i = 0; i < WIDTH / 4; ++i) {
                    minuend::widen<float>(words[i], values[i]);
                }
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) {
#pragma unroll
                    for (int column = 0; column < COLUMNS; ++column) {
                        float& sum = sums[column][row];
                        sum = fmaf(values[i / 4][i % 4], weights[column][i], sum);
                    }
                }
            }
        }
    }

    // All lanes have read the ring.
    __syncwarp();
    minuend::wait_copy_groups<0>();
#pragma unroll
    for (int i = 0; i < WARP_SUMS; ++i) {
        const float sum = sum_of_warp(sums[i / ROWS][i % ROWS]);
        if (lane == i) {
            reinterpret_cast<float*>(ring)[i] = sum;
        }
    }
    __syncthreads();

    const auto sum_at = [&](int at) {
        float sum = 0.0f;
        for (int i = 0; i < parts; ++i) {
            sum += reinterpret_cast<const float*>(rings + (warp + i) * RING_BYTES)[at];
        }
        return sum;
    };
    const int row = lane % ROWS;
    const int column = first_column + lane / ROWS;
    if (part == 0 && lane < shown_columns * ROWS && row < rows && column < columns) {
        float sum = sum_at(lane);
        if (is_gated) {
            sum = minuend::silu(sum) * sum_at(lane + shown_columns * ROWS);
        }
        out[i64(row) * columns + column] = sum;
    }
}
