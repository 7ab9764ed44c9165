// Attention by the matrix instructions of a warp (mma.sync), for 16-bit activations on any
// architecture from sm_80. Differential attention (STREAMS = 2) takes the difference of two
// softmaxes.
//
// Rows of a block come in groups of 16. With HEADS = 2 a group is 8 queries of one head, then the
// same 8 queries of the next: a thread's rows r and r + 8 of a product are both heads of one query,
// which makes the difference a matter of one thread. Keys and values pass through shared memory in
// tiles, the next tile being copied while this one is worked on.

#include "minuend/async_copy.cuh"
#include "minuend/elementary.cuh"
#include "minuend/mma_sync.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Softmaxes that an output head is made of: 1 or 2.
#ifndef STREAMS
#define STREAMS 2
#endif
// Query heads of a group of rows: 1 or 2.
#ifndef HEADS
#define HEADS 2
#endif
#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef VALUE_DIM
#define VALUE_DIM 128
#endif
// Keys of a tile.
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif
#ifndef WARPS
#define WARPS 4
#endif
// Groups of 16 rows that a warp has.
#ifndef GROUPS
#define GROUPS 1
#endif
// A warp keeps its rows of q in registers instead of reading them for each tile.
#ifndef KEEPS_Q
#define KEEPS_Q true
#endif
// Blocks that are to fit a multiprocessor by their registers.
#ifndef BLOCKS
#define BLOCKS 2
#endif

namespace {

using minuend::i64;
using minuend::OnlineSoftmax;
using minuend::u32;
using Element = ELEMENT;

constexpr int threads = 32 * WARPS;
constexpr int group_queries = 16 / HEADS;
constexpr int block_groups = WARPS * GROUPS;
constexpr int block_queries = block_groups * group_queries;

static_assert(HEADS == 1 || HEADS == 2, "a group of rows has halves");
static_assert(STREAMS == 1 || (STREAMS == 2 && HEADS == 2), "both streams are of one group");
static_assert(TILE_KEYS % 16 == 0, "keys are whole operands of products");

using KeyRows = minuend::MatrixRows<HEAD_DIM>;
using ValueRows = minuend::MatrixRows<VALUE_DIM>;
constexpr int q_group_bytes = 16 * KeyRows::row_bytes;
constexpr int result_group_bytes = 16 / STREAMS * ValueRows::row_bytes;
constexpr int key_tile_bytes = TILE_KEYS * KeyRows::row_bytes;
constexpr int value_tile_bytes = TILE_KEYS * ValueRows::row_bytes;
constexpr int stage_bytes = key_tile_bytes + value_tile_bytes;

static_assert(q_group_bytes % 128 == 0 && key_tile_bytes % 128 == 0 && value_tile_bytes % 128 == 0,
              "tiles start at multiples of 128 bytes");
static_assert(block_groups * result_group_bytes <= block_groups * q_group_bytes + 2 * stage_bytes,
              "the result takes the place of the operands");

// The thread's index in the block. It is read each time (volatile), so that what follows from it is
// worked out anew rather than kept in registers through the loop over keys.
__device__ __forceinline__ u32 read_thread() {
    u32 thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
}

// Starts copies of `Count` rows from `from` on; those behind the first `rows` are 0. Row r of them
// becomes row place(r) at `to`.
template <typename Rows, int Count, typename Place>
__device__ __forceinline__ void copy_rows(u32 to, const Element* from, i64 row_stride, int rows,
                                          Place place) {
    // Threads side by side: the greatest power of 2 that divides the vectors of a row.
    constexpr int side = Rows::vectors & -Rows::vectors;
    constexpr int rows_at_once = threads / side;
    const u32 thread = read_thread();
    const u32 first_row = thread / side;
    const u32 first_vector = thread % side;
    // Hides that multiples of the stride are the same for every tile: registers are better used
    // than by keeping them.
    asm volatile("" : "+l"(row_stride));
    from += first_row * row_stride + first_vector * 8;
#pragma unroll
    for (int i = 0; i < (Count + rows_at_once - 1) / rows_at_once; ++i) {
        const u32 row = first_row + i * rows_at_once;
        if (Count % rows_at_once != 0 && row >= Count) break;
#pragma unroll
        for (int vector = 0; vector < Rows::vectors; vector += side) {
            minuend::copy_16_async(to + Rows::offset(place(row), first_vector + vector),
                                   from + i * rows_at_once * row_stride + vector * 8,
                                   int(row) < rows);
        }
    }
}

// What a block computes; see read_thread.
struct Part {
    int batch;
    // Of q.
    int first_head;
    int first_query;

    __device__ __forceinline__ Part(int batches, int query_heads, int queries) {
        int rest;
        asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(rest));
        const int head_groups = query_heads / HEADS;
        first_head = rest % head_groups * HEADS;
        rest /= head_groups;
        batch = rest % batches;
        const int query_tiles = (queries + block_queries - 1) / block_queries;
        first_query = (query_tiles - 1 - rest / batches) * block_queries;
    }
};

// Where a thread's elements of products are.
struct Position {
    int warp;
    int lane;
    // Row of a product, and pair of its columns.
    int row;
    int pair;

    __device__ __forceinline__ Position() {
        const u32 thread = read_thread();
        warp = thread / 32;
        lane = thread % 32;
        row = lane / 4;
        pair = lane % 4;
    }

    // The thread's query in a half of one of its groups, counted from the block's first.
    __device__ __forceinline__ int query(int g, int half) const {
        return (warp * GROUPS + g) * group_queries + row + (HEADS == 1 ? half * 8 : 0);
    }

    // Of what the thread gives the address to load_matrices: for left operands from the warp's
    // first group of q, for right ones from a tile of keys, and, transposed, for those from one of
    // values.
    __device__ __forceinline__ u32 q_offset() const {
        return warp * GROUPS * q_group_bytes + KeyRows::offset(lane % 16, lane / 16);
    }

    __device__ __forceinline__ u32 key_offset() const {
        return KeyRows::offset(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    }

    __device__ __forceinline__ u32 value_offset() const {
        return ValueRows::offset(lane % 16, lane / 16);
    }
};

__device__ __forceinline__ float max_over_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float sum_over_quad(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// A warp's rows of q as left operands.
struct Queries {
    u32 kept[KEEPS_Q ? HEAD_DIM / 16 : 1][GROUPS][4];

    // `address` is the thread's for load_matrices in the warp's first group.
    __device__ __forceinline__ static void load(u32 (&to)[GROUPS][4], u32 address, int step) {
        const u32 first = KeyRows::advance(address, 2 * step);
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) minuend::load_matrices(to[g], first + g * q_group_bytes);
    }

    // Once q is in shared memory.
    __device__ __forceinline__ void keep(u32 address) {
        if constexpr (KEEPS_Q) {
#pragma unroll
            for (int step = 0; step < HEAD_DIM / 16; ++step) load(kept[step], address, step);
        }
    }
};

using Scores = minuend::MmaSums[GROUPS][TILE_KEYS / 8];
using Values = minuend::MmaSums[GROUPS][VALUE_DIM / 8];

// scores += q k^T for a tile of keys. `queries` and `keys` are the thread's addresses for
// load_matrices in the warp's first group of q and in the tile's first 16 keys.
__device__ __forceinline__ void add_scores(Scores& scores, const Queries& q, u32 queries,
                                           u32 keys) {
#pragma unroll
    for (int step = 0; step < HEAD_DIM / 16; ++step) {
        u32 loaded[GROUPS][4];
        if constexpr (!KEEPS_Q) Queries::load(loaded, queries, step);
        const auto& a = *(KEEPS_Q ? &q.kept[KEEPS_Q ? step : 0] : &loaded);
        const u32 first = KeyRows::advance(keys, 2 * step);
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 16; ++n) {
            u32 b[4];
            minuend::load_matrices(b, first + n * 16 * KeyRows::row_bytes);
#pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
                minuend::mma_16x8x16<Element>(scores[g][2 * n], a[g], b[0], b[1]);
                minuend::mma_16x8x16<Element>(scores[g][2 * n + 1], a[g], b[2], b[3]);
            }
        }
    }
}

// Gives keys that a query does not see a score of -infinity.
__device__ __forceinline__ void hide_keys(Scores& scores, const minuend::VisibleKeys& visible,
                                          int first_query, int first_key,
                                          const Position& position) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int query = first_query + position.query(g, half);
            const int first = visible.first(query) - first_key - 2 * position.pair;
            const int end = visible.end(query) - first_key - 2 * position.pair;
#pragma unroll
            for (int n = 0; n < TILE_KEYS / 8; ++n) {
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const int key = 8 * n + i;
                    float& score = scores[g][n][2 * half + i];
                    score = first <= key && key < end ? score : -minuend::infinity();
                }
            }
        }
    }
}

// Makes weights of a tile's scores, and brings the sums so far to the new maxima.
__device__ __forceinline__ void take_weights(Scores& scores, OnlineSoftmax (&rows)[GROUPS][2],
                                             Values& sums, float scale_log2) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            OnlineSoftmax& row = rows[g][half];
            float greatest = -minuend::infinity();
#pragma unroll
            for (int n = 0; n < TILE_KEYS / 8; ++n) {
                const auto& score = scores[g][n];
                greatest = fmaxf(greatest, fmaxf(score[2 * half], score[2 * half + 1]));
            }
            const float shrink = row.raise(max_over_quad(greatest) * scale_log2);
            const float base = row.base();
#pragma unroll
            for (int n = 0; n < TILE_KEYS / 8; ++n) {
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    float& score = scores[g][n][2 * half + i];
                    score = minuend::exp2_approx(fmaf(score, scale_log2, -base));
                    row.sum += score;
                }
            }
#pragma unroll
            for (int n = 0; n < VALUE_DIM / 8; ++n) {
                sums[g][n][2 * half] *= shrink;
                sums[g][n][2 * half + 1] *= shrink;
            }
        }
    }
}

// sums += weights v for a tile of keys; `values` is the thread's address for
// load_matrices_transposed in its first 16.
__device__ __forceinline__ void add_values(Values& sums, const Scores& weights, u32 values) {
#pragma unroll
    for (int step = 0; step < TILE_KEYS / 16; ++step) {
        u32 a[GROUPS][4];
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const auto& low = weights[g][2 * step];
            const auto& high = weights[g][2 * step + 1];
            a[g][0] = minuend::pack<Element>(low[0], low[1]);
            a[g][1] = minuend::pack<Element>(low[2], low[3]);
            a[g][2] = minuend::pack<Element>(high[0], high[1]);
            a[g][3] = minuend::pack<Element>(high[2], high[3]);
        }
        const u32 first = values + step * 16 * ValueRows::row_bytes;
#pragma unroll
        for (int n = 0; n < VALUE_DIM / 16; ++n) {
            u32 b[4];
            minuend::load_matrices_transposed(b, ValueRows::advance(first, 2 * n));
#pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
                minuend::mma_16x8x16<Element>(sums[g][2 * n], a[g], b[0], b[1]);
                minuend::mma_16x8x16<Element>(sums[g][2 * n + 1], a[g], b[2], b[3]);
            }
        }
    }
}

}  // namespace

// q [batch, STREAMS * heads, queries, head_dim], k [batch, kv_heads, keys, head_dim], v likewise
// with value_dim, lambda [batch, heads, queries] (null with one stream), out [batch, heads,
// queries, value_dim], all with dense last axes and rows at multiples of 16 bytes (lambda: any);
// head_dim is HEAD_DIM, value_dim VALUE_DIM. lse f32 [batch, STREAMS * heads, queries] or null.
// scale_log2 is the scale, which is positive, times log2(e).
// Shared memory: block_groups groups of q, then two stages of keys and values.
// Grid: query tiles (those that see most keys first) x batch x query heads / HEADS.
extern "C" __global__ __launch_bounds__(32 * WARPS, BLOCKS) void attention_forward_mma(
    const ELEMENT* __restrict__ q, const ELEMENT* __restrict__ k, const ELEMENT* __restrict__ v,
    const ELEMENT* __restrict__ lambda, ELEMENT* __restrict__ out, float* __restrict__ lse,
    const minuend::Strides q_strides, const minuend::Strides k_strides,
    const minuend::Strides v_strides, const minuend::Strides lambda_strides,
    const minuend::Strides out_strides, int batch, int heads, int kv_heads, int queries, int keys,
    int head_dim, int value_dim, int reach, int window, float scale_log2) {
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 q_at = u32(__cvta_generic_to_shared(shared));
    const u32 stages_at = q_at + block_groups * q_group_bytes;

    const int query_heads = heads * STREAMS;
    const Part part(batch, query_heads, queries);
    const int first_query = part.first_query;
    const int last_query = min(first_query + block_queries, queries) - 1;
    const int kv_head = part.first_head / (query_heads / kv_heads);
    k += part.batch * k_strides.at[0] + kv_head * k_strides.at[1];
    v += part.batch * v_strides.at[0] + kv_head * v_strides.at[1];

    const minuend::VisibleKeys visible{keys, reach, window};
    const int start_key = visible.first(first_query) / TILE_KEYS * TILE_KEYS;
    const int end_key = visible.end(last_query);
    const auto copy_tile = [&](int first_key, int stage) {
        const u32 to = stages_at + stage * stage_bytes;
        const auto in_order = [](u32 row) { return row; };
        copy_rows<KeyRows, TILE_KEYS>(to, k + first_key * k_strides.at[2], k_strides.at[2],
                                      keys - first_key, in_order);
        copy_rows<ValueRows, TILE_KEYS>(to + key_tile_bytes, v + first_key * v_strides.at[2],
                                        v_strides.at[2], keys - first_key, in_order);
        minuend::end_copy_group();
    };

    for (int half = 0; half < HEADS; ++half) {
        const Element* const from = q + part.batch * q_strides.at[0] +
                                    (part.first_head + half) * q_strides.at[1] +
                                    first_query * q_strides.at[2];
        copy_rows<KeyRows, block_queries>(
            q_at, from, q_strides.at[2], queries - first_query, [=](u32 row) {
                return row / group_queries * 16 + half * group_queries + row % group_queries;
            });
    }
    copy_tile(start_key, 0);

    OnlineSoftmax rows[GROUPS][2];
    Values sums = {};
    minuend::wait_copy_groups<0>();
    __syncthreads();
    Queries own_q;
    own_q.keep(q_at + Position().q_offset());
    int stage = 0;
    for (int first_key = start_key; first_key < end_key; first_key += TILE_KEYS) {
        if (first_key + TILE_KEYS < end_key) copy_tile(first_key + TILE_KEYS, stage ^ 1);

        const Position position;
        const u32 stage_at = stages_at + stage * stage_bytes;
        Scores scores = {};
        add_scores(scores, own_q, q_at + position.q_offset(), stage_at + position.key_offset());

        if (!visible.all_see(first_query, last_query, first_key, first_key + TILE_KEYS)) {
            hide_keys(scores, visible, first_query, first_key, position);
        }
        take_weights(scores, rows, sums, scale_log2);
        add_values(sums, scores, stage_at + key_tile_bytes + position.value_offset());
        stage ^= 1;
        // The next tile is there for all, and nobody reads this one any more.
        minuend::wait_copy_groups<0>();
        __syncthreads();
    }

    // Results go through shared memory, by way of which they are stored as vectors.
    constexpr int rows_of_group = 16 / STREAMS;
    const Part own(batch, query_heads, queries);
    const Position at;
    unsigned char* const results = shared + at.warp * GROUPS * result_group_bytes;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            OnlineSoftmax& row = rows[g][half];
            row.sum = sum_over_quad(row.sum);
            const int query = own.first_query + at.query(g, half);
            if (lse != nullptr && at.pair == 0 && query < queries) {
                const int head = own.first_head + (HEADS == 2 ? half : 0);
                const i64 head_row = i64(own.batch) * query_heads + head;
                lse[head_row * queries + query] = row.log_sum_exp();
            }
            float gate = 1.0f;
            if (STREAMS == 2 && half == 1 && query < queries) {
                const i64 offset = own.batch * lambda_strides.at[0] +
                                   own.first_head / 2 * lambda_strides.at[1] +
                                   query * lambda_strides.at[2];
                gate = minuend::sigmoid(minuend::to_float(lambda[offset]));
            }
            // Without keys the result is 0.
            factor[half] = keys == 0 ? 0.0f : gate / row.sum;
        }
#pragma unroll
        for (int n = 0; n < VALUE_DIM / 8; ++n) {
            const auto& sum = sums[g][n];
            const auto store = [&](int row, float low, float high) {
                const u32 offset = g * result_group_bytes + ValueRows::offset(row, n) + at.pair * 4;
                *reinterpret_cast<u32*>(results + offset) = minuend::pack<Element>(low, high);
            };
            if constexpr (STREAMS == 2) {
                store(at.row, fmaf(-factor[1], sum[2], sum[0] * factor[0]),
                      fmaf(-factor[1], sum[3], sum[1] * factor[0]));
            } else {
                store(at.row, sum[0] * factor[0], sum[1] * factor[0]);
                store(at.row + 8, sum[2] * factor[1], sum[3] * factor[1]);
            }
        }
    }
    __syncwarp();

    out += own.batch * out_strides.at[0] + own.first_head / STREAMS * out_strides.at[1];
    for (int index = at.lane; index < GROUPS * rows_of_group * ValueRows::vectors; index += 32) {
        const int row = index / ValueRows::vectors;
        const int vector = index % ValueRows::vectors;
        const int group = at.warp * GROUPS + row / rows_of_group;
        const int head = row % rows_of_group / group_queries;
        const int query = own.first_query + group * group_queries + row % group_queries;
        if (query >= queries) continue;
        Element* const to =
            out + head * out_strides.at[1] + query * out_strides.at[2] + vector * 8;
        *reinterpret_cast<uint4*>(to) =
            *reinterpret_cast<const uint4*>(results + ValueRows::offset(row, vector));
    }
}
