// The warps that correct sums of weighted values when the softmax changes what exponents are
// relative to, and that make the result of them. A thread has one row of both stages.
#pragma once

#include "minuend/attention/forward_tiles.cuh"
#include "minuend/attention/tcgen05_memory.cuh"
#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/attention/tcgen05_tiles.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/named_barrier.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/tcgen05.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Where the result goes and what the second softmax is multiplied by.
template <typename Element>
struct Tcgen05Result {
    // Axes columns, tokens, output heads, batches; boxes of a warp's rows of 64 columns.
    const TensorMap& map;
    // [batch, output heads, queries] with these strides in elements; before the sigmoid.
    const Element* lambda;
    long long lambda_batch;
    long long lambda_head;
    long long lambda_token;
    int queries;
};

template <class Shape>
class Tcgen05Correction {
    using Element = typename Shape::Element;
    using Memory = Tcgen05Memory<Shape>;

    static constexpr int stages = Shape::stages;
    static constexpr int moved = tcgen05::moved_columns;

    const Memory memory;
    const Tcgen05Result<Element>& result;
    // Number among the correcting warps, which is also that of its part of the lanes.
    const int warp;
    const int lane = threadIdx.x % 32;
    // This warp's lanes in tensor memory.
    const u32 tensor;

    // Of note_full and sums_full, of both stages: a note comes with every block of keys that sums
    // have taken in.
    Phase done;

  public:
    __device__ __forceinline__ Tcgen05Correction(Memory memory,
                                                 const Tcgen05Result<Element>& result, int warp,
                                                 u32 tensor)
        : memory(memory),
          result(result),
          warp(warp % Shape::role_warps),
          tensor(tensor + tcgen05::first_lane(warp)) {}

    // All tiles.
    __device__ __forceinline__ void run(TileTurns turns, const VisibleKeys& visible) {
        ForwardTile tile;
        while (turns.take<Shape>(tile)) {
            // The sums of the tile before have been read.
#pragma unroll
            for (int stage = 0; stage < stages; ++stage) {
                hand_over_tensor_memory(memory.barrier(Memory::sums_ready, stage));
            }
            const float lambda = lambda_of(tile);
            const KeyBlocks blocks = KeyBlocks::of<Shape>(tile, visible);
#pragma unroll 1
            for (int left = blocks.end - blocks.first - 1; left > 0; --left) {
#pragma unroll
                for (int stage = 0; stage < stages; ++stage) {
                    correct(stage);
                }
                done.advance();
            }
            finish(tile, lambda);
            done.advance();
        }
        wait_for_reads_of_stores();
    }

  private:
    // Shrinks the sums of a stage before they take in another block, if one of the warp's rows has
    // to.
    __device__ __forceinline__ void correct(int stage) const {
        const float shrink = read_note(stage);
        take_over_tensor_memory(memory.barrier(Memory::sums_full, stage), done.parity);
        if (__any_sync(0xffffffffu, shrink != 1.0f)) {
#pragma unroll
            for (int column = 0; column < Shape::head_dim; column += moved) {
                const u32 at = tensor + Shape::sums_column(stage) + column;
                float sums[moved];
                tcgen05::load(sums, at);
                tcgen05::wait_for_loads(sums);
#pragma unroll
                for (int index = 0; index < moved; ++index) {
                    sums[index] *= shrink;
                }
                tcgen05::store(at, sums);
            }
            tcgen05::wait_for_stores();
        }
        hand_over_tensor_memory(memory.barrier(Memory::sums_ready, stage));
    }

    // Normalises the sums of a tile, takes the difference, and starts the stores.
    __device__ __forceinline__ void finish(const ForwardTile& tile, float lambda) const {
        float factor[stages];
#pragma unroll
        for (int stage = 0; stage < stages; ++stage) {
            const float sum = read_note(stage);
            // Without a key to see, the result is 0.
            factor[stage] = sum == 0.0f ? 0.0f : reciprocal_approx(sum);
        }
        if constexpr (Shape::streams == 2) {
            factor[1] *= reciprocal_approx(1.0f + exp2_approx(-log2_e * lambda));
        }
#pragma unroll
        for (int stage = 0; stage < stages; ++stage) {
            take_over_tensor_memory(memory.barrier(Memory::sums_full, stage), done.parity);
        }
        if constexpr (Shape::streams == 2) {
            wait_for_staging();
#pragma unroll
            for (int column = 0; column < Shape::head_dim; column += moved) {
                float first[moved];
                float second[moved];
                tcgen05::load(first, tensor + Shape::sums_column(0) + column);
                tcgen05::load(second, tensor + Shape::sums_column(1) + column);
                tcgen05::wait_for_loads(first);
                tcgen05::wait_for_loads(second);
#pragma unroll
                for (int index = 0; index < moved; ++index) {
                    first[index] = first[index] * factor[0] - second[index] * factor[1];
                }
                stage_columns(first, column);
            }
            store(tile.token, tile.unit, tile.batch);
        } else {
#pragma unroll 1
            for (int stage = 0; stage < stages; ++stage) {
                const float stage_factor = stage == 0 ? factor[0] : factor[1];
                wait_for_staging();
#pragma unroll
                for (int column = 0; column < Shape::head_dim; column += moved) {
                    float sums[moved];
                    tcgen05::load(sums, tensor + Shape::sums_column(stage) + column);
                    tcgen05::wait_for_loads(sums);
#pragma unroll
                    for (int index = 0; index < moved; ++index) {
                        sums[index] *= stage_factor;
                    }
                    stage_columns(sums, column);
                }
                store(tile.token + stage * Shape::stage_tokens,
                      tile.unit * Shape::tile_heads + stage * Shape::stage_heads, tile.batch);
            }
        }
    }

    // What the second softmax is to be multiplied by, before its sigmoid.
    __device__ __forceinline__ float lambda_of(const ForwardTile& tile) const {
        if constexpr (Shape::streams == 2) {
            const int token = tile.token + warp * tcgen05::warp_lanes + lane;
            if (token < result.queries) {
                return to_float(result.lambda[tile.batch * result.lambda_batch +
                                              tile.unit * result.lambda_head +
                                              token * result.lambda_token]);
            }
        }
        return 0.0f;
    }

    // What the softmax says of this thread's row.
    __device__ __forceinline__ float read_note(int stage) const {
        wait_or_trap(memory.barrier(Memory::note_full, stage), done.parity);
        float value;
        asm volatile("ld.shared.f32 %0, [%1];"
                     : "=f"(value)
                     : "r"(memory.note(stage, warp * tcgen05::warp_lanes + lane))
                     : "memory");
        arrive_as_warp(memory.barrier(Memory::note_empty, stage));
        return value;
    }

    // Until the copy engine has read what this warp stored before. One of its threads started
    // that.
    __device__ __forceinline__ void wait_for_staging() const {
        wait_for_reads_of_stores();
        __syncwarp();
    }

    // Writes 32 columns of this thread's row to the warp's shared memory.
    __device__ __forceinline__ void stage_columns(const float (&values)[moved], int column) const {
        const u32 in_warp = computed_here(lane);
        const u32 row = memory.out(warp) + column / Shape::chunk_columns * Shape::out_chunk_bytes +
                        in_warp * Shape::row_bytes;
        const u32 first_vector = column % Shape::chunk_columns / 8;
#pragma unroll
        for (int vector = 0; vector < moved / 8; ++vector) {
            const float* from = values + 8 * vector;
            asm volatile(
                "st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(
                    row + ((first_vector + vector) ^ in_warp % 8) * 16),
                "r"(pack<Element>(from[0], from[1])), "r"(pack<Element>(from[2], from[3])),
                "r"(pack<Element>(from[4], from[5])), "r"(pack<Element>(from[6], from[7]))
                : "memory");
        }
    }

    // Starts the store of what the warp has staged; token: of the tile's first row.
    __device__ __forceinline__ void store(int token, int head, int batch) const {
        fence_async_proxy();
        __syncwarp();
        if (elect_one()) {
#pragma unroll
            for (int chunk = 0; chunk < Shape::chunks; ++chunk) {
                store_box(result.map,
                          {chunk * Shape::chunk_columns, token + warp * tcgen05::warp_lanes, head,
                           batch},
                          memory.out(warp) + chunk * Shape::out_chunk_bytes);
            }
            commit_stores();
        }
        __syncwarp();
    }
};

}  // namespace minuend
