// The thread that copies queries, keys and values to shared memory.
#pragma once

#include "minuend/attention/forward_maps.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/tcgen05_memory.cuh"
#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/attention/tcgen05_tiles.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"

namespace minuend {

template <class Shape>
struct Tcgen05Copies {
    Tcgen05Memory<Shape> memory;
    // Boxes of q: 128 queries of a head; of k and v: a block of keys.
    ForwardMaps maps;
    RingPosition<Shape::kv_stages> kv = {};
    RingPosition<Shape::q_stages> q = {};

    // All tiles. Keys of a tile's first block come before its queries: there may be room for them
    // while queries of the tile before are still in use.
    __device__ __forceinline__ void run(TileTurns turns, const VisibleKeys& visible,
                                        int group_units) {
        ForwardTile tile;
        while (turns.take<Shape>(tile)) {
            const KeyBlocks blocks = KeyBlocks::of<Shape>(tile, visible);
            const int kv_head = tile.unit / group_units;
#pragma unroll 1
            for (int block = blocks.end - 1; block >= blocks.first; --block) {
                copy_block(maps.k, block, kv_head, tile.batch);
                if (block == blocks.end - 1) {
                    copy_queries(tile);
                }
                copy_block(maps.v, block, kv_head, tile.batch);
            }
        }
        wait_until_all_is_read();
    }

  private:
    __device__ __forceinline__ void copy_queries(const ForwardTile& tile) {
#pragma unroll 1
        for (int stage = 0; stage < Shape::stages; ++stage) {
            const int part = memory.query_part(q.stage, stage);
            const u32 full = memory.query_ring().full(part);
            wait_or_trap(memory.query_ring().empty(part), q.parity ^ 1);
            arrive_expecting(full, Shape::q_bytes);
            const int token = tile.token + stage * Shape::stage_tokens;
            const int head = tile.unit * Shape::tile_heads + stage * Shape::stage_heads;
#pragma unroll
            for (int chunk = 0; chunk < Shape::chunks; ++chunk) {
                load_box(memory.queries(q.stage, stage) + chunk * Shape::q_chunk_bytes, maps.q,
                         {chunk * Shape::chunk_columns, token, head, tile.batch}, full,
                         CachePolicy::EvictFirst);
            }
        }
        q.advance();
    }

    __device__ __forceinline__ void copy_block(const TensorMap& map, int block, int kv_head,
                                               int batch) {
        const u32 full = memory.key_value_ring().full(kv.stage);
        wait_or_trap(memory.key_value_ring().empty(kv.stage), kv.parity ^ 1);
        arrive_expecting(full, Shape::kv_bytes);
#pragma unroll
        for (int chunk = 0; chunk < Shape::chunks; ++chunk) {
            load_box(memory.keys_values(kv.stage) + chunk * Shape::kv_chunk_bytes, map,
                     {chunk * Shape::chunk_columns, block * Shape::block_keys, kv_head, batch},
                     full, CachePolicy::EvictLast);
        }
        kv.advance();
    }

    // Products tell of the end of their reads behind the back of all threads: the block's shared
    // memory lives until they have. A buffer that was never filled counts as read.
    __device__ __forceinline__ void wait_until_all_is_read() {
        for (int count = 0; count < Shape::kv_stages; ++count) {
            wait_or_trap(memory.key_value_ring().empty(kv.stage), kv.parity ^ 1);
            kv.advance();
        }
        for (int count = 0; count < Shape::q_stages; ++count) {
            for (int stage = 0; stage < Shape::stages; ++stage) {
                const int part = memory.query_part(q.stage, stage);
                wait_or_trap(memory.query_ring().empty(part), q.parity ^ 1);
            }
            q.advance();
        }
    }
};

}  // namespace minuend
