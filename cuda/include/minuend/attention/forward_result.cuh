// What a warpgroup makes of its sums, and how the result leaves.
#pragma once

#include "minuend/attention/forward_memory.cuh"
#include "minuend/attention/forward_shape.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/score_rows.cuh"
#include "minuend/named_barrier.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Four 8 x 8 matrices of 16-bit elements, of each of which a lane has two neighbours of row lane /
// 4. Lane l names the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrices(u32 row_address, const u32 (&from)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                 :
                 : "r"(row_address), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
                 : "memory");
}

template <class Shape>
struct ForwardResult {
    using Element = typename Shape::Element;

    // Axes columns, tokens, output heads, batches; boxes of what a warpgroup has of 64 columns.
    const TensorMap& map;
    // Natural logarithms of the sums of exponentials, [batch, query heads, queries]; may be null.
    float* lse;
    // [batch, output heads, queries] with these strides in elements; before the sigmoid.
    const Element* lambda;
    long long lambda_batch;
    long long lambda_head;
    long long lambda_token;
    int queries;
    int query_heads;

    // The token of a thread's first row, counted from the tile's first.
    static __device__ __forceinline__ int thread_token() {
        const int warp = threadIdx.x / 32 - 4;
        return warp * Shape::group_tokens + threadIdx.x % 32 / 4;
    }

    // What the second softmax is to be multiplied by, before its sigmoid.
    __device__ __forceinline__ float lambda_of(const ForwardTile& tile) const {
        if constexpr (Shape::streams == 2) {
            const int token = tile.token + thread_token();
            if (token < queries) {
                return to_float(lambda[tile.batch * lambda_batch + tile.unit * lambda_head +
                                       token * lambda_token]);
            }
        }
        return 0.0f;
    }

    // Normalises the sums of a tile, takes the difference, and starts the store. `staging` is this
    // warpgroup's shared memory for it, `barrier` a named barrier of the warpgroup.
    __device__ __forceinline__ void store(const ForwardTile& tile, const ScoreRows& rows,
                                          float tile_lambda,
                                          const float (&sums)[Shape::head_dim / 2], u32 staging,
                                          int barrier) const {
        const int warpgroup = threadIdx.x / warpgroup_threads - 1;
        const int warp = threadIdx.x / 32 % 4;
        const int lane = threadIdx.x % 32;
        float factor[2];
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const float sum = sum_of_quad(rows.sum[row]);
            // Without a key to see, the result is 0.
            factor[row] = sum == 0.0f ? 0.0f : reciprocal_approx(sum);
            const int token = tile.token + thread_token() + row * Shape::row_tokens;
            if (lse != nullptr && lane % 4 == 0 && token < queries) {
                const int head = tile.unit * Shape::tile_heads + row * (Shape::tile_heads - 1);
                lse[((long long)tile.batch * query_heads + head) * queries + token] =
                    (log2_approx(sum) - rows.shift[row]) * ln_2;
            }
        }
        if constexpr (Shape::streams == 2) {
            factor[1] *= reciprocal_approx(1.0f + exp2_approx(-log2_e * tile_lambda));
        }
#pragma unroll
        for (int pass = 0; pass < Shape::out_passes; ++pass) {
            // The warp that stores waits until what it stored before has been read.
            if (warp == 0) {
                wait_for_reads_of_stores();
            }
            sync_threads(barrier, warpgroup_threads);
            stage(sums, factor, pass, staging, warp, lane);
            fence_async_proxy();
            sync_threads(barrier, warpgroup_threads);
            if (warp == 0 && elect_one()) {
#pragma unroll
                for (int chunk = 0; chunk < Shape::out_chunks; ++chunk) {
                    store_box(map,
                              {(pass * Shape::out_chunks + chunk) * Shape::chunk_columns,
                               tile.token + warpgroup * Shape::warpgroup_tokens,
                               tile.unit * Shape::out_heads, tile.batch},
                              staging + chunk * Shape::out_chunk_bytes);
                }
                commit_stores();
            }
            __syncwarp();
        }
    }

  private:
    // Writes a pass's columns to the staging memory, one matrix store for 32 columns of 8 tokens.
    static __device__ __forceinline__ void stage(const float (&sums)[Shape::head_dim / 2],
                                                 const float (&factor)[2], int pass, u32 staging,
                                                 int warp, int lane) {
        constexpr int stored_rows = Shape::streams == 2 ? 1 : 2;
        constexpr int pieces = Shape::out_chunks * 2;
#pragma unroll
        for (int piece = 0; piece < pieces; ++piece) {
#pragma unroll
            for (int row = 0; row < stored_rows; ++row) {
                u32 matrices[4];
#pragma unroll
                for (int index = 0; index < 4; ++index) {
                    const float* sum = sums + 4 * (4 * (pass * pieces + piece) + index);
                    float low = sum[2 * row] * factor[row];
                    float high = sum[2 * row + 1] * factor[row];
                    if constexpr (Shape::streams == 2) {
                        low -= sum[2] * factor[1];
                        high -= sum[3] * factor[1];
                    }
                    matrices[index] = pack<Element>(low, high);
                }
                const int staged = staged_row(row, warp) + lane % 8;
                const int vector = piece % 2 * 4 + lane / 8;
                store_matrices(staging + piece / 2 * Shape::out_chunk_bytes +
                                   staged * Shape::row_bytes + (vector ^ staged % 8) * 16,
                               matrices);
            }
        }
    }

    // First of the 8 staged rows that a warp's rows of that number go to: tokens in order, heads
    // one behind the other.
    static __device__ __forceinline__ int staged_row(int row, int warp) {
        if constexpr (Shape::streams == 2) {
            return warp * 8;
        } else if constexpr (Shape::tile_heads == 2) {
            return row * Shape::warpgroup_tokens + warp * 8;
        } else {
            return warp * 16 + row * 8;
        }
    }
};

}  // namespace minuend
