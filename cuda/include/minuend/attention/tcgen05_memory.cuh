// What the forward attention with sums in tensor memory keeps in shared memory, and its barriers.
#pragma once

#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Parity of the phase of a barrier that someone waits for next.
struct Phase {
    int parity = 0;

    __device__ __forceinline__ void advance() { parity ^= 1; }
};

// Rings of keys and values and of queries, the result on its way out, notes from the softmax to
// the correction, and barriers. What is copied starts at a multiple of 1024 bytes.
template <class Shape>
struct Tcgen05Memory {
    // Keys of a block, then its values, then keys of the next.
    using KeyValueRing = Ring<Shape::kv_stages>;
    // The two stages of a tile have barriers of their own.
    using QueryRing = Ring<Shape::q_stages * Shape::stages>;

    // Barriers of a stage. One phase of each passes for every block of keys.
    enum StageBarrier {
        // Scores are in tensor memory. The products arrive, the softmax waits.
        scores_full,
        // Weights have taken the place of the scores. The softmax arrives, the products wait.
        weights_full,
        // Sums of weighted values have taken in a block. The products arrive, the correction
        // waits.
        sums_full,
        // Sums may be added to, or overwritten at the start of a tile. The correction arrives, the
        // products wait.
        sums_ready,
        // A note is written. The softmax arrives, the correction waits.
        note_full,
        // The note has been read. The correction arrives, the softmax waits, with the other
        // parity.
        note_empty,
        stage_barriers,
    };

    static constexpr int keys_values_at = 0;
    static constexpr int queries_at = keys_values_at + Shape::kv_stages * Shape::kv_bytes;
    static constexpr int out_at = queries_at + Shape::q_stages * Shape::stages * Shape::q_bytes;
    static constexpr int notes_at = out_at + Shape::role_warps * Shape::out_bytes;
    static constexpr int stage_notes_bytes = Shape::stage_rows * sizeof(float);
    static constexpr int key_value_ring_at = notes_at + Shape::stages * stage_notes_bytes;
    static constexpr int query_ring_at = key_value_ring_at + KeyValueRing::bytes;
    static constexpr int stage_barriers_at = query_ring_at + QueryRing::bytes;
    static constexpr int tensor_address_at =
        stage_barriers_at + stage_barriers * Shape::stages * barrier_bytes;
    static constexpr int bytes = tensor_address_at + 16;
    static_assert(queries_at % 1024 == 0 && out_at % 1024 == 0, "copies swizzle by address");

    u32 base;

    __device__ __forceinline__ u32 keys_values(int ring_stage) const {
        return base + keys_values_at + ring_stage * Shape::kv_bytes;
    }

    __device__ __forceinline__ u32 queries(int ring_stage, int stage) const {
        return base + queries_at + query_part(ring_stage, stage) * Shape::q_bytes;
    }

    // Of a correcting warp, by its number among them.
    __device__ __forceinline__ u32 out(int warp) const {
        return base + out_at + warp * Shape::out_bytes;
    }

    __device__ __forceinline__ u32 note(int stage, int row) const {
        return base + notes_at + stage * stage_notes_bytes + row * u32(sizeof(float));
    }

    __device__ __forceinline__ KeyValueRing key_value_ring() const {
        return {base + key_value_ring_at};
    }

    __device__ __forceinline__ QueryRing query_ring() const { return {base + query_ring_at}; }

    // Number in the ring of queries.
    static __device__ __forceinline__ int query_part(int ring_stage, int stage) {
        return ring_stage * Shape::stages + stage;
    }

    __device__ __forceinline__ u32 barrier(StageBarrier which, int stage) const {
        return base + stage_barriers_at + (which * Shape::stages + stage) * barrier_bytes;
    }

    // Where the address of tensor memory is put.
    __device__ __forceinline__ u32 tensor_address() const { return base + tensor_address_at; }

    // One thread of the thread block.
    __device__ __forceinline__ void init_barriers() const {
        key_value_ring().init(1, 1);
        query_ring().init(1, 1);
        for (int stage = 0; stage < Shape::stages; ++stage) {
            init_barrier(barrier(scores_full, stage), 1);
            init_barrier(barrier(weights_full, stage), Shape::role_warps);
            init_barrier(barrier(sums_full, stage), 1);
            init_barrier(barrier(sums_ready, stage), Shape::role_warps);
            init_barrier(barrier(note_full, stage), Shape::role_warps);
            init_barrier(barrier(note_empty, stage), Shape::role_warps);
        }
        publish_barriers();
    }
};

// Keeps the compiler from computing in advance what depends on the value: descriptors and
// addresses would take registers, of which some roles have few, through all of a loop.
__device__ __forceinline__ u32 computed_here(u32 value) {
    asm volatile("" : "+r"(value));
    return value;
}

// Arrives for a warp once all its threads have come here.
__device__ __forceinline__ void arrive_as_warp(u32 barrier) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        arrive(barrier);
    }
}

// The same behind accesses to tensor memory, whose waits are over: they come before what those do
// who wait for the barrier.
__device__ __forceinline__ void hand_over_tensor_memory(u32 barrier) {
    tcgen05::before_thread_sync();
    arrive_as_warp(barrier);
}

// Waits for a barrier behind which others are done with tensor memory.
__device__ __forceinline__ void take_over_tensor_memory(u32 barrier, int parity) {
    wait_or_trap(barrier, parity);
    tcgen05::after_thread_sync();
}

}  // namespace minuend
