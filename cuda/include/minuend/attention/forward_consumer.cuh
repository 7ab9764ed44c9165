// A warpgroup that computes: scores, their weights, and the weighted sums of values.
//
// While the weights of one block of keys are computed, the tensor cores multiply those of the block
// before with its values; at the end of a tile, while those of the next tile's first block are.
//
// Weights are relative to the largest score of the masked blocks, which come first. Whether that
// serves for another block is known from the sums of its weights: they stay far below what elements
// hold unless its scores are larger by tens. Hence most blocks need no maximum; those that do are
// computed once more.
#pragma once

#include "minuend/attention/forward_memory.cuh"
#include "minuend/attention/forward_result.cuh"
#include "minuend/attention/forward_shape.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/score_rows.cuh"
#include "minuend/cluster.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/named_barrier.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"
#include "minuend/wgmma.cuh"

namespace minuend {

template <class Shape>
class ForwardConsumer {
    using Element = typename Shape::Element;
    using Tuning = typename Shape::Tuning;

    // Named barriers: of a warpgroup, and of its turn at the tensor cores.
    static constexpr int warpgroup_barrier = 1;
    static constexpr int turn_barrier = 1 + Shape::warpgroups;
    static constexpr bool takes_turns = Tuning::takes_turns;

    static constexpr int block_keys = Shape::block_keys;
    static constexpr int half_keys = Shape::half_keys;
    static constexpr int sum_steps = Shape::head_dim / 16;
    static constexpr int query_registers = Tuning::q_in_registers ? Shape::head_dim / 4 : 1;

    const ForwardMemory<Shape> memory;
    const ForwardResult<Shape>& result;
    const VisibleKeys& visible;
    const float scale;

    const int warpgroup = threadIdx.x / warpgroup_threads - 1;
    const int thread = threadIdx.x % warpgroup_threads;
    const int warp = thread / 32;
    const int lane = threadIdx.x % 32;
    const MatrixDescriptor origin = MatrixDescriptor::at(memory.base);
    // Of the shared memory of the thread block that this lane tells of free buffers.
    const u32 told_base =
        Shape::cluster > 1 ? address_in_block(memory.base, lane % Shape::cluster) : memory.base;

    RingPosition<Tuning::q_stages> q;
    RingPosition<Tuning::k_stages> k;
    RingPosition<Tuning::v_stages> v;
    ForwardTile tile;
    KeyBlocks blocks;
    ScoreRows rows;
    // Sums of weighted values, rows of scores by columns of the head.
    float sums[Shape::head_dim / 2];
    // Weights of the latest block, as the left operand of its product with the values.
    u32 weights[block_keys / 4];
    u32 queries[query_registers];

  public:
    __device__ __forceinline__ ForwardConsumer(ForwardMemory<Shape> memory,
                                               const ForwardResult<Shape>& result,
                                               const VisibleKeys& visible, float scale)
        : memory(memory), result(result), visible(visible), scale(scale) {}

    // All tiles of the thread block, one at least.
    __device__ __forceinline__ void run(TileQueue<Shape> queue) {
        if (takes_turns && warpgroup == 0) {
            arrive_threads(turn_barrier, 2 * warpgroup_threads);
        }
        int block = enter(queue.take());
        clear_sums();
        bool is_half = ends_in_half();
        if constexpr (Tuning::halves_diagonal) {
            is_half ? first_scores<half_keys>(block) : first_scores<block_keys>(block);
        } else {
            first_scores<block_keys>(block);
        }
        while (true) {
            --block;
            if constexpr (Tuning::halves_diagonal) {
                if (is_half) {
                    step<block_keys, half_keys, false>(block);
                    --block;
                }
            }
            steps(block);
            const ForwardTile next = queue.take();
            if (next.is_none()) {
                break;
            }
            const ForwardTile done = tile;
            block = enter(next);
            is_half = ends_in_half();
            if constexpr (Tuning::halves_diagonal) {
                is_half ? change_tiles<half_keys>(done, block)
                        : change_tiles<block_keys>(done, block);
            } else {
                change_tiles<block_keys>(done, block);
            }
        }
        const float lambda = result.lambda_of(tile);
        wait(memory.value_ring().full(v.stage), v.parity);
        issue_sums<block_keys>();
        wait_for_products<0>();
        pin(sums);
        store(tile, rows, lambda);
        if (warp == 0) {
            wait_for_reads_of_stores();
        }
    }

  private:
    // Goes to a tile; gives its last block.
    __device__ __forceinline__ int enter(const ForwardTile& next) {
        tile = next;
        blocks = KeyBlocks::of<Shape>(tile, visible);
        return blocks.end - 1;
    }

    __device__ __forceinline__ bool ends_in_half() const {
        return Tuning::halves_diagonal && blocks.ends_in_half<Shape>(tile, visible);
    }

    // The blocks of a tile from this one on, down to its first.
    __device__ __forceinline__ void steps(int block) {
        if constexpr (Shape::is_windowed) {
#pragma unroll 1
            for (; block >= blocks.first; --block) {
                if (block >= blocks.unmasked_end || block < blocks.unmasked_first) {
                    step<block_keys, block_keys, true>(block);
                } else {
                    step<block_keys, block_keys, false>(block);
                }
            }
        } else {
#pragma unroll 1
            for (; block >= blocks.unmasked_end; --block) {
                step<block_keys, block_keys, true>(block);
            }
#pragma unroll 1
            for (; block >= 0; --block) {
                step<block_keys, block_keys, false>(block);
            }
        }
    }

    // The first block of the first tile, with nothing beside it.
    template <int Keys>
    __device__ __forceinline__ void first_scores(int block) {
        float s[Keys / 2];
        enter_queries();
        wait(memory.key_ring().full(k.stage), k.parity);
        issue_scores<Keys>(s);
        wait_for_products<0>();
        pin(s);
        release_keys(block);
        hide(s, block);
        rows.raise<true>(s, scale);
        keep_weights(s);
        k.advance();
    }

    // Scores and weights of a block, and the product of the weights before with the values before.
    template <int Keys, int KeysBefore, bool Masked>
    __device__ __forceinline__ void step(int block) {
        float s[Keys / 2];
        wait(memory.key_ring().full(k.stage), k.parity);
        begin_turn();
        issue_scores<Keys>(s);
        wait(memory.value_ring().full(v.stage), v.parity);
        issue_sums<KeysBefore>();
        end_turn();
        wait_for_products<1>();
        pin(s);
        if constexpr (Masked) {
            release_keys(block);
            hide(s, block);
            rows.raise<false>(s, scale);
        } else {
            if (!rows.keep<Element>(s, scale)) {
                score_again<Keys>(s);
                rows.raise<false>(s, scale);
            }
            release_keys(block);
        }
        wait_for_products<0>();
        pin(sums);
        release_values();
        keep_weights(s);
        if (rows.shrinks) {
            shrink_sums();
        }
        k.advance();
        v.advance();
    }

    // The first block of a tile, beside the last product and the end of the tile before.
    template <int Keys>
    __device__ __forceinline__ void change_tiles(const ForwardTile& done, int block) {
        float s[Keys / 2];
        q.advance();
        enter_queries();
        wait(memory.key_ring().full(k.stage), k.parity);
        begin_turn();
        issue_scores<Keys>(s);
        wait(memory.value_ring().full(v.stage), v.parity);
        issue_sums<block_keys>();
        end_turn();
        const ScoreRows done_rows = rows;
        const float lambda = result.lambda_of(done);
        wait_for_products<1>();
        pin(s);
        release_keys(block);
        hide(s, block);
        rows.raise<true>(s, scale);
        wait_for_products<0>();
        pin(sums);
        release_values();
        store(done, done_rows, lambda);
        clear_sums();
        keep_weights(s);
        k.advance();
        v.advance();
    }

    __device__ __forceinline__ void store(const ForwardTile& done, const ScoreRows& done_rows,
                                          float lambda) const {
        result.store(done, done_rows, lambda, sums, memory.out(warpgroup),
                     warpgroup_barrier + warpgroup);
    }

    // Warpgroups take turns at starting products, so that one's softmax runs beside the other's
    // products.
    __device__ __forceinline__ void begin_turn() const {
        if constexpr (takes_turns) {
            sync_threads(turn_barrier + warpgroup, 2 * warpgroup_threads);
        }
    }

    __device__ __forceinline__ void end_turn() const {
        if constexpr (takes_turns) {
            const int next = warpgroup == Shape::warpgroups - 1 ? 0 : warpgroup + 1;
            arrive_threads(turn_barrier + next, 2 * warpgroup_threads);
        }
    }

    template <int Keys>
    __device__ __forceinline__ void issue_scores(float (&s)[Keys / 2]) {
        using Memory = ForwardMemory<Shape>;
        const MatrixDescriptor right = origin.plus(Memory::key_offset(k.stage));
        const MatrixDescriptor left = origin.plus(Memory::query_offset(q.stage, warpgroup));
        pin(s);
        pin(queries);
        fence_products();
#pragma unroll
        for (int step = 0; step < sum_steps; ++step) {
            // A row of a chunk holds four steps.
            const int chunk = step / 4;
            const int in_row = step % 4 * 32;
            const MatrixDescriptor b = right.plus(chunk * Shape::kv_chunk_bytes + in_row);
            if constexpr (Tuning::q_in_registers) {
                WarpgroupProduct<Keys>::template from_registers<Element, false>(
                    s, queries + 4 * step, b, step != 0);
            } else {
                WarpgroupProduct<Keys>::template from_shared<Element>(
                    s, left.plus(chunk * Shape::q_chunk_bytes + in_row), b, step != 0);
            }
        }
        commit_products();
    }

    template <int Keys>
    __device__ __forceinline__ void issue_sums() {
        const MatrixDescriptor right = origin.plus(ForwardMemory<Shape>::value_offset(v.stage))
                                           .with_chunks_of(Shape::kv_chunk_bytes);
        pin(sums);
        pin(weights);
        fence_products();
#pragma unroll
        for (int step = 0; step < Keys / 16; ++step) {
            WarpgroupProduct<Shape::head_dim>::template from_registers<Element, true>(
                sums, weights + 4 * step, right.plus(step * 16 * Shape::row_bytes), true);
        }
        commit_products();
    }

    // Waits for the queries of the tile, and takes them to registers if they are to be there.
    __device__ __forceinline__ void enter_queries() {
        wait(memory.query_ring().full(q.stage * Shape::warpgroups + warpgroup), q.parity);
        if constexpr (Tuning::q_in_registers) {
#pragma unroll
            for (int step = 0; step < sum_steps; ++step) {
                u32 fragment[4];
                load_query_fragment(fragment, step, lane);
#pragma unroll
                for (int index = 0; index < 4; ++index) {
                    queries[4 * step + index] = fragment[index];
                }
            }
            fence_async_proxy();
            release_queries();
        }
    }

    // This warp's 16 rows of queries, 16 columns: a left operand.
    __device__ __forceinline__ void load_query_fragment(u32 (&fragment)[4], int step,
                                                        int lane) const {
        const int row = warp * 16 + lane % 16;
        const int vector = step % 4 * 2 + lane / 16;
        const u32 chunk = memory.queries(q.stage, warpgroup) + step / 4 * Shape::q_chunk_bytes;
        load_matrices(fragment, chunk + row * Shape::row_bytes + (vector ^ row % 8) * 16);
    }

    // The scores of a block whose keys are still there, by this warp alone.
    template <int Keys>
    __device__ __forceinline__ void score_again(float (&s)[Keys / 2]) const {
        const int lane = computed_here(this->lane);
        const int row = lane % 8 + lane / 16 * 8;
        const u32 rows_at = memory.keys(k.stage) + row * Shape::row_bytes;
#pragma unroll
        for (int keys = 0; keys < Keys / 16; ++keys) {
            MmaSums low = {};
            MmaSums high = {};
#pragma unroll
            for (int step = 0; step < sum_steps; ++step) {
                const int vector = step % 4 * 2 + lane / 8 % 2;
                u32 right[4];
                load_matrices(right, rows_at + step / 4 * Shape::kv_chunk_bytes +
                                         keys * 16 * Shape::row_bytes + (vector ^ row % 8) * 16);
                u32 left[4];
                if constexpr (Tuning::q_in_registers) {
#pragma unroll
                    for (int index = 0; index < 4; ++index) {
                        left[index] = queries[4 * step + index];
                    }
                } else {
                    load_query_fragment(left, step, lane);
                }
                mma_16x8x16<Element>(low, left, right[0], right[1]);
                mma_16x8x16<Element>(high, left, right[2], right[3]);
            }
#pragma unroll
            for (int index = 0; index < 4; ++index) {
                s[8 * keys + index] = low[index];
                s[8 * keys + 4 + index] = high[index];
            }
        }
        // The keys are overwritten by copies.
        fence_async_proxy();
    }

    // Keeps the compiler from computing what depends on the value in advance: it would take
    // registers in all of the loop.
    static __device__ __forceinline__ int computed_here(int value) {
        asm volatile("" : "+r"(value));
        return value;
    }

    template <int Count>
    __device__ __forceinline__ void hide(float (&s)[Count], int block) const {
        const int first_column = block * block_keys + lane % 4 * 2;
        const int thread_token = computed_here(tile.token + ForwardResult<Shape>::thread_token());
        int first[2];
        int end[2];
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const int token = thread_token + row * Shape::row_tokens;
            first[row] = visible.first(token) - first_column;
            end[row] = visible.end(token) - first_column;
        }
        hide_keys<Shape::is_windowed>(s, first, end);
    }

    // Lets go of the keys of this step, and of the tile's queries behind its last one.
    __device__ __forceinline__ void release_keys(int block) const {
        const u32 empty = memory.key_ring().empty(k.stage);
        if constexpr (Shape::cluster > 1) {
            if (lane < Shape::cluster) {
                arrive_in_cluster(told_base + (empty - memory.base));
            }
        } else if (lane == 0) {
            arrive(empty);
        }
        if (!Tuning::q_in_registers && block == blocks.first) {
            release_queries();
        }
    }

    __device__ __forceinline__ void release_queries() const {
        __syncwarp();
        if (lane == 0) {
            arrive(memory.query_ring().empty(q.stage * Shape::warpgroups + warpgroup));
        }
    }

    // One thread for the warpgroup: its warps read values by products alone, which they end
    // together.
    __device__ __forceinline__ void release_values() const {
        const u32 empty = memory.value_ring().empty(v.stage);
        if constexpr (Shape::cluster > 1) {
            if (thread < Shape::cluster) {
                arrive_in_cluster(told_base + (empty - memory.base));
            }
        } else if (thread == 0) {
            arrive(empty);
        }
    }

    template <int Count>
    __device__ __forceinline__ void keep_weights(const float (&s)[Count]) {
#pragma unroll
        for (int index = 0; index < Count / 2; ++index) {
            weights[index] = pack<Element>(s[2 * index], s[2 * index + 1]);
        }
    }

    __device__ __forceinline__ void clear_sums() {
#pragma unroll
        for (int index = 0; index < Shape::head_dim / 2; ++index) {
            sums[index] = 0.0f;
        }
    }

    __device__ __forceinline__ void shrink_sums() {
#pragma unroll
        for (int index = 0; index < Shape::head_dim / 2; ++index) {
            sums[index] *= rows.shrink[index / 2 % 2];
        }
    }
};

}  // namespace minuend
