// Attention in f32 arithmetic: products and sums are fused multiply-adds of single elements, for
// f32 activations and for whatever the kernels of matrix instructions do not take. Differential
// attention (STREAMS = 2) takes the difference of two softmaxes.
//
// A block has 64 rows: 64 queries of a head, or 32 queries of both heads of a pair. Over tiles of
// 64 keys it takes the products with the keys, the weights, and the products with the values;
// operands pass through shared memory in tiles of 64 rows and 64 columns, widened to f32. Thread
// (group, lane) of the 8 x 16 has rows group, group + 8, ..; keys lane, lane + 16, ..; and value
// columns 4 lane .. 4 lane + 3 of each 64. With two streams, rows r and r + 32 are those of one
// query, and of one thread.
//
// A block accumulates 64 COLUMN_TILES value columns; wider values are divided among blocks, each of
// which takes all scores.

#include "minuend/elementary.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

#ifndef ELEMENT
#define ELEMENT float
#endif
// Softmaxes that an output head is made of: 1 or 2.
#ifndef STREAMS
#define STREAMS 2
#endif
// Tiles of 64 value columns that a block accumulates.
#ifndef COLUMN_TILES
#define COLUMN_TILES 2
#endif
// Elements that are loaded at once: 4 where rows and widths are multiples of 4 elements, otherwise
// 1.
#ifndef WIDTH
#define WIDTH 4
#endif

namespace {

using minuend::i64;
using minuend::OnlineSoftmax;
using minuend::VisibleKeys;
using Element = ELEMENT;

constexpr int threads = 128;
constexpr int lanes = 16;
constexpr int groups = threads / lanes;
// Rows, keys and columns of a tile.
constexpr int tile = 64;
constexpr int rows_each = tile / groups;
constexpr int keys_each = tile / lanes;
constexpr int queries_each = rows_each / STREAMS;
constexpr int queries_of_block = tile / STREAMS;

static_assert(STREAMS == 1 || STREAMS == 2, "a head is one softmax or the difference of two");
static_assert(tile == 4 * lanes, "a lane has one vector of each tile's columns");
static_assert(WIDTH == 1 || WIDTH == 4, "rows are read by elements or by vectors of 4");

// Rows of 16 vectors of 4 columns. Row r has vector c at place c ^ r % 8, so that the same vectors
// of 8 neighbouring rows are in different banks.
struct Tile {
    float elements[tile * tile];

    __device__ __forceinline__ static int place(int row, int column) {
        return row * tile + (column ^ row % 8 * 4);
    }

    __device__ __forceinline__ float& at(int row, int column) {
        return elements[place(row, column)];
    }

    __device__ __forceinline__ float4 vector(int row, int column) const {
        return *reinterpret_cast<const float4*>(&elements[place(row, column)]);
    }
};

// Fills a tile with the first `columns` elements of rows, 0 behind them. A row without a pointer is
// 0.
template <typename RowPointer>
__device__ __forceinline__ void load_tile(Tile& to, int columns, RowPointer row_pointer) {
    using Loaded = minuend::Vector<Element, WIDTH>;
    constexpr int vectors_of_row = tile / WIDTH;
    constexpr int rows_at_once = threads / vectors_of_row;
    const int column = int(threadIdx.x) % vectors_of_row * WIDTH;
    const int first_row = int(threadIdx.x) / vectors_of_row;
#pragma unroll 8
    for (int row = first_row; row < tile; row += rows_at_once) {
        const Element* from = row_pointer(row);
        minuend::Vector<float, WIDTH> widened = {};
        if (from != nullptr && column < columns) {
            const Loaded loaded = *reinterpret_cast<const Loaded*>(from + column);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) widened.at[i] = minuend::to_float(loaded.at[i]);
        }
        *reinterpret_cast<minuend::Vector<float, WIDTH>*>(&to.at(row, column)) = widened;
    }
}

// scores += products of the thread's rows and keys over the first `columns` columns.
__device__ __forceinline__ void add_scores(float (&scores)[rows_each][keys_each], const Tile& q,
                                           const Tile& k, int columns, int group, int lane) {
#pragma unroll 2
    for (int column = 0; column < columns; column += 4) {
        float4 key[keys_each];
#pragma unroll
        for (int j = 0; j < keys_each; ++j) key[j] = k.vector(lane + j * lanes, column);
#pragma unroll
        for (int i = 0; i < rows_each; ++i) {
            const float4 query = q.vector(group + i * groups, column);
#pragma unroll
            for (int j = 0; j < keys_each; ++j) {
                float& score = scores[i][j];
                score = fmaf(query.x, key[j].x, score);
                score = fmaf(query.y, key[j].y, score);
                score = fmaf(query.z, key[j].z, score);
                score = fmaf(query.w, key[j].w, score);
            }
        }
    }
}

// sums += weights times values over the first `keys` keys; 4 columns of the thread's rows.
__device__ __forceinline__ void add_values(float4 (&sums)[rows_each], const Tile& weights,
                                           const Tile& v, int keys, int group, int lane) {
#pragma unroll 2
    for (int key = 0; key < keys; key += 4) {
        float4 value[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) value[j] = v.vector(key + j, lane * 4);
#pragma unroll
        for (int i = 0; i < rows_each; ++i) {
            const float4 weight = weights.vector(group + i * groups, key);
            const float each[4] = {weight.x, weight.y, weight.z, weight.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                sums[i].x = fmaf(each[j], value[j].x, sums[i].x);
                sums[i].y = fmaf(each[j], value[j].y, sums[i].y);
                sums[i].z = fmaf(each[j], value[j].z, sums[i].z);
                sums[i].w = fmaf(each[j], value[j].w, sums[i].w);
            }
        }
    }
}

__device__ __forceinline__ float max_over_lanes(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    }
    return x;
}

__device__ __forceinline__ float sum_over_lanes(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

}  // namespace

// q [batch, STREAMS * heads, queries, head_dim], k [batch, kv_heads, keys, head_dim], v likewise
// with value_dim, lambda [batch, heads, queries] (null with one stream), out [batch, heads,
// queries, value_dim], all with dense last axes; lse f32 [batch, STREAMS * heads, queries] or null.
// scale_log2 is the scale times log2(e). Shared memory: 2 + kept_q tiles, where kept_q is the
// number of column tiles of q that stay there: all of head_dim, or 1 tile that is loaded over and
// over.
// Grid: query tiles (those that see most keys first) x batch x heads x slices of value columns.
extern "C" __global__ __launch_bounds__(128, 2) void attention_forward_simt(
    const ELEMENT* __restrict__ q, const ELEMENT* __restrict__ k, const ELEMENT* __restrict__ v,
    const ELEMENT* __restrict__ lambda, ELEMENT* __restrict__ out, float* __restrict__ lse,
    const minuend::Strides q_strides, const minuend::Strides k_strides,
    const minuend::Strides v_strides, const minuend::Strides lambda_strides,
    const minuend::Strides out_strides, int batch, int heads, int kv_heads, int queries, int keys,
    int head_dim, int value_dim, int reach, int window, float scale_log2, int kept_q) {
    extern __shared__ float4 shared[];
    Tile* const q_tiles = reinterpret_cast<Tile*>(shared);
    Tile& kv_tile = q_tiles[kept_q];
    Tile& weights = q_tiles[kept_q + 1];

    constexpr int slice_columns = COLUMN_TILES * tile;
    const int slices = (value_dim + slice_columns - 1) / slice_columns;
    const int query_tiles = (queries + queries_of_block - 1) / queries_of_block;
    int rest = int(blockIdx.x);
    const int first_column = rest % slices * slice_columns;
    rest /= slices;
    const int head = rest % heads;
    rest /= heads;
    const int b = rest % batch;
    const int first_query = (query_tiles - 1 - rest / batch) * queries_of_block;
    const int last_query = min(first_query + queries_of_block, queries) - 1;
    const int kv_head = head / (heads / kv_heads);

    const int lane = int(threadIdx.x) % lanes;
    const int group = int(threadIdx.x) / lanes;
    // The query of the thread's row i.
    const auto query_of = [=](int i) { return first_query + group + i % queries_each * groups; };

    q += b * q_strides.at[0] + i64(head * STREAMS) * q_strides.at[1];
    k += b * k_strides.at[0] + kv_head * k_strides.at[1];
    v += b * v_strides.at[0] + kv_head * v_strides.at[1] + first_column;

    const auto load_q = [&](Tile& to, int column) {
        load_tile(to, head_dim - column, [&](int row) -> const Element* {
            const int query = first_query + row % queries_of_block;
            const i64 at = row / queries_of_block * q_strides.at[1] + query * q_strides.at[2];
            return query < queries ? q + at + column : nullptr;
        });
    };
    const int head_tiles = max(1, (head_dim + tile - 1) / tile);
    const bool keeps_q = kept_q >= head_tiles;
    if (keeps_q) {
        for (int i = 0; i < head_tiles; ++i) load_q(q_tiles[i], i * tile);
    }

    OnlineSoftmax rows[rows_each];
    float4 sums[COLUMN_TILES][rows_each] = {};
    const VisibleKeys visible{keys, reach, window};
    const int end_key = visible.end(last_query);
    for (int first_key = visible.first(first_query) / tile * tile; first_key < end_key;
         first_key += tile) {
        const auto load_kv = [&](const Element* from, i64 row_stride, int columns) {
            load_tile(kv_tile, columns, [&](int row) -> const Element* {
                const int key = first_key + row;
                return key < keys ? from + key * row_stride : nullptr;
            });
        };
        float scores[rows_each][keys_each] = {};
        for (int i = 0; i < head_tiles; ++i) {
            // Nobody reads what the tiles held.
            __syncthreads();
            if (!keeps_q) load_q(q_tiles[0], i * tile);
            load_kv(k + i * tile, k_strides.at[2], head_dim - i * tile);
            __syncthreads();
            add_scores(scores, q_tiles[keeps_q ? i : 0], kv_tile, min(tile, head_dim - i * tile),
                       group, lane);
        }

        const bool hides = !visible.all_see(first_query, last_query, first_key, first_key + tile);
        const auto is_seen = [&](int i, int j) {
            const int key = first_key + lane + j * lanes;
            const int query = query_of(i);
            return visible.first(query) <= key && key < visible.end(query);
        };
#pragma unroll
        for (int i = 0; i < rows_each; ++i) {
            // The scale may have any sign: the maximum is that of scaled scores.
            float greatest = -minuend::infinity();
#pragma unroll
            for (int j = 0; j < keys_each; ++j) {
                if (!hides || is_seen(i, j)) greatest = fmaxf(greatest, scores[i][j] * scale_log2);
            }
            const float shrink = rows[i].raise(max_over_lanes(greatest));
            const float base = rows[i].base();
#pragma unroll
            for (int j = 0; j < keys_each; ++j) {
                float weight = 0.0f;
                if (!hides || is_seen(i, j)) {
                    weight = minuend::exp2_approx(fmaf(scores[i][j], scale_log2, -base));
                }
                rows[i].sum += weight;
                weights.at(group + i * groups, lane + j * lanes) = weight;
            }
#pragma unroll
            for (int c = 0; c < COLUMN_TILES; ++c) {
                sums[c][i].x *= shrink;
                sums[c][i].y *= shrink;
                sums[c][i].z *= shrink;
                sums[c][i].w *= shrink;
            }
        }

        const int tile_keys = min(tile, end_key - first_key);
#pragma unroll
        for (int c = 0; c < COLUMN_TILES; ++c) {
            __syncthreads();
            load_kv(v + c * tile, v_strides.at[2], value_dim - first_column - c * tile);
            __syncthreads();
            add_values(sums[c], weights, kv_tile, tile_keys, group, lane);
        }
    }

#pragma unroll
    for (int i = 0; i < rows_each; ++i) rows[i].sum = sum_over_lanes(rows[i].sum);

    if (lse != nullptr && first_column == 0 && lane == 0) {
#pragma unroll
        for (int i = 0; i < rows_each; ++i) {
            const int query = query_of(i);
            const i64 row = i64(b * heads + head) * STREAMS + i / queries_each;
            if (query < queries) lse[row * queries + query] = rows[i].log_sum_exp();
        }
    }

    out += b * out_strides.at[0] + head * out_strides.at[1];
#pragma unroll
    for (int i = 0; i < queries_each; ++i) {
        const int query = query_of(i);
        if (query >= queries) continue;
        // Without keys the result is 0; a row whose scores are all -infinity has none.
        constexpr int second = rows_each - queries_each;
        float factor = keys == 0 ? 0.0f : 1.0f / rows[i].sum;
        float second_factor = 0.0f;
        if constexpr (STREAMS == 2) {
            const i64 at = b * lambda_strides.at[0] + head * lambda_strides.at[1] +
                           query * lambda_strides.at[2];
            const float gate = minuend::sigmoid(minuend::to_float(lambda[at]));
            second_factor = keys == 0 ? 0.0f : gate / rows[i + second].sum;
        }
#pragma unroll
        for (int c = 0; c < COLUMN_TILES; ++c) {
            const float4 first_sum = sums[c][i];
            float result[4] = {first_sum.x * factor, first_sum.y * factor, first_sum.z * factor,
                               first_sum.w * factor};
            if constexpr (STREAMS == 2) {
                const float4 sum = sums[c][i + second];
                result[0] = fmaf(-second_factor, sum.x, result[0]);
                result[1] = fmaf(-second_factor, sum.y, result[1]);
                result[2] = fmaf(-second_factor, sum.z, result[2]);
                result[3] = fmaf(-second_factor, sum.w, result[3]);
            }
            const int column = first_column + c * tile + lane * 4;
            Element* const to = out + query * out_strides.at[2] + column;
            if constexpr (WIDTH == 4) {
                if (column < value_dim) {
                    minuend::Vector<Element, 4> stored;
#pragma unroll
                    for (int x = 0; x < 4; ++x) {
                        stored.at[x] = minuend::from_float<Element>(result[x]);
                    }
                    *reinterpret_cast<minuend::Vector<Element, 4>*>(to) = stored;
                }
            } else {
#pragma unroll
                for (int x = 0; x < 4; ++x) {
                    if (column + x < value_dim) to[x] = minuend::from_float<Element>(result[x]);
                }
            }
        }
    }
}
