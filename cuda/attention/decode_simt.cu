// Attention of few query tokens over many keys in f32 arithmetic, for f32 activations and for
// whatever the kernels of matrix instructions do not take.
//
// Blocks: splits of the keys along x, K/V heads and their blocks of ROWS query rows along y, batch
// elements along z. Row r of a K/V head is query head r % group of its group at token r / group. A
// block's warps take step_keys keys in turn. The lanes of a warp read whole rows of keys and values:
// lane i has elements i * WIDTH .. of every 32 * WIDTH, of the queries and of the sums too.

#include "minuend/attention/merge.cuh"
#include "minuend/dependency.cuh"
#include "minuend/floats.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

#ifndef ELEMENT
#define ELEMENT float
#endif
#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef VALUE_DIM
#define VALUE_DIM 128
#endif
// Softmaxes that an output head is made of: 1, or 2 for their difference.
#ifndef STREAMS
#define STREAMS 2
#endif
// Query rows of a block: a power of two.
#ifndef ROWS
#define ROWS 8
#endif
// Elements that a lane reads at once: 1, 2 or 4, of which strides and widths are multiples.
#ifndef WIDTH
#define WIDTH 4
#endif

// Warps of a block: as many as have registers, so that enough reads are under way.
#ifndef WARPS
#define WARPS 12
#endif

namespace {

using Element = ELEMENT;
using minuend::MergeTarget;
using minuend::VisibleKeys;

constexpr int warps = WARPS;
constexpr int threads = 32 * WARPS;
// Keys of a warp's step; its scores are one for each lane or fewer.
constexpr int step_keys = 4;
constexpr int step_scores = step_keys * ROWS;
// Lanes that have the same score.
constexpr int score_lanes = 32 / step_scores;

using Merge = minuend::Merge<Element, STREAMS, VALUE_DIM, warps, threads, WIDTH == 4>;

static_assert(step_scores <= 32 && 32 % step_scores == 0, "a lane has one score");
static_assert(ROWS % STREAMS == 0, "a block has both heads of a pair");

// A lane's share of a row of Columns elements; those behind the last are 0.
template <int Columns>
struct LaneRow {
    static constexpr int vectors = (Columns + 32 * WIDTH - 1) / (32 * WIDTH);

    float at[vectors][WIDTH];

    __device__ __forceinline__ static int column(int vector) {
        return (vector * 32 + int(threadIdx.x) % 32) * WIDTH;
    }

    __device__ __forceinline__ void load(const Element* row) {
#pragma unroll
        for (int i = 0; i < vectors; ++i) {
            if (Columns % (32 * WIDTH) == 0 || column(i) < Columns) {
                minuend::load_floats<Element>(row + column(i), at[i]);
            } else {
                clear(at[i]);
            }
        }
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < vectors; ++i) {
            clear(at[i]);
        }
    }

    // Adds scale * other.
    __device__ __forceinline__ void add(float scale, const LaneRow& other) {
#pragma unroll
        for (int i = 0; i < vectors; ++i) {
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                at[i][j] = fmaf(scale, other.at[i][j], at[i][j]);
            }
        }
    }

    __device__ __forceinline__ void shrink(float factor) {
#pragma unroll
        for (int i = 0; i < vectors; ++i) {
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                at[i][j] *= factor;
            }
        }
    }

    // The lane's part of the product with another row.
    __device__ __forceinline__ float dot(const LaneRow& other) const {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < vectors; ++i) {
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                sum = fmaf(at[i][j], other.at[i][j], sum);
            }
        }
        return sum;
    }

  private:
    __device__ __forceinline__ static void clear(float (&values)[WIDTH]) {
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) {
            values[j] = 0.0f;
        }
    }
};

// Sums each of the first N values over the 2 * Distance lanes whose numbers differ in bits up to that
// of Distance. Of 32 lanes, lane i gets sum i / (32 / N).
template <int N, int Distance, int Size>
__device__ __forceinline__ float sum_over_lanes(float (&values)[Size]) {
    if constexpr (Distance == 0) {
        return values[0];
    } else if constexpr (N == 1) {
        values[0] += __shfl_xor_sync(~0u, values[0], Distance);
        return sum_over_lanes<1, Distance / 2>(values);
    } else {
        // Half of the lanes go on with one half of the values, the others with the other.
        const bool upper = threadIdx.x & Distance;
#pragma unroll
        for (int i = 0; i < N / 2; ++i) {
            const float kept = upper ? values[i + N / 2] : values[i];
            const float given = upper ? values[i] : values[i + N / 2];
            values[i] = kept + __shfl_xor_sync(~0u, given, Distance);
        }
        return sum_over_lanes<N / 2, Distance / 2>(values);
    }
}

// What the lanes of a warp know of its rows.
struct WarpRows {
    LaneRow<VALUE_DIM> sums[ROWS];
    // Of row lane / score_lanes % ROWS: the maximum, and the sum over the lane's keys.
    float most = minuend::no_score;
    float total = 0.0f;

    // A lane that has the maximum of a row.
    __device__ __forceinline__ static int lane_of(int row) { return row * score_lanes; }

    // Score `index` is of key index / ROWS and row index % ROWS.
    __device__ __forceinline__ static int lane_of_score(int index) { return index * score_lanes; }

    // Takes in a step's scores, one for each lane, and the values of its keys.
    __device__ __forceinline__ float weigh(float score) {
        float grown = fmaxf(most, score);
#pragma unroll
        for (int distance = ROWS * score_lanes; distance < 32; distance *= 2) {
            grown = fmaxf(grown, __shfl_xor_sync(~0u, grown, distance));
        }
        if (__any_sync(~0u, grown > most)) {
            const float factor = minuend::exp2_approx((most - grown) * minuend::log2_e);
            most = grown;
            total *= factor;
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                sums[row].shrink(__shfl_sync(~0u, factor, lane_of(row)));
            }
        }
        const float weight = minuend::exp2_approx((score - most) * minuend::log2_e);
        total += weight;
        return weight;
    }

    // Leaves the sums as the merge reads them.
    __device__ __forceinline__ void leave(float* vectors, float2* row_sums) const {
        float sum = total;
#pragma unroll
        for (int distance = ROWS * score_lanes; distance < 32; distance *= 2) {
            sum += __shfl_xor_sync(~0u, sum, distance);
        }
        const int lane = threadIdx.x % 32;
        if (lane % score_lanes == 0 && lane / score_lanes < ROWS) {
            row_sums[lane / score_lanes] = make_float2(most, sum);
        }
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
#pragma unroll
            for (int i = 0; i < LaneRow<VALUE_DIM>::vectors; ++i) {
                const int column = LaneRow<VALUE_DIM>::column(i);
                if (column < Merge::columns) {
                    using Floats = minuend::Vector<float, WIDTH>;
                    *reinterpret_cast<Floats*>(vectors + row * Merge::pitch + column) =
                        *reinterpret_cast<const Floats*>(sums[row].at[i]);
                }
            }
        }
    }
};

}  // namespace

// Strides: batches, heads, tokens. `group` counts the query heads of a K/V head. Block i along x has
// chunk keys from first_key + i * chunk on. Splits leave vectors [splits, rows, columns] and
// logsumexps [splits, rows] for every block along y and z, ROWS rows apart.
extern "C" __global__ __launch_bounds__(32 * WARPS, 1) void decode_simt(
    const ELEMENT* q, const minuend::Strides q_strides,
    const ELEMENT* k, const minuend::Strides k_strides,
    const ELEMENT* v, const minuend::Strides v_strides,
    const ELEMENT* lambda, const minuend::Strides lambda_strides,
    ELEMENT* __restrict__ out, const minuend::Strides out_strides, float* vectors,
    float* logsumexps, unsigned int* counters, int group, int queries, int row_blocks, int keys,
    int reach, int window, int first_key, int chunk, float scale) {
    extern __shared__ __align__(16) float shared[];
    constexpr int part_floats = ROWS * Merge::pitch;
    __shared__ float2 row_sums[warps * ROWS];
    __shared__ unsigned int flag;

    minuend::let_next_start();
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int kv_head = blockIdx.y / row_blocks;
    const int first_row = blockIdx.y % row_blocks * ROWS;
    const int split = blockIdx.x;
    const int splits = gridDim.x;
    const int batch = blockIdx.z;
    const int rows = min(ROWS, group * queries - first_row);
    const int begin = first_key + split * chunk;
    const int end = min(begin + chunk, keys);
    const VisibleKeys visible = {keys, reach, window};

    const Element* keys_at = k + batch * k_strides.at[0] + kv_head * k_strides.at[1];
    const Element* values_at = v + batch * v_strides.at[0] + kv_head * v_strides.at[1];
    LaneRow<HEAD_DIM> key[step_keys];
    LaneRow<VALUE_DIM> value[step_keys];
    // Keys behind the last are read as the last.
    const auto load_keys = [&](int from) {
#pragma unroll
        for (int i = 0; i < step_keys; ++i) {
            key[i].load(keys_at + min(from + i, keys - 1) * k_strides.at[2]);
        }
    };
    const auto load_values = [&](int from) {
#pragma unroll
        for (int i = 0; i < step_keys; ++i) {
            value[i].load(values_at + min(from + i, keys - 1) * v_strides.at[2]);
        }
    };

    minuend::wait_for_previous();
    int at = begin + warp * step_keys;
    load_keys(at);
    load_values(at);
    LaneRow<HEAD_DIM> query[ROWS];
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        query[row].clear();
        if (row < rows) {
            const int head = kv_head * group + (first_row + row) % group;
            const int token = (first_row + row) / group;
            query[row].load(q + batch * q_strides.at[0] + head * q_strides.at[1] +
                            token * q_strides.at[2]);
        }
    }
    WarpRows state;
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        state.sums[row].clear();
    }

    // The lane's score is of this key of a step, and of a row that sees keys [low, high).
    const int score_key = lane / score_lanes / ROWS;
    const int score_token = (first_row + min(lane / score_lanes % ROWS, rows - 1)) / group;
    const int low = visible.first(score_token);
    const int high = min(visible.end(score_token), end);

#pragma unroll 1
    for (; at < end; at += warps * step_keys) {
        float scores[step_scores];
#pragma unroll
        for (int i = 0; i < step_keys; ++i) {
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                scores[i * ROWS + row] = query[row].dot(key[i]);
            }
        }
        const int next = at + warps * step_keys;
        if (next < end) {
            load_keys(next);
        }
        float score = sum_over_lanes<step_scores, 16>(scores) * scale;
        if (at + score_key < low || at + score_key >= high) {
            score = -minuend::infinity();
        }
        const float weight = state.weigh(score);
#pragma unroll
        for (int i = 0; i < step_keys; ++i) {
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                const int from = WarpRows::lane_of_score(i * ROWS + row);
                state.sums[row].add(__shfl_sync(~0u, weight, from), value[i]);
            }
        }
        if (next < end) {
            load_values(next);
        }
    }
    state.leave(shared + warp * part_floats, row_sums + warp * ROWS);
    __syncthreads();

    const int heads = group / STREAMS;
    MergeTarget<Element> target;
    target.group_heads = heads;
    target.first_item = first_row / STREAMS;
    target.lambda =
        lambda + batch * lambda_strides.at[0] + kv_head * heads * lambda_strides.at[1];
    target.lambda_head = lambda_strides.at[1];
    target.lambda_token = lambda_strides.at[2];
    target.out = out + batch * out_strides.at[0] + kv_head * heads * out_strides.at[1];
    target.out_head = out_strides.at[1];
    target.out_token = out_strides.at[2];

    const int slot = batch * gridDim.y + blockIdx.y;
    const long long slot_rows = (long long)(slot) * splits * ROWS;
    float* slot_vectors = vectors + slot_rows * Merge::columns;
    float* slot_logsumexps = logsumexps + slot_rows;
    const int places = rows * (Merge::columns / 4);
    const auto of_warps = [&](const Merge::Place& place) {
        return Merge::of_parts(shared, part_floats, row_sums, ROWS, minuend::log2_e, place);
    };
    if (splits == 1) {
        Merge::each_place(0, places, [&](const Merge::Place& place, bool live) {
            const float factor = Merge::factor(target, place.row());
            Merge::finish(target, factor, place, of_warps(place), live);
        });
        return;
    }
    Merge::each_place(0, places, [&](const Merge::Place& place, bool live) {
        Merge::leave(slot_vectors + split * rows * Merge::columns,
                     slot_logsumexps + split * rows, place, of_warps(place), live);
    });
    if (Merge::is_last(counters + slot, splits, &flag)) {
        Merge::each_place(0, places, [&](const Merge::Place& place, bool live) {
            const float factor = Merge::factor(target, place.row());
            const Merge::Sum sum =
                Merge::of_splits(slot_vectors, slot_logsumexps, splits, rows, place);
            Merge::finish(target, factor, place, sum, live);
        });
    }
}
