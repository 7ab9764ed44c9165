// Attention by the matrix instructions of a warp (mma.sync), for 16-bit activations on any architecture
// from sm_80. Differential attention (STREAMS = 2) takes the difference of two softmaxes.
//
// Rows of a block come in groups of 16. With HEADS = 2 a group is 8 queries of one head, then the same 8
// queries of the next: a thread's rows r and r + 8 of a product are both heads of one query, which makes
// the difference a matter of one thread. Keys and values pass through shared memory in tiles, the next
// tile being copied while this one is worked on.

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
using minuend::Strides;
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
// The result takes the place of q.
constexpr int group_bytes =
    16 * (KeyRows::row_bytes > ValueRows::row_bytes ? KeyRows::row_bytes : ValueRows::row_bytes);
constexpr int key_tile_bytes = TILE_KEYS * KeyRows::row_bytes;
constexpr int value_tile_bytes = TILE_KEYS * ValueRows::row_bytes;
constexpr int stage_bytes = key_tile_bytes + value_tile_bytes;

static_assert(group_bytes % 128 == 0 && key_tile_bytes % 128 == 0 && value_tile_bytes % 128 == 0,
              "tiles start at multiples of 128 bytes");

// Starts copies of `Count` rows from `from` on; those behind the first `rows` are 0. Row r of them becomes
// row place(r) at `to`.
template <typename Rows, int Count, typename Place>
__device__ __forceinline__ void copy_rows(u32 to, const Element* from, i64 row_stride, int rows,
                                          Place place) {
    // Threads side by side: the greatest power of 2 that divides the vectors of a row.
    constexpr int side = Rows::vectors & -Rows::vectors;
    constexpr int rows_at_once = threads / side;
    const u32 first_row = threadIdx.x / side;
    const u32 first_vector = threadIdx.x % side;
    // Hides that multiples of the stride are the same for every tile: registers are better used than by
    // keeping them.
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

__device__ __forceinline__ float max_over_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float sum_over_quad(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Rows of q as left operands.
struct Queries {
    // Of the thread's row of the warp's first group.
    u32 address;
    u32 kept[KEEPS_Q ? HEAD_DIM / 16 : 1][GROUPS][4];

    __device__ __forceinline__ Queries(u32 warp_rows, int lane)
        : address(warp_rows + KeyRows::offset(lane % 16, lane / 16)) {}

    __device__ __forceinline__ void load(u32 (&to)[GROUPS][4], int step) const {
        const u32 first = KeyRows::advance(address, 2 * step);
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) minuend::load_matrices(to[g], first + g * group_bytes);
    }

    // Once q is in shared memory.
    __device__ __forceinline__ void keep() {
        if constexpr (KEEPS_Q) {
#pragma unroll
            for (int step = 0; step < HEAD_DIM / 16; ++step) load(kept[step], step);
        }
    }
};

using Scores = minuend::MmaSums[GROUPS][TILE_KEYS / 8];
using Values = minuend::MmaSums[GROUPS][VALUE_DIM / 8];

// scores = q k^T for a tile of keys; `keys` is the thread's address for load_matrices in its first 16.
__device__ __forceinline__ void score(Scores& scores, const Queries& q, u32 keys) {
#pragma unroll
    for (int step = 0; step < HEAD_DIM / 16; ++step) {
        u32 loaded[GROUPS][4];
        if constexpr (!KEEPS_Q) q.load(loaded, step);
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

// sums += weights v for a tile of keys; `values` is the thread's address for load_matrices_transposed
// in its first 16.
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

// q [batch, STREAMS * heads, queries, head_dim], k [batch, kv_heads, keys, head_dim], v likewise with
// value_dim, lambda [batch, heads, queries] (null with one stream), out [batch, heads, queries,
// value_dim], all with dense last axes and rows at multiples of 16 bytes (lambda: any); head_dim is
// HEAD_DIM, value_dim VALUE_DIM. lse f32 [batch, STREAMS * heads, queries] or null. scale_log2 is the
// scale, which is positive, times log2(e).
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
    const u32 stages_at = q_at + block_groups * group_bytes;

    const int query_heads = heads * STREAMS;
    const int head_groups = query_heads / HEADS;
    const int query_tiles = (queries + block_queries - 1) / block_queries;
    int rest = int(blockIdx.x);
    const int first_head = rest % head_groups * HEADS;
    rest /= head_groups;
    const int b = rest % batch;
    const int first_query = (query_tiles - 1 - rest / batch) * block_queries;
    const int last_query = min(first_query + block_queries, queries) - 1;
    const int kv_head = first_head / (query_heads / kv_heads);

    q += b * q_strides.at[0] + first_head * q_strides.at[1];
    k += b * k_strides.at[0] + kv_head * k_strides.at[1];
    v += b * v_strides.at[0] + kv_head * v_strides.at[1];

    const int lane = int(threadIdx.x) % 32;
    const int warp = int(threadIdx.x) / 32;
    const int quad = lane / 4;
    const int pair = lane % 4;

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
        copy_rows<KeyRows, block_queries>(
            q_at, q + half * q_strides.at[1] + first_query * q_strides.at[2], q_strides.at[2],
            queries - first_query, [=](u32 row) {
                return row / group_queries * 16 + half * group_queries + row % group_queries;
            });
    }
    copy_tile(start_key, 0);

    Queries own_q(q_at + warp * GROUPS * group_bytes, lane);
    const u32 own_keys = stages_at + KeyRows::offset(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    const u32 own_values = stages_at + key_tile_bytes + ValueRows::offset(lane % 16, lane / 16);
    // The thread's query in a group's first and second half.
    const auto query_of = [=](int g, int half) {
        const int group = warp * GROUPS + g;
        return first_query + group * group_queries + quad + (HEADS == 1 ? half * 8 : 0);
    };

    OnlineSoftmax rows[GROUPS][2];
    Values sums = {};
    minuend::wait_copy_groups<0>();
    __syncthreads();
    own_q.keep();
    int stage = 0;
    for (int first_key = start_key; first_key < end_key; first_key += TILE_KEYS) {
        if (first_key + TILE_KEYS < end_key) copy_tile(first_key + TILE_KEYS, stage ^ 1);

        Scores scores = {};
        score(scores, own_q, own_keys + stage * stage_bytes);

        if (!visible.all_see(first_query, last_query, first_key, first_key + TILE_KEYS)) {
#pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int query = query_of(g, half);
                    const int first = visible.first(query) - first_key - 2 * pair;
                    const int end = visible.end(query) - first_key - 2 * pair;
#pragma unroll
                    for (int n = 0; n < TILE_KEYS / 8; ++n) {
#pragma unroll
                        for (int i = 0; i < 2; ++i) {
                            const int key = 8 * n + i;
                            float& s = scores[g][n][2 * half + i];
                            s = first <= key && key < end ? s : -minuend::infinity();
                        }
                    }
                }
            }
        }

#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                OnlineSoftmax& row = rows[g][half];
                float greatest = -minuend::infinity();
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; ++n) {
                    const auto& s = scores[g][n];
                    greatest = fmaxf(greatest, fmaxf(s[2 * half], s[2 * half + 1]));
                }
                const float shrink = row.raise(max_over_quad(greatest) * scale_log2);
                const float base = row.base();
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; ++n) {
#pragma unroll
                    for (int i = 0; i < 2; ++i) {
                        float& s = scores[g][n][2 * half + i];
                        s = minuend::exp2_approx(fmaf(s, scale_log2, -base));
                        row.sum += s;
                    }
                }
#pragma unroll
                for (int n = 0; n < VALUE_DIM / 8; ++n) {
                    sums[g][n][2 * half] *= shrink;
                    sums[g][n][2 * half + 1] *= shrink;
                }
            }
        }

        add_values(sums, scores, own_values + stage * stage_bytes);
        stage ^= 1;
        // The next tile is there for all, and nobody reads this one any more.
        minuend::wait_copy_groups<0>();
        __syncthreads();
    }

    // A warp's part of q makes room for its results, of which a group has rows_of_group.
    constexpr int rows_of_group = 16 / STREAMS;
    const u32 warp_at = u32(warp) * GROUPS * group_bytes;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            OnlineSoftmax& row = rows[g][half];
            row.sum = sum_over_quad(row.sum);
            const int query = query_of(g, half);
            if (lse != nullptr && pair == 0 && query < queries) {
                const i64 head = i64(b) * query_heads + first_head + (HEADS == 2 ? half : 0);
                lse[head * queries + query] = row.log_sum_exp();
            }
            float gate = 1.0f;
            if (STREAMS == 2 && half == 1 && query < queries) {
                const i64 at = b * lambda_strides.at[0] + first_head / 2 * lambda_strides.at[1] +
                               query * lambda_strides.at[2];
                gate = minuend::sigmoid(minuend::to_float(lambda[at]));
            }
            // Without keys the result is 0.
            factor[half] = keys == 0 ? 0.0f : gate / row.sum;
        }
#pragma unroll
        for (int n = 0; n < VALUE_DIM / 8; ++n) {
            const auto& sum = sums[g][n];
            const u32 at = warp_at + g * group_bytes + pair * 4;
            const auto store = [&](int row, float low, float high) {
                *reinterpret_cast<u32*>(shared + at + ValueRows::offset(row, n)) =
                    minuend::pack<Element>(low, high);
            };
            if constexpr (STREAMS == 2) {
                store(quad, fmaf(-factor[1], sum[2], sum[0] * factor[0]),
                      fmaf(-factor[1], sum[3], sum[1] * factor[0]));
            } else {
                store(quad, sum[0] * factor[0], sum[1] * factor[0]);
                store(quad + 8, sum[2] * factor[1], sum[3] * factor[1]);
            }
        }
    }
    __syncwarp();

    out += b * out_strides.at[0] + first_head / STREAMS * out_strides.at[1];
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        for (int index = lane; index < rows_of_group * ValueRows::vectors; index += 32) {
            const int row = index / ValueRows::vectors;
            const int vector = index % ValueRows::vectors;
            const int group = warp * GROUPS + g;
            const int query = first_query + group * group_queries + row % group_queries;
            const int head = row / group_queries;
            if (query >= queries) continue;
            *reinterpret_cast<uint4*>(out + head * out_strides.at[1] + query * out_strides.at[2] +
                                      vector * 8) =
                *reinterpret_cast<const uint4*>(shared + warp_at + g * group_bytes +
                                                ValueRows::offset(row, vector));
        }
    }
}
