// The products of decode attention by instructions of a warpgroup (wgmma): the four warps that share
// a ring have 16 rows each.
#pragma once

#include "minuend/attention/decode_shape.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"
#include "minuend/wgmma.cuh"

namespace minuend {

template <typename Shape>
struct WarpgroupProducts {
    using Element = typename Shape::Element;

    static constexpr int slab_bytes = Shape::Ring::slab_bytes;
    static constexpr int query_slab_bytes = 64 * 128;
    static constexpr int score_count = Shape::tile_keys / 2;
    static constexpr int sum_count = Shape::value_dim / 2;

    static_assert(Shape::row_warps == 4 && Shape::row_tiles == 1, "a warpgroup has 64 rows");
    static_assert(Shape::shares_queries, "left operands of scores come from shared memory");

    // All threads of the block call it. Queries lie like a tile of 64 keys; rows that are none are 0.
    __device__ __forceinline__ void load_queries(const DecodeOperands<Shape>& operands,
                                                 unsigned char* shared, int) {
        constexpr int pieces = Shape::head_dim / 8;
        queries = shared_address(shared) + Shape::queries_at;
        for (int index = threadIdx.x; index < 64 * pieces; index += Shape::threads) {
            const int row = index / pieces;
            const int piece = index % pieces;
            uint4 x = make_uint4(0u, 0u, 0u, 0u);
            if (row < Shape::rows) {
                x = *reinterpret_cast<const uint4*>(operands.query_row(row) + piece * 8);
            }
            const int place =
                piece / 8 * query_slab_bytes + row * 128 + ((piece % 8 ^ row % 8) << 4);
            *reinterpret_cast<uint4*>(shared + Shape::queries_at + place) = x;
        }
        fence_async_proxy();
        __syncthreads();
    }

    __device__ __forceinline__ void score(u32 keys, float (&scores)[1][score_count / 4][4]) const {
        auto& d = reinterpret_cast<float(&)[score_count]>(scores);
        const MatrixDescriptor a = MatrixDescriptor::at(queries);
        const MatrixDescriptor b = MatrixDescriptor::at(keys);
        pin(d);
        fence_products();
#pragma unroll
        for (int step = 0; step < Shape::head_dim / 16; ++step) {
            WarpgroupProduct<Shape::tile_keys>::template from_shared<Element>(
                d, a.plus(step / 4 * query_slab_bytes + step % 4 * 32),
                b.plus(step / 4 * slab_bytes + step % 4 * 32), step > 0);
        }
        commit_products();
        wait_for_products<0>();
        pin(d);
    }

    __device__ __forceinline__ void accumulate(u32 values,
                                               const u32 (&weights)[1][score_count / 8][4],
                                               float (&sums)[1][sum_count / 4][4]) const {
        auto& d = reinterpret_cast<float(&)[sum_count]>(sums);
        const MatrixDescriptor b = MatrixDescriptor::at(values).with_chunks_of(slab_bytes);
        pin(d);
        fence_products();
#pragma unroll
        for (int step = 0; step < Shape::tile_keys / 16; ++step) {
            WarpgroupProduct<Shape::value_dim>::template from_registers<Element, true>(
                d, weights[0][step], b.plus(step * 2048), true);
        }
        commit_products();
        wait_for_products<0>();
        pin(d);
    }

  private:
    u32 queries;
};

}  // namespace minuend
