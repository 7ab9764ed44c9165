// Attention of few query tokens over many keys, by matrix products of 16-bit elements.
//
// A thread block has the keys [first, end) of one batch element and K/V head, and all query rows that
// read them: row r is query head r % Group of the K/V head's group at token r / Group. The block's rings
// take tiles of keys in turn. A ring's warps share its tiles and divide the rows, 16 * RowTiles rows each;
// no two rings wait for each other before their results are merged.
//
// Fragments are those of mma.m16n8k16: a thread has rows lane / 4 and lane / 4 + 8 of a row tile, and
// columns 2 * (lane % 4) and the next of every 8.
#pragma once

#include "minuend/attention/decode_ring.cuh"
#include "minuend/attention/merge.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

namespace minuend {

// What a kernel is compiled for. Group: query heads of a K/V head. Rings of RowWarps warps each.
template <typename Element_, int HeadDim, int ValueDim, int Streams, int Group, int Queries,
          int Rings, int RowWarps, int RowTiles, int TileKeys, int Stages>
struct DecodeShape {
    using Element = Element_;
    using Ring = RingShape<Element, TileKeys, HeadDim, ValueDim, Stages, RowWarps>;

    static constexpr int head_dim = HeadDim;
    static constexpr int value_dim = ValueDim;
    static constexpr int group = Group;
    static constexpr int queries = Queries;
    static constexpr int streams = Streams;
    static constexpr int rings = Rings;
    static constexpr int row_warps = RowWarps;
    static constexpr int row_tiles = RowTiles;
    static constexpr int tile_keys = TileKeys;
    static constexpr int stages = Stages;

    static constexpr int rows = Group * Queries;
    static constexpr int padded_rows = RowWarps * RowTiles * 16;
    static constexpr int warps = Rings * RowWarps;
    static constexpr int threads = warps * 32;

    using Merge = minuend::Merge<Element, Streams, ValueDim, Rings, threads, true>;

    // Bytes of shared memory of a ring, which holds the ring's result at last.
    static constexpr int result_bytes = rows * Merge::pitch * 4;
    static constexpr int ring_bytes =
        ((Ring::bytes > result_bytes ? Ring::bytes : result_bytes) + 1023) / 1024 * 1024;
    // Behind the rings: barriers, {m, l} of every ring's rows, a flag.
    static constexpr int barriers_at = Rings * ring_bytes;
    static constexpr int sums_at = barriers_at + Rings * Ring::barriers_bytes;
    static constexpr int flag_at = sums_at + Rings * padded_rows * 8;
    static constexpr int shared_bytes = flag_at + 16;

    static_assert(HeadDim % 16 == 0 && ValueDim % 16 == 0, "products take 16 columns");
    static_assert(Group % Streams == 0, "the heads of a pair read one K/V head");
    static_assert(rows <= padded_rows, "all rows have a place");
    static_assert(RowWarps == 1 || Rings < 16, "a ring of several warps has a barrier");
    static_assert(rows * Merge::most_splits * 4 <= Rings * ring_bytes, "weights reuse the rings");
};

// Operands of one batch element and K/V head, and what its blocks share.
template <typename Shape>
struct DecodeOperands {
    using Element = typename Shape::Element;

    const Element* q;
    long long q_head;
    long long q_token;
    MergeTarget<Element> target;
    // Normalised vectors [splits, rows, value_dim] and base-2 logsumexps [splits, rows].
    float* vectors;
    float* logsumexps;
    u32* counter;
    VisibleKeys visible;
    // Positive: the factor of scores, times log2(e).
    float scale_log2;
};

// The operands of the calling block, which has K/V head blockIdx.x of batch element blockIdx.z, from those
// of the launch. Strides: batches, heads, tokens.
template <typename Shape, typename Element = typename Shape::Element>
__device__ __forceinline__ DecodeOperands<Shape> decode_operands(
    const Element* q, const Strides& q_strides, const Element* lambda, const Strides& lambda_strides,
    Element* out, const Strides& out_strides, float* vectors, float* logsumexps, u32* counters,
    const VisibleKeys& visible, float scale_log2) {
    const int head = blockIdx.x * (Shape::group / Shape::streams);
    const int batch = blockIdx.z;
    const int slot = batch * gridDim.x + blockIdx.x;
    const long long rows = (long long)(slot) * gridDim.y * Shape::rows;
    DecodeOperands<Shape> operands;
    operands.q = q + batch * q_strides.at[0] + head * Shape::streams * q_strides.at[1];
    operands.q_head = q_strides.at[1];
    operands.q_token = q_strides.at[2];
    operands.target.group_heads = Shape::group / Shape::streams;
    operands.target.first_item = 0;
    operands.target.lambda =
        lambda + batch * lambda_strides.at[0] + head * lambda_strides.at[1];
    operands.target.lambda_head = lambda_strides.at[1];
    operands.target.lambda_token = lambda_strides.at[2];
    operands.target.out = out + batch * out_strides.at[0] + head * out_strides.at[1];
    operands.target.out_head = out_strides.at[1];
    operands.target.out_token = out_strides.at[2];
    operands.vectors = vectors + rows * Shape::Merge::columns;
    operands.logsumexps = logsumexps + rows;
    operands.counter = counters + slot;
    operands.visible = visible;
    operands.scale_log2 = scale_log2;
    return operands;
}

template <typename Shape>
struct DecodeBlock {
    using Element = typename Shape::Element;
    using Merge = typename Shape::Merge;

    static constexpr int key_steps = Shape::head_dim / 16;
    static constexpr int value_steps = Shape::value_dim / 16;
    static constexpr int tile_steps = Shape::tile_keys / 16;
    static constexpr int slab_bytes = Shape::Ring::slab_bytes;

    // Touches what the merge needs, none of which need be in the second-level cache yet.
    static __device__ __forceinline__ void prefetch_merge(const DecodeOperands<Shape>& operands,
                                                          int split, int splits) {
        const int lane = threadIdx.x % 32;
        const MergeTarget<Element>& to = operands.target;
        if (lane < Shape::queries && Shape::streams == 2) {
            prefetch(to.lambda + lane * to.lambda_token);
        }
        if (lane < Shape::queries) {
            prefetch(to.out + lane * to.out_token);
        }
        if (splits > 1) {
            if (lane == 29) {
                prefetch(operands.counter);
            }
            if (lane == 30) {
                prefetch(operands.logsumexps + split * Shape::rows);
            }
            if (lane == 31) {
                prefetch(operands.vectors + (long long)(split) * Shape::rows * Merge::columns);
            }
        }
    }

    // All threads of block `split` of `splits`, which has keys [first_key, end_key); first_key is a
    // multiple of 16 keys.
    template <typename Loader>
    static __device__ __forceinline__ void run(Loader ring, const DecodeOperands<Shape>& operands,
                                               int split, int splits, int first_key, int end_key,
                                               unsigned char* shared) {
        const int lane = threadIdx.x % 32;
        const int warp = __shfl_sync(~0u, int(threadIdx.x) / 32, 0);
        const int ring_index = warp / Shape::row_warps;
        const int row_warp = warp % Shape::row_warps;

        // The ring has tiles ring_index, ring_index + rings, .. of the block's keys.
        constexpr int stride = Shape::rings * Shape::tile_keys;
        const int ring_first = first_key + ring_index * Shape::tile_keys;
        const int tiles = ring_first < end_key ? (end_key - ring_first + stride - 1) / stride : 0;

        const u32 shared_at = shared_address(shared);
        ring.start(ring_index, shared_at + ring_index * Shape::ring_bytes,
                   shared_at + Shape::barriers_at + ring_index * Shape::Ring::barriers_bytes,
                   row_warp);
#pragma unroll 1
        for (int tile = 0; tile < Shape::stages; ++tile) {
            ring.template load<false>(tile, ring_first + tile * stride, tile < tiles);
            ring.template load<true>(tile, ring_first + tile * stride, tile < tiles);
        }
        if (warp == Shape::warps - 1) {
            prefetch_merge(operands, split, splits);
        }

        // Queries, and the keys [low, high) that they see; rows that are none see what all see.
        u32 q[Shape::row_tiles][key_steps][4];
        int low[Shape::row_tiles][2];
        int high[Shape::row_tiles][2];
#pragma unroll
        for (int tile = 0; tile < Shape::row_tiles; ++tile) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = (row_warp * Shape::row_tiles + tile) * 16 + half * 8 + lane / 4;
                const bool exists = row < Shape::rows;
                const int token = exists ? row / Shape::group : 0;
                const int head = exists ? row % Shape::group : 0;
                const u32* from = reinterpret_cast<const u32*>(
                                      operands.q + head * operands.q_head + token * operands.q_token) +
                                  lane % 4;
                low[tile][half] = operands.visible.first(token);
                high[tile][half] = min(operands.visible.end(token), end_key);
#pragma unroll
                for (int step = 0; step < key_steps; ++step) {
                    q[tile][step][half] = exists ? from[step * 8] : 0u;
                    q[tile][step][2 + half] = exists ? from[step * 8 + 4] : 0u;
                }
            }
        }
        const int seen_from = operands.visible.first(Shape::queries - 1);
        const int seen_to = min(operands.visible.end(0), end_key);
        const float scale = operands.scale_log2;

        float sums[Shape::row_tiles][Shape::value_dim / 8][4] = {};
        float most[Shape::row_tiles][2];
        float total[Shape::row_tiles][2] = {};
#pragma unroll
        for (int tile = 0; tile < Shape::row_tiles; ++tile) {
            most[tile][0] = most[tile][1] = NO_SCORE;
        }

        // Where the lane's matrix rows lie in a tile; see load_matrices and the order of tiles.
        const u32 key_place = ((lane / 16) * 8 + lane % 8) * 128 + (((lane / 8 & 1) ^ lane % 8) << 4);
        const u32 value_place = ((lane / 8 & 1) * 8 + lane % 8) * 128 + ((lane / 16 ^ lane % 8) << 4);

        int stage = 0;
        int round = 0;
#pragma unroll 1
        for (int tile = 0; tile < tiles; ++tile) {
            const int key = ring_first + tile * stride;
            const u32 keys_at = ring.template wait<false>(stage, round) + key_place;
            float scores[Shape::row_tiles][tile_steps * 2][4] = {};
#pragma unroll
            for (int step = 0; step < key_steps; ++step) {
#pragma unroll
                for (int part = 0; part < tile_steps; ++part) {
                    u32 b[4];
                    load_matrices(b, (keys_at + part * 2048 + step / 4 * slab_bytes) ^ (step % 4 << 5));
#pragma unroll
                    for (int i = 0; i < Shape::row_tiles; ++i) {
                        mma_16x8x16<Element>(scores[i][2 * part], q[i][step], b[0], b[1]);
                        mma_16x8x16<Element>(scores[i][2 * part + 1], q[i][step], b[2], b[3]);
                    }
                }
            }
            sync_ring<Shape::row_warps>(ring_index);
            ring.template load<false>(stage, key + Shape::stages * stride,
                                      tile + Shape::stages < tiles);

            if (key + Shape::tile_keys > seen_to || key < seen_from) {
                hide(scores, low, high, key);
            }
            u32 weights[Shape::row_tiles][tile_steps][4];
            weigh(scores, scale, most, total, sums, weights);

            const u32 values_at = ring.template wait<true>(stage, round) + value_place;
#pragma unroll
            for (int step = 0; step < value_steps; ++step) {
#pragma unroll
                for (int part = 0; part < tile_steps; ++part) {
                    u32 b[4];
                    load_matrices_transposed(
                        b, (values_at + part * 2048 + step / 4 * slab_bytes) ^ (step % 4 << 5));
#pragma unroll
                    for (int i = 0; i < Shape::row_tiles; ++i) {
                        mma_16x8x16<Element>(sums[i][2 * step], weights[i][part], b[0], b[1]);
                        mma_16x8x16<Element>(sums[i][2 * step + 1], weights[i][part], b[2], b[3]);
                    }
                }
            }
            sync_ring<Shape::row_warps>(ring_index);
            ring.template load<true>(stage, key + Shape::stages * stride,
                                     tile + Shape::stages < tiles);
            if (++stage == Shape::stages) {
                stage = 0;
                ++round;
            }
        }
        ring.finish();
        leave(sums, most, total, row_warp, ring_index, shared);
        __syncthreads();
        merge(operands, split, splits, shared);
    }

  private:
    static constexpr int score_tiles = Shape::tile_keys / 8;
    static constexpr int sum_tiles = Shape::value_dim / 8;

    // Takes the keys outside [low, high) out of the scores of the tile at `key`.
    static __device__ __forceinline__ void hide(float (&scores)[Shape::row_tiles][score_tiles][4],
                                                const int (&low)[Shape::row_tiles][2],
                                                const int (&high)[Shape::row_tiles][2], int key) {
        const int column = key + threadIdx.x % 4 * 2;
#pragma unroll
        for (int i = 0; i < Shape::row_tiles; ++i) {
#pragma unroll
            for (int j = 0; j < score_tiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int at = column + 8 * j + e % 2;
                    if (at < low[i][e / 2] || at >= high[i][e / 2]) {
                        scores[i][j][e] = -infinity();
                    }
                }
            }
        }
    }

    // One step of the online softmax: scores become weights, older sums shrink if a maximum has grown.
    static __device__ __forceinline__ void weigh(float (&scores)[Shape::row_tiles][score_tiles][4],
                                                 float scale, float (&most)[Shape::row_tiles][2],
                                                 float (&total)[Shape::row_tiles][2],
                                                 float (&sums)[Shape::row_tiles][sum_tiles][4],
                                                 u32 (&weights)[Shape::row_tiles][tile_steps][4]) {
#pragma unroll
        for (int i = 0; i < Shape::row_tiles; ++i) {
            float grown[2] = {most[i][0], most[i][1]};
#pragma unroll
            for (int j = 0; j < score_tiles; ++j) {
                grown[0] = fmaxf(grown[0], fmaxf(scores[i][j][0], scores[i][j][1]));
                grown[1] = fmaxf(grown[1], fmaxf(scores[i][j][2], scores[i][j][3]));
            }
#pragma unroll
            for (int distance = 1; distance < 4; distance *= 2) {
                grown[0] = fmaxf(grown[0], __shfl_xor_sync(~0u, grown[0], distance));
                grown[1] = fmaxf(grown[1], __shfl_xor_sync(~0u, grown[1], distance));
            }
            if (__any_sync(~0u, grown[0] > most[i][0] || grown[1] > most[i][1])) {
                const float shrink[2] = {exp2_approx((most[i][0] - grown[0]) * scale),
                                         exp2_approx((most[i][1] - grown[1]) * scale)};
                most[i][0] = grown[0];
                most[i][1] = grown[1];
                total[i][0] *= shrink[0];
                total[i][1] *= shrink[1];
#pragma unroll
                for (int j = 0; j < sum_tiles; ++j) {
                    sums[i][j][0] *= shrink[0];
                    sums[i][j][1] *= shrink[0];
                    sums[i][j][2] *= shrink[1];
                    sums[i][j][3] *= shrink[1];
                }
            }
            const float base[2] = {most[i][0] * scale, most[i][1] * scale};
#pragma unroll
            for (int j = 0; j < score_tiles; ++j) {
                float weight[4];
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    weight[e] = exp2_approx(fmaf(scores[i][j][e], scale, -base[e / 2]));
                }
                total[i][0] += weight[0] + weight[1];
                total[i][1] += weight[2] + weight[3];
                weights[i][j / 2][j % 2 * 2] = pack<Element>(weight[0], weight[1]);
                weights[i][j / 2][j % 2 * 2 + 1] = pack<Element>(weight[2], weight[3]);
            }
        }
    }

    // Leaves the warp's results in the memory of its ring, all tiles of which have been read.
    static __device__ __forceinline__ void leave(const float (&sums)[Shape::row_tiles][sum_tiles][4],
                                                 const float (&most)[Shape::row_tiles][2],
                                                 const float (&total)[Shape::row_tiles][2],
                                                 int row_warp, int ring_index,
                                                 unsigned char* shared) {
        const int lane = threadIdx.x % 32;
        float* vectors = reinterpret_cast<float*>(shared + ring_index * Shape::ring_bytes);
        float2* row_sums = reinterpret_cast<float2*>(shared + Shape::sums_at) +
                           ring_index * Shape::padded_rows;
#pragma unroll
        for (int i = 0; i < Shape::row_tiles; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = (row_warp * Shape::row_tiles + i) * 16 + half * 8 + lane / 4;
                float sum = total[i][half];
                sum += __shfl_xor_sync(~0u, sum, 1);
                sum += __shfl_xor_sync(~0u, sum, 2);
                if (row < Shape::rows) {
                    if (lane % 4 == 0) {
                        row_sums[row] = make_float2(most[i][half], sum);
                    }
                    float* to = vectors + row * Merge::pitch + lane % 4 * 2;
#pragma unroll
                    for (int j = 0; j < sum_tiles; ++j) {
                        *reinterpret_cast<float2*>(to + 8 * j) =
                            make_float2(sums[i][j][2 * half], sums[i][j][2 * half + 1]);
                    }
                }
            }
        }
    }

    // Merges the rings' results, then those of the blocks if there are several.
    static __device__ __forceinline__ void merge(const DecodeOperands<Shape>& operands, int split,
                                                 int splits, unsigned char* shared) {
        float* floats = reinterpret_cast<float*>(shared);
        const float2* row_sums = reinterpret_cast<const float2*>(shared + Shape::sums_at);
        float* vectors = operands.vectors + (long long)(split) * Shape::rows * Merge::columns;
        float* logsumexps = operands.logsumexps + split * Shape::rows;
        Merge::parts(floats, Shape::ring_bytes / 4, row_sums, Shape::padded_rows, Shape::rows,
                     operands.scale_log2, splits == 1, operands.target, vectors, logsumexps);
        if (splits == 1) {
            return;
        }
        u32* flag = reinterpret_cast<u32*>(shared + Shape::flag_at);
        if (Merge::is_last(operands.counter, splits, flag)) {
            Merge::template splits<Shape::rows>(operands.vectors, operands.logsumexps, splits,
                                                Shape::rows, floats, operands.target);
        }
    }
};

}  // namespace minuend
