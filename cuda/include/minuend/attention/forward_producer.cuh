// The thread that copies queries, keys and values to shared memory.
#pragma once

#include "minuend/attention/forward_maps.cuh"
#include "minuend/attention/forward_memory.cuh"
#include "minuend/attention/forward_shape.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"

namespace minuend {

template <class Shape>
struct ForwardProducer {
    using Tuning = typename Shape::Tuning;

    ForwardMemory<Shape> memory;
    // Boxes of q: 16 rows of one or two heads; of k and v: a thread block's share of a block of
    // keys.
    ForwardMaps maps;
    TileOrder order;
    // By which clusters claim tiles behind the first ones, which go by the cluster's number: a word
    // of global memory, 0 before and after.
    u32* counter;
    int rank;
    RingPosition<Tuning::q_stages> q = {};
    RingPosition<Tuning::k_stages> k = {};
    RingPosition<Tuning::v_stages> v = {};

    // All tiles of the cluster. Values come a block behind the keys, as they are used, also from
    // one tile to the next: keys and queries of the next tile would have to wait for room for the
    // last values.
    __device__ __forceinline__ void run(const VisibleKeys& visible, int group_units,
                                        TileQueue<Shape> queue) {
        queue.hand_out(order.at<Shape>(blockIdx.x / Shape::cluster), rank);
        KeyBlock before = {-1, 0, 0};
        while (true) {
            const ForwardTile tile = queue.take();
            if (tile.is_none()) {
                break;
            }
            // Claimed here, it is known when this tile is done.
            const int claimed = rank == 0 ? int(atomicAdd(counter, 1u)) : 0;
            const KeyBlocks blocks = KeyBlocks::of<Shape>(tile, visible);
            const int kv_head = tile.unit / group_units;
#pragma unroll 1
            for (int block = blocks.end - 1; block >= blocks.first; --block) {
                const KeyBlock now = {block, kv_head, tile.batch};
                copy_keys(now);
                if (block == blocks.end - 1) {
                    copy_queries(tile);
                }
                if (before.block >= 0) {
                    copy_values(before);
                }
                before = now;
            }
            queue.hand_out(behind(claimed), rank);
        }
        copy_values(before);
    }

  private:
    // The tile of a claim. As many claims are made as there are tiles: the last is known by its
    // number. Means something in the first thread block of a cluster only.
    __device__ __forceinline__ ForwardTile behind(int claimed) const {
        const int tiles = order.tiles();
        if (rank == 0 && claimed == tiles - 1) {
            atomicExch(counter, 0u);
        }
        const int index = claimed + gridDim.x / Shape::cluster;
        return index < tiles ? order.at<Shape>(index) : ForwardTile{0, -1, 0};
    }

    __device__ __forceinline__ void copy_queries(const ForwardTile& tile) {
#pragma unroll 1
        for (int warpgroup = 0; warpgroup < Shape::warpgroups; ++warpgroup) {
            const int part = q.stage * Shape::warpgroups + warpgroup;
            const u32 full = memory.query_ring().full(part);
            wait(memory.query_ring().empty(part), q.parity ^ 1);
            arrive_expecting(full, Shape::q_bytes / Shape::warpgroups);
#pragma unroll 1
            for (int group = 0; group < Shape::groups; ++group) {
                const u32 to = memory.queries(q.stage, warpgroup) +
                               group * (Shape::group_rows * Shape::row_bytes);
                const int token = tile.token + warpgroup * Shape::warpgroup_tokens +
                                  group * Shape::group_tokens;
#pragma unroll
                for (int chunk = 0; chunk < Shape::chunks; ++chunk) {
                    load_box(to + chunk * Shape::q_chunk_bytes, maps.q,
                             {chunk * Shape::chunk_columns, token, tile.unit * Shape::tile_heads,
                              tile.batch},
                             full, CachePolicy::EvictFirst);
                }
            }
        }
        q.advance();
    }

    // A block of keys of a head.
    struct KeyBlock {
        int block;
        int kv_head;
        int batch;
    };

    __device__ __forceinline__ void copy_keys(const KeyBlock& of) {
        wait(memory.key_ring().empty(k.stage), k.parity ^ 1);
        copy_block(maps.k, of, memory.keys(k.stage), memory.key_ring().full(k.stage));
        k.advance();
    }

    __device__ __forceinline__ void copy_values(const KeyBlock& of) {
        wait(memory.value_ring().empty(v.stage), v.parity ^ 1);
        copy_block(maps.v, of, memory.values(v.stage), memory.value_ring().full(v.stage));
        v.advance();
    }

    // A thread block's share goes to all blocks of the cluster, which run in step: they are at the
    // same queries of heads that share keys.
    __device__ __forceinline__ void copy_block(const TensorMap& map, const KeyBlock& of, u32 to,
                                               u32 full) const {
        arrive_expecting(full, Shape::kv_bytes);
        const int key = of.block * Shape::block_keys + rank * Shape::share_keys;
        to += rank * (Shape::share_keys * Shape::row_bytes);
#pragma unroll
        for (int chunk = 0; chunk < Shape::chunks; ++chunk) {
            const BoxStart start = {chunk * Shape::chunk_columns, key, of.kv_head, of.batch};
            const u32 chunk_to = to + chunk * Shape::kv_chunk_bytes;
            if constexpr (Shape::cluster > 1) {
                constexpr u16 every_block = (1 << Shape::cluster) - 1;
                load_box_into(every_block, chunk_to, map, start, full, CachePolicy::EvictLast);
            } else {
                load_box(chunk_to, map, start, full, CachePolicy::EvictLast);
            }
        }
    }
};

}  // namespace minuend
