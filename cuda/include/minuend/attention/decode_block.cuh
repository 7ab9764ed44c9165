// Attention of few query tokens over many keys, by matrix products of 16-bit elements.
//
// A thread block has the keys [first, end) of one batch element and K/V head, and all query rows
// that read them: row r is query head r % Group of the K/V head's group at token r / Group. The
// block's rings take tiles of keys in turn. A ring's warps share its tiles and divide the rows,
// 16 * RowTiles rows each; no two rings wait for each other before their results are merged.
//
// Of the 16 rows of a row tile a thread has rows lane / 4 and lane / 4 + 8 of scores and sums, and
// of every 8 columns 2 * (lane % 4) and the next: element 2 * half + column of
// [row tile][column / 8].
#pragma once

#include "minuend/attention/decode_ring.cuh"
#include "minuend/attention/decode_shape.cuh"
#include "minuend/attention/merge.cuh"
#include "minuend/cluster.cuh"
#include "minuend/dependency.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

namespace minuend {

// Products: how scores and sums are multiplied, MmaProducts or WarpgroupProducts.
template <typename Shape, typename Products>
struct DecodeBlock {
    using Element = typename Shape::Element;
    using Merge = typename Shape::Merge;

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
        if (splits > Shape::cluster) {
            const int cluster = split / Shape::cluster;
            if (lane == 29) {
                prefetch(operands.counters);
            }
            if (lane == 30) {
                prefetch(operands.logsumexps + cluster * Shape::rows);
            }
            if (lane == 31) {
                prefetch(operands.vectors + cluster * (Shape::rows * Merge::columns));
            }
        }
    }

    // All threads of a block. Block i along x has `chunk` keys from first + i * chunk on, multiples
    // of 16 keys.
    template <typename Loader>
    static __device__ __forceinline__ void run(Loader ring, const DecodeOperands<Shape>& operands,
                                               int first, int chunk, unsigned char* shared) {
        const int split = blockIdx.x;
        const int splits = gridDim.x;
        const int first_key = first + split * chunk;
        const int end_key = min(first_key + chunk, operands.visible.keys);
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
        // The keys [low, high) that rows see; rows that are none see what all see.
        int low[Shape::row_tiles][2];
        int high[Shape::row_tiles][2];
#pragma unroll
        for (int tile = 0; tile < Shape::row_tiles; ++tile) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = (row_warp * Shape::row_tiles + tile) * 16 + half * 8 + lane / 4;
                const int token = row < Shape::rows ? row / Shape::group : 0;
                low[tile][half] = operands.visible.first(token);
                high[tile][half] = min(operands.visible.end(token), end_key);
            }
        }
        // The newest keys and values, and the queries, come from the kernels in front.
        let_next_start();
        wait_for_previous();
#pragma unroll 1
        for (int tile = 0; tile < Shape::stages; ++tile) {
            ring.template load<false>(tile, ring_first + tile * stride, tile < tiles);
            ring.template load<true>(tile, ring_first + tile * stride, tile < tiles);
        }
        if (warp == Shape::warps - 1) {
            prefetch_merge(operands, split, splits);
        }

        Products products;
        products.load_queries(operands, shared, row_warp);
        const int seen_from = operands.visible.first(Shape::queries - 1);
        const int seen_to = min(operands.visible.end(0), end_key);
        const float scale = operands.scale_log2;
        const bool has_rows =
            Shape::row_warps == 1 || row_warp * Shape::row_tiles * 16 < Shape::rows;

        float sums[Shape::row_tiles][Shape::value_dim / 8][4] = {};
        float most[Shape::row_tiles][2];
        float total[Shape::row_tiles][2] = {};
#pragma unroll
        for (int tile = 0; tile < Shape::row_tiles; ++tile) {
            most[tile][0] = most[tile][1] = no_score;
        }

        int stage = 0;
        int round = 0;
#pragma unroll 1
        for (int tile = 0; tile < tiles; ++tile) {
            const int key = ring_first + tile * stride;
            float scores[Shape::row_tiles][Shape::tile_keys / 8][4];
            products.score(ring.template wait<false>(stage, round), scores);
            sync_ring<Shape::row_warps>(ring_index);
            ring.template load<false>(stage, key + Shape::stages * stride,
                                      tile + Shape::stages < tiles);

            u32 weights[Shape::row_tiles][Shape::tile_keys / 16][4] = {};
            if (has_rows) {
                if (key + Shape::tile_keys > seen_to || key < seen_from) {
                    hide(scores, low, high, key);
                }
                weigh(scores, scale, most, total, sums, weights);
            }

            products.accumulate(ring.template wait<true>(stage, round), weights, sums);
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

    // One step of the online softmax: scores become weights, older sums shrink if a maximum has
    // grown.
    static __device__ __forceinline__ void weigh(
        float (&scores)[Shape::row_tiles][score_tiles][4], float scale,
        float (&most)[Shape::row_tiles][2], float (&total)[Shape::row_tiles][2],
        float (&sums)[Shape::row_tiles][sum_tiles][4],
        u32 (&weights)[Shape::row_tiles][score_tiles / 2][4]) {
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
    static __device__ __forceinline__ void leave(
        const float (&sums)[Shape::row_tiles][sum_tiles][4],
        const float (&most)[Shape::row_tiles][2], const float (&total)[Shape::row_tiles][2],
        int row_warp, int ring_index, unsigned char* shared) {
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

    // Merges the rings' results, then those of the cluster's blocks, then those of the clusters.
    static __device__ __forceinline__ void merge(const DecodeOperands<Shape>& operands, int split,
                                                 int splits, unsigned char* shared) {
        using Place = typename Merge::Place;
        using Sum = typename Merge::Sum;
        constexpr int places = Shape::rows * (Merge::columns / 4);
        float* floats = reinterpret_cast<float*>(shared);
        const float2* row_sums = reinterpret_cast<const float2*>(shared + Shape::sums_at);
        const MergeTarget<Element>& to = operands.target;
        const auto of_rings = [&](const Place& place) {
            return Merge::of_parts(floats, Shape::ring_bytes / 4, row_sums, Shape::padded_rows,
                                   operands.scale_log2, place);
        };

        const int cluster = split / Shape::cluster;
        const int rank = split % Shape::cluster;
        const int clusters = splits / Shape::cluster;
        float* vectors = operands.vectors + cluster * (Shape::rows * Merge::columns);
        float* logsumexps = operands.logsumexps + cluster * Shape::rows;
        // Places that a block of the cluster merges.
        constexpr int share = (places + 32 * Shape::cluster - 1) / (32 * Shape::cluster) * 32;
        const int first = rank * share;
        const int end = min(first + share, places);

        if constexpr (Shape::cluster == 1) {
            if (clusters == 1) {
                Merge::each_place(0, places, [&](const Place& place, bool live) {
                    const float factor = Merge::factor(to, place.row());
                    Merge::finish(to, factor, place, of_rings(place), live);
                });
                return;
            }
            Merge::each_place(0, places, [&](const Place& place, bool live) {
                Merge::leave(vectors, logsumexps, place, of_rings(place), live);
            });
        } else {
            // The block's result takes the place of its first ring's, element by element.
            float* block_logsumexps = reinterpret_cast<float*>(shared + Shape::logsumexps_at);
            Merge::each_place(0, places, [&](const Place& place, bool live) {
                const Sum sum = of_rings(place);
                if (live) {
                    *reinterpret_cast<float4*>(floats + place.row() * Merge::pitch + place.column) =
                        sum.normalised();
                    if (place.column == 0) {
                        block_logsumexps[place.row()] = sum.logsumexp();
                    }
                }
            });
            sync_cluster();
            const u32 vectors_at = shared_address(floats);
            const u32 logsumexps_at = shared_address(block_logsumexps);
            Merge::each_place(first, end, [&](const Place& place, bool live) {
                const float factor = clusters == 1 ? Merge::factor(to, place.row()) : 0.0f;
                const Sum sum =
                    Merge::template of_cluster<Shape::cluster>(vectors_at, logsumexps_at, place);
                if (clusters == 1) {
                    Merge::finish(to, factor, place, sum, live);
                } else {
                    Merge::leave(vectors, logsumexps, place, sum, live);
                }
            });
            // A block stays until the others have read its memory.
            arrive_cluster();
        }
        if (clusters > 1) {
            u32* flag = reinterpret_cast<u32*>(shared + Shape::flag_at);
            if (Merge::is_last(operands.counters + rank, clusters, flag)) {
                Merge::each_place(first, end, [&](const Place& place, bool live) {
                    const float factor = Merge::factor(to, place.row());
                    const Sum sum = Merge::of_splits(operands.vectors, operands.logsumexps,
                                                     clusters, Shape::rows, place);
                    Merge::finish(to, factor, place, sum, live);
                });
            }
        }
        if constexpr (Shape::cluster > 1) {
            wait_cluster();
        }
    }
};

}  // namespace minuend
