// The products of decode attention by instructions of a warp (mma.sync).
#pragma once

#include "minuend/attention/decode_shape.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/types.cuh"

namespace minuend {

template <typename Shape>
struct MmaProducts {
    using Element = typename Shape::Element;

    static constexpr int key_steps = Shape::head_dim / 16;
    static constexpr int value_steps = Shape::value_dim / 16;
    static constexpr int tile_steps = Shape::tile_keys / 16;
    static constexpr int slab_bytes = Shape::Ring::slab_bytes;
    // Steps of 16 rows and 16 columns of the queries.
    static constexpr int warp_steps = Shape::row_tiles * key_steps;
    static constexpr int all_steps = Shape::row_warps * warp_steps;

    // All threads of the block call it.
    __device__ __forceinline__ void load_queries(const DecodeOperands<Shape>& operands,
                                                 unsigned char* shared, int row_warp) {
        const int lane = threadIdx.x % 32;
        if constexpr (Shape::shares_queries) {
            uint4* to = reinterpret_cast<uint4*>(shared + Shape::queries_at);
            for (int step = threadIdx.x / 32; step < all_steps; step += Shape::warps) {
                u32 x[4];
                fetch(operands, step / warp_steps, step % warp_steps, x);
                to[step * 32 + lane] = make_uint4(x[0], x[1], x[2], x[3]);
            }
            in_shared = to + row_warp * warp_steps * 32 + lane;
            __syncthreads();
        } else {
#pragma unroll
            for (int step = 0; step < warp_steps; ++step) {
                fetch(operands, row_warp, step, registers[step]);
            }
        }
    }

    // The warp's scores of a tile of keys.
    __device__ __forceinline__ void score(
        u32 keys, float (&scores)[Shape::row_tiles][tile_steps * 2][4]) const {
        // Lane i has row i % 8 of matrix i / 8: two of 8 columns for each of two of 8 keys.
        const int lane = threadIdx.x % 32;
        keys += (lane / 16 * 8 + lane % 8) * 128 + (((lane / 8 & 1) ^ lane % 8) << 4);
        clear(scores);
#pragma unroll
        for (int step = 0; step < key_steps; ++step) {
            u32 q[Shape::row_tiles][4];
            read_queries(q, step);
#pragma unroll
            for (int part = 0; part < tile_steps; ++part) {
                u32 b[4];
                load_matrices(b, (keys + part * 2048 + step / 4 * slab_bytes) ^ (step % 4 << 5));
#pragma unroll
                for (int i = 0; i < Shape::row_tiles; ++i) {
                    mma_16x8x16<Element>(scores[i][2 * part], q[i], b[0], b[1]);
                    mma_16x8x16<Element>(scores[i][2 * part + 1], q[i], b[2], b[3]);
                }
            }
        }
    }

    // Adds a tile's weighted values to the warp's sums.
    __device__ __forceinline__ void accumulate(
        u32 values, const u32 (&weights)[Shape::row_tiles][tile_steps][4],
        float (&sums)[Shape::row_tiles][value_steps * 2][4]) const {
        // Lane i has key i % 8 of matrix i / 8: two of 8 keys for each of two of 8 columns.
        const int lane = threadIdx.x % 32;
        values += ((lane / 8 & 1) * 8 + lane % 8) * 128 + ((lane / 16 ^ lane % 8) << 4);
#pragma unroll
        for (int step = 0; step < value_steps; ++step) {
#pragma unroll
            for (int part = 0; part < tile_steps; ++part) {
                u32 b[4];
                load_matrices_transposed(
                    b, (values + part * 2048 + step / 4 * slab_bytes) ^ (step % 4 << 5));
#pragma unroll
                for (int i = 0; i < Shape::row_tiles; ++i) {
                    mma_16x8x16<Element>(sums[i][2 * step], weights[i][part], b[0], b[1]);
                    mma_16x8x16<Element>(sums[i][2 * step + 1], weights[i][part], b[2], b[3]);
                }
            }
        }
    }

  private:
    u32 registers[Shape::shares_queries ? 1 : warp_steps][4];
    // The lane's part of step s is at 32 * s.
    const uint4* in_shared;

    static __device__ __forceinline__ void clear(
        float (&scores)[Shape::row_tiles][tile_steps * 2][4]) {
#pragma unroll
        for (int i = 0; i < Shape::row_tiles; ++i) {
#pragma unroll
            for (int j = 0; j < tile_steps * 2; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    scores[i][j][e] = 0.0f;
                }
            }
        }
    }

    // The lane's part of a step of a warp's rows; rows that are none are 0.
    static __device__ __forceinline__ void fetch(const DecodeOperands<Shape>& operands,
                                                 int row_warp, int step, u32 (&to)[4]) {
        const int lane = threadIdx.x % 32;
        const int first_row = (row_warp * Shape::row_tiles + step / key_steps) * 16 + lane / 4;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first_row + half * 8;
            const Element* from =
                operands.query_row(row) + step % key_steps * 16 + lane % 4 * 2;
            const bool exists = row < Shape::rows;
            to[half] = exists ? *reinterpret_cast<const u32*>(from) : 0u;
            to[2 + half] = exists ? *reinterpret_cast<const u32*>(from + 8) : 0u;
        }
    }

    // Step `step` of every row tile.
    __device__ __forceinline__ void read_queries(u32 (&to)[Shape::row_tiles][4], int step) const {
#pragma unroll
        for (int i = 0; i < Shape::row_tiles; ++i) {
            if constexpr (Shape::shares_queries) {
                const uint4 x = in_shared[(i * key_steps + step) * 32];
                to[i][0] = x.x;
                to[i][1] = x.y;
                to[i][2] = x.z;
                to[i][3] = x.w;
            } else {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    to[i][j] = registers[i * key_steps + step][j];
                }
            }
        }
    }
};

}  // namespace minuend
