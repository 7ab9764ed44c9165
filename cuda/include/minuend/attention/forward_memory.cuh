// What the forward attention keeps in shared memory, and the queue that hands out tiles.
#pragma once

#include "minuend/attention/forward_shape.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/cluster.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Rings of values, keys and queries, the result on its way out, barriers, and the tiles that are
// handed out. What is copied starts at a multiple of 1024 bytes.
template <class Shape>
struct ForwardMemory {
    using Tuning = typename Shape::Tuning;
    using KeyRing = Ring<Tuning::k_stages>;
    using ValueRing = Ring<Tuning::v_stages>;
    // A warpgroup's part of a stage has barriers of its own: it starts as soon as that is there.
    using QueryRing = Ring<Tuning::q_stages * Shape::warpgroups>;

    // Tiles that were handed out and not taken yet. The copying thread is ahead by the blocks whose
    // keys fit the ring, each of which may be a tile, and hands out one more.
    static constexpr int slots = 4;
    static_assert(Tuning::k_stages + 1 <= slots, "a tile would overwrite one not yet taken");

    static constexpr int values_at = 0;
    static constexpr int keys_at = values_at + Tuning::v_stages * Shape::kv_bytes;
    static constexpr int queries_at = keys_at + Tuning::k_stages * Shape::kv_bytes;
    static constexpr int out_at = queries_at + Tuning::q_stages * Shape::q_bytes;
    static constexpr int key_ring_at = out_at + Shape::warpgroups * Shape::out_bytes;
    static constexpr int value_ring_at = key_ring_at + KeyRing::bytes;
    static constexpr int query_ring_at = value_ring_at + ValueRing::bytes;
    static constexpr int slot_barriers_at = query_ring_at + QueryRing::bytes;
    static constexpr int slots_at = slot_barriers_at + slots * barrier_bytes;
    static constexpr int slot_bytes = 16;
    static constexpr int bytes = slots_at + slots * slot_bytes;
    static_assert(slots_at % slot_bytes == 0, "a slot is written by one instruction");

    // Warps of a warpgroup; each lets go of keys and queries by itself, because it may read them by
    // itself.
    static constexpr int warps = 4;

    u32 base;

    static __device__ __forceinline__ u32 value_offset(int stage) {
        return values_at + stage * Shape::kv_bytes;
    }

    static __device__ __forceinline__ u32 key_offset(int stage) {
        return keys_at + stage * Shape::kv_bytes;
    }

    // First row of a warpgroup in the first chunk.
    static __device__ __forceinline__ u32 query_offset(int stage, int warpgroup) {
        return queries_at + stage * Shape::q_bytes +
               warpgroup * (Shape::warpgroup_rows * Shape::row_bytes);
    }

    __device__ __forceinline__ u32 values(int stage) const { return base + value_offset(stage); }

    __device__ __forceinline__ u32 keys(int stage) const { return base + key_offset(stage); }

    __device__ __forceinline__ u32 queries(int stage, int warpgroup) const {
        return base + query_offset(stage, warpgroup);
    }

    __device__ __forceinline__ u32 out(int warpgroup) const {
        return base + out_at + warpgroup * Shape::out_bytes;
    }

    __device__ __forceinline__ KeyRing key_ring() const { return {base + key_ring_at}; }

    __device__ __forceinline__ ValueRing value_ring() const { return {base + value_ring_at}; }

    __device__ __forceinline__ QueryRing query_ring() const { return {base + query_ring_at}; }

    __device__ __forceinline__ u32 slot_barrier(int slot) const {
        return base + slot_barriers_at + slot * barrier_bytes;
    }

    __device__ __forceinline__ u32 slot(int slot) const {
        return base + slots_at + slot * slot_bytes;
    }

    // One thread of a thread block.
    __device__ __forceinline__ void init_barriers() const {
        key_ring().init(1, Shape::warpgroups * warps * Shape::cluster);
        value_ring().init(1, Shape::warpgroups * Shape::cluster);
        query_ring().init(1, warps);
        for (int index = 0; index < slots; ++index) {
            init_barrier(slot_barrier(index), 1);
        }
        publish_barriers();
    }
};

// By which the copying threads of a cluster tell all its threads their tiles.
template <class Shape>
struct TileQueue {
    using Memory = ForwardMemory<Shape>;

    Memory memory;
    // Tiles that this thread took.
    int steps = 0;

    // Tells the next tile. The copying thread of every thread block calls it; what the first one's
    // says counts, and is that block's tile.
    __device__ __forceinline__ void hand_out(const ForwardTile& tile, int rank) const {
        const int slot = steps % Memory::slots;
        if constexpr (Shape::cluster > 1) {
            arrive_expecting(memory.slot_barrier(slot), Memory::slot_bytes);
            if (rank == 0) {
#pragma unroll
                for (int to = 0; to < Shape::cluster; ++to) {
                    const int unit = tile.is_none() ? tile.unit : tile.unit + to;
                    store_in_cluster(address_in_block(memory.slot(slot), to),
                                     {tile.token, unit, tile.batch, 0},
                                     address_in_block(memory.slot_barrier(slot), to));
                }
            }
        } else {
            asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(memory.slot(slot)),
                         "r"(tile.token), "r"(tile.unit), "r"(tile.batch), "r"(0)
                         : "memory");
            arrive(memory.slot_barrier(slot));
        }
    }

    // The next tile, once it is handed out.
    __device__ __forceinline__ ForwardTile take() {
        const int slot = steps % Memory::slots;
        wait(memory.slot_barrier(slot), steps / Memory::slots % 2);
        ForwardTile tile;
        int unused;
        asm volatile("ld.shared.v4.s32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(tile.token), "=r"(tile.unit), "=r"(tile.batch), "=r"(unused)
                     : "r"(memory.slot(slot))
                     : "memory");
        ++steps;
        return tile;
    }
};

}  // namespace minuend
