// The thread that starts products.
//
// Of a block of keys, in the order in which they run: the sums of stage 0, the scores of stage 0
// for the next block, the sums of stage 1, the scores of stage 1. So a stage has scores to weigh
// while the tensor cores work for the other.
#pragma once

#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/tcgen05_memory.cuh"
#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/attention/tcgen05_tiles.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/tcgen05.cuh"
#include "minuend/types.cuh"

namespace minuend {

template <class Shape>
struct Tcgen05Products {
    using Memory = Tcgen05Memory<Shape>;
    using Position = RingPosition<Shape::kv_stages>;
    using MatrixDescriptor = tcgen05::MatrixDescriptor;

    Memory memory;
    // Address of tensor memory.
    u32 tensor;
    Position kv = {};
    RingPosition<Shape::q_stages> q = {};
    // Of weights_full and sums_ready, of both stages.
    Phase weighed = {};

    // All tiles.
    __device__ __forceinline__ void run(TileTurns turns, const VisibleKeys& visible) {
        ForwardTile tile;
        while (turns.take<Shape>(tile)) {
            const KeyBlocks blocks = KeyBlocks::of<Shape>(tile, visible);
            const int count = blocks.end - blocks.first;
            first_scores(count == 1);
#pragma unroll 1
            for (int left = count - 1; left >= 0; --left) {
                const bool is_first = left == count - 1;
                if (left > 0) {
                    sums_and_next_scores(is_first, left == 1);
                } else {
                    last_sums(is_first);
                }
                weighed.advance();
            }
            q.advance();
        }
    }

  private:
    // Scores of a tile's first block. They overwrite weights of the tile before, whose products
    // were started before and are in front of these in the tensor cores.
    __device__ __forceinline__ void first_scores(bool is_last) {
        wait_or_trap(memory.key_value_ring().full(kv.stage), kv.parity);
#pragma unroll
        for (int stage = 0; stage < Shape::stages; ++stage) {
            wait_or_trap(memory.query_ring().full(memory.query_part(q.stage, stage)), q.parity);
            tcgen05::after_thread_sync();
            multiply_scores(stage, kv.stage, is_last);
        }
        release(kv);
        kv.advance();
    }

    __device__ __forceinline__ void sums_and_next_scores(bool is_first, bool is_next_last) {
        const Position values = kv;
        kv.advance();
        wait_or_trap(memory.key_value_ring().full(values.stage), values.parity);
#pragma unroll
        for (int stage = 0; stage < Shape::stages; ++stage) {
            multiply_sums(stage, values.stage, is_first);
            if (stage == Shape::stages - 1) {
                release(values);
            } else if (stage == 0) {
                wait_or_trap(memory.key_value_ring().full(kv.stage), kv.parity);
            }
            multiply_scores(stage, kv.stage, is_next_last);
        }
        release(kv);
        kv.advance();
    }

    __device__ __forceinline__ void last_sums(bool is_first) {
        wait_or_trap(memory.key_value_ring().full(kv.stage), kv.parity);
#pragma unroll
        for (int stage = 0; stage < Shape::stages; ++stage) {
            multiply_sums(stage, kv.stage, is_first);
        }
        release(kv);
        kv.advance();
    }

    // Lets go of keys or values once the products so far are complete.
    __device__ __forceinline__ void release(const Position& position) const {
        tcgen05::commit(memory.key_value_ring().empty(position.stage));
    }

    // Scores of a block overwrite the weights of the block before. The product that reads those
    // was started before by the same thread, and the tensor cores work through the products of a
    // thread one after the other. PTX promises that order only for products into the same sums;
    // other kernels for this architecture rely on it for all, and so does this one.
    __device__ __forceinline__ void multiply_scores(int stage, int keys_at, bool is_last) const {
        const MatrixDescriptor left =
            MatrixDescriptor::at(computed_here(memory.queries(q.stage, stage)));
        const MatrixDescriptor right =
            MatrixDescriptor::at(computed_here(memory.keys_values(keys_at)));
        const u32 scores = computed_here(tensor) + Shape::scores_column(stage);
#pragma unroll
        for (int step = 0; step < Shape::head_dim / tcgen05::product_depth; ++step) {
            // A row of a chunk holds four steps.
            const int chunk = step / 4;
            const int in_row = step % 4 * 32;
            tcgen05::multiply(scores, left.plus(chunk * Shape::q_chunk_bytes + in_row),
                              right.plus(chunk * Shape::kv_chunk_bytes + in_row),
                              Shape::scores_instruction, step != 0);
        }
        tcgen05::commit(memory.barrier(Memory::scores_full, stage));
        if (is_last) {
            tcgen05::commit(memory.query_ring().empty(memory.query_part(q.stage, stage)));
        }
    }

    // The first block of a tile starts its sums anew.
    __device__ __forceinline__ void multiply_sums(int stage, int values_at, bool is_first) const {
        take_over_tensor_memory(memory.barrier(Memory::weights_full, stage), weighed.parity);
        take_over_tensor_memory(memory.barrier(Memory::sums_ready, stage), weighed.parity);
        const MatrixDescriptor right =
            MatrixDescriptor::at(computed_here(memory.keys_values(values_at)))
                .with_chunks_of(Shape::kv_chunk_bytes);
        const u32 weights = computed_here(tensor) + Shape::scores_column(stage);
        constexpr int step_columns = tcgen05::product_depth / 2;
#pragma unroll
        for (int step = 0; step < Shape::block_keys / tcgen05::product_depth; ++step) {
            tcgen05::multiply(tensor + Shape::sums_column(stage),
                              weights + step * step_columns,
                              right.plus(step * tcgen05::product_depth * Shape::row_bytes),
                              Shape::sums_instruction, !is_first || step != 0);
        }
        tcgen05::commit(memory.barrier(Memory::sums_full, stage));
    }
};

}  // namespace minuend
