// The warps that turn scores of a stage into weights. A thread has one row.
#pragma once

#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/tcgen05_memory.cuh"
#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/attention/tcgen05_tiles.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/tcgen05.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

namespace minuend {

// A row of scores. Exponents are taken relative to a score that need not be the largest: it
// follows the largest only when weights would exceed 2^8, which is rare behind the first block.
// Sums of weighted values then mostly stay as they are.
struct LazyRow {
    // In units of log 2.
    static constexpr float most_growth = 8.0f;

    // The score that exponents are relative to, before it is scaled; -infinity before the first
    // visible key.
    float reference = -infinity();
    float sum = 0.0f;

    // Takes in a block's largest score. Gives the factor that sums of weighted values shrink by.
    // scale: of the scores, positive.
    __device__ __forceinline__ float raise(float top, float scale) {
        const float higher = fmaxf(reference, top);
        const float growth = (higher - reference) * scale;
        // Not a number without a visible key, and behind an infinite score.
        if (!(growth > most_growth)) {
            return 1.0f;
        }
        reference = higher;
        const float shrink = exp2_approx(-growth);
        sum *= shrink;
        return shrink;
    }

    // What is subtracted from scaled scores. A hidden key weighs exp2(-infinity) in any case.
    __device__ __forceinline__ float base(float scale) const {
        return reference == -infinity() ? 0.0f : reference * scale;
    }
};

template <class Shape>
class Tcgen05Softmax {
    using Element = typename Shape::Element;
    using Memory = Tcgen05Memory<Shape>;

    static constexpr int block_keys = Shape::block_keys;

    const Memory memory;
    const VisibleKeys& visible;
    const float scale;
    const int stage;
    // The thread's row, and where its warp's rows are in tensor memory.
    const int row = threadIdx.x % Shape::stage_rows;
    const u32 scores;

    // Of scores_full.
    Phase scored;
    // Of note_empty.
    Phase noted;

  public:
    __device__ __forceinline__ Tcgen05Softmax(Memory memory, const VisibleKeys& visible,
                                              float scale, int stage, int warp, u32 tensor)
        : memory(memory),
          visible(visible),
          scale(scale),
          stage(stage),
          scores(tensor + tcgen05::first_lane(warp) + Shape::scores_column(stage)) {}

    // All tiles. lse: natural logarithms of the sums of exponentials, [batch, query heads,
    // queries], or null.
    __device__ __forceinline__ void run(TileTurns turns, float* lse, int queries,
                                        int query_heads) {
        ForwardTile tile;
        while (turns.take<Shape>(tile)) {
            const KeyBlocks blocks = KeyBlocks::of<Shape>(tile, visible);
            const int token = tile.token + stage * Shape::stage_tokens + row;
            LazyRow lazy;
#pragma unroll 1
            for (int block = blocks.end - 1; block >= blocks.first; --block) {
                const bool is_masked =
                    block >= blocks.unmasked_end ||
                    (Shape::is_windowed && block < blocks.unmasked_first);
                weigh(lazy, token, block, block == blocks.end - 1, is_masked);
            }
            leave_note(lazy.sum);
            if (lse != nullptr && token < queries) {
                const int head = tile.unit * Shape::tile_heads + stage * Shape::stage_heads;
                lse[((long long)tile.batch * query_heads + head) * queries + token] =
                    (log2_approx(lazy.sum) + lazy.base(scale)) * ln_2;
            }
        }
    }

  private:
    __device__ __forceinline__ void weigh(LazyRow& lazy, int token, int block, bool is_first,
                                          bool is_masked) {
        float s[block_keys];
        take_over_tensor_memory(memory.barrier(Memory::scores_full, stage), scored.parity);
        scored.advance();
#pragma unroll
        for (int column = 0; column < block_keys; column += tcgen05::moved_columns) {
            tcgen05::load(s + column, scores + column);
        }
        tcgen05::wait_for_loads(s);
        if (is_masked) {
            hide(s, token, block);
        }
        const float shrink = lazy.raise(largest(s), scale);
        // Sums begin with a tile's first block: there is nothing to shrink.
        if (!is_first) {
            leave_note(shrink);
        }
        lazy.sum += store_weights(s, lazy.base(scale));
        tcgen05::wait_for_stores();
        hand_over_tensor_memory(memory.barrier(Memory::weights_full, stage));
    }

    __device__ __forceinline__ void hide(float (&s)[block_keys], int token, int block) const {
        const int first = visible.first(token) - block * block_keys;
        const int end = visible.end(token) - block * block_keys;
#pragma unroll
        for (int column = 0; column < block_keys; ++column) {
            if (column >= end || (Shape::is_windowed && column < first)) {
                s[column] = -infinity();
            }
        }
    }

    static __device__ __forceinline__ float largest(const float (&s)[block_keys]) {
        float top[4] = {s[0], s[1], s[2], s[3]};
#pragma unroll
        for (int column = 4; column < block_keys; ++column) {
            top[column % 4] = fmaxf(top[column % 4], s[column]);
        }
        return fmaxf(fmaxf(top[0], top[1]), fmaxf(top[2], top[3]));
    }

    // Puts weights in the place of the scores; gives their sum.
    __device__ __forceinline__ float store_weights(const float (&s)[block_keys],
                                                   float base) const {
        float part[4] = {};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            u32 words[tcgen05::moved_columns];
#pragma unroll
            for (int index = 0; index < tcgen05::moved_columns; ++index) {
                const int column = half * 2 * tcgen05::moved_columns + 2 * index;
                const float even = exp2_approx(fmaf(s[column], scale, -base));
                const float odd = exp2_approx(fmaf(s[column + 1], scale, -base));
                part[index % 2 * 2] += even;
                part[index % 2 * 2 + 1] += odd;
                words[index] = pack<Element>(even, odd);
            }
            tcgen05::store(scores + half * tcgen05::moved_columns, words);
        }
        return part[0] + part[1] + (part[2] + part[3]);
    }

    // Tells the correction a row's number: what its sums shrink by before they take in a block,
    // and the sum of weights at the end of a tile.
    __device__ __forceinline__ void leave_note(float value) {
        wait_or_trap(memory.barrier(Memory::note_empty, stage), noted.parity ^ 1);
        noted.advance();
        asm volatile("st.shared.f32 [%0], %1;" ::"r"(memory.note(stage, row)), "f"(value)
                     : "memory");
        arrive_as_warp(memory.barrier(Memory::note_full, stage));
    }
};

}  // namespace minuend
