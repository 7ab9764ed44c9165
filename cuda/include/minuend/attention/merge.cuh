// Merging of attention over parts of the keys.
//
// A part leaves, for every query row, the maximum m of its scores, the sum l of exp(score - m), and
// the vector o that sums exp(score - m) * value. Streams of softmax are merged each by its own
// maxima; their difference is taken last, of normalised vectors.
#pragma once

#include "minuend/cluster.cuh"
#include "minuend/elementary.cuh"
#include "minuend/floats.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Below every score, and finite even when scaled: a part that sees no key keeps it, and has weight 0.
constexpr float no_score = -1.0e30f;

// Reads past the first-level cache, which does not see what other blocks have written.
__device__ __forceinline__ float4 load_shared_by_blocks(const float* from) {
    float4 x;
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "l"(from)
                 : "memory");
    return x;
}

__device__ __forceinline__ float load_one_shared_by_blocks(const float* from) {
    float x;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(x) : "l"(from) : "memory");
    return x;
}

__device__ __forceinline__ void store_vector(float* to, float4 x) {
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x.x), "f"(x.y),
                 "f"(x.z), "f"(x.w)
                 : "memory");
}

__device__ __forceinline__ void prefetch(const void* address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address) : "memory");
}

// Where the result of a block goes: output rows, items, of one batch element and K/V head. Item i of
// the block is token (first_item + i) / group_heads of output head (first_item + i) % group_heads of
// those that share the K/V head, the first of which the pointers are at.
template <typename Element>
struct MergeTarget {
    int group_heads;
    int first_item;
    const Element* lambda;
    long long lambda_head;
    long long lambda_token;
    Element* out;
    long long out_head;
    long long out_token;

    __device__ __forceinline__ float factor(int item) const {
        const int index = first_item + item;
        const Element* x =
            lambda + index % group_heads * lambda_head + index / group_heads * lambda_token;
        return -sigmoid(to_float(*x));
    }

    __device__ __forceinline__ Element* row(int item) const {
        const int index = first_item + item;
        return out + index % group_heads * out_head + index / group_heads * out_token;
    }
};

// Sizes of a merge: softmaxes of an output row, columns, and parts that a block makes of its keys.
// VectorStores: four elements of the result can be stored at once.
template <typename Element_, int Streams, int ValueDim, int Parts, int Threads,
          bool VectorStores>
struct Merge {
    using Element = Element_;

    static constexpr int columns = (ValueDim + 15) / 16 * 16;
    // Columns between rows in shared memory; the eight odd ones spread the rows over the banks.
    static constexpr int pitch = columns + 8;
    // Threads next to each other that share a row, with four columns each.
    static constexpr int lanes = columns % 32 == 0 ? 8 : 4;

    static_assert(Streams == 1 || Streams == 2, "one softmax or the difference of two");
    static_assert(Threads % 32 == 0, "whole warps take part");

    // Four columns of a row.
    struct Place {
        int item;
        int stream;
        int column;

        // The other stream of the same item and columns is the neighbour at distance `lanes`.
        __device__ __forceinline__ explicit Place(int index) {
            const int block = index / (lanes * Streams);
            stream = index / lanes % Streams;
            item = block / (columns / 4 / lanes);
            column = (block % (columns / 4 / lanes) * lanes + index % lanes) * 4;
        }

        __device__ __forceinline__ int row() const { return item * Streams + stream; }
    };

    // Factor of a normalised row in the result.
    static __device__ __forceinline__ float factor(const MergeTarget<Element>& to, int row) {
        if (Streams == 1 || row % Streams == 0) {
            return 1.0f;
        }
        return to.factor(row / Streams);
    }

    // Adds up the streams and stores; all lanes of a warp call it.
    static __device__ __forceinline__ void store(const MergeTarget<Element>& to, const Place& place,
                                                 float4 x, bool live) {
        if constexpr (Streams == 2) {
            x.x += __shfl_xor_sync(~0u, x.x, lanes);
            x.y += __shfl_xor_sync(~0u, x.y, lanes);
            x.z += __shfl_xor_sync(~0u, x.z, lanes);
            x.w += __shfl_xor_sync(~0u, x.w, lanes);
        }
        if (!live || place.stream != 0) {
            return;
        }
        Element* out = to.row(place.item) + place.column;
        const float four[4] = {x.x, x.y, x.z, x.w};
        if constexpr (VectorStores) {
            if (ValueDim % 16 == 0 || place.column < ValueDim) {
                store_floats<Element>(out, four);
            }
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if (place.column + i < ValueDim) {
                    out[i] = from_float<Element>(four[i]);
                }
            }
        }
    }

    // A row's vector over some keys: what exp2(score - most) * value and exp2(score - most) sum to.
    struct Sum {
        float4 vector = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        float total = 0.0f;
        float most = no_score;

        __device__ __forceinline__ void add(float weight, float4 x) {
            vector.x += weight * x.x;
            vector.y += weight * x.y;
            vector.z += weight * x.z;
            vector.w += weight * x.w;
        }

        // Makes room for scores up to a maximum.
        __device__ __forceinline__ void raise(float maximum) {
            const float grown = fmaxf(most, maximum);
            const float shrink = exp2_approx(most - grown);
            most = grown;
            total *= shrink;
            vector = times(shrink);
        }

        __device__ __forceinline__ float4 times(float factor) const {
            return make_float4(vector.x * factor, vector.y * factor, vector.z * factor,
                               vector.w * factor);
        }

        // Without keys the vector is 0, and its weight in a merge.
        __device__ __forceinline__ float4 normalised() const {
            return times(total == 0.0f ? 0.0f : 1.0f / total);
        }

        __device__ __forceinline__ float logsumexp() const {
            return total == 0.0f ? -infinity() : most + log2_approx(total);
        }
    };

    // Merges the parts that a block has left in shared memory. Part p has its vectors at
    // `vectors + p * part_floats`, [rows][pitch], and {m, l} of its rows at
    // `sums[p * sum_rows + row]`. Maxima count in units of 1 / scale_log2 powers of two.
    static __device__ __forceinline__ Sum of_parts(const float* vectors, int part_floats,
                                                   const float2* sums, int sum_rows,
                                                   float scale_log2, const Place& place) {
        const int row = place.row();
        float2 part[Parts];
        float most = no_score;
#pragma unroll
        for (int p = 0; p < Parts; ++p) {
            part[p] = sums[p * sum_rows + row];
            most = fmaxf(most, part[p].x);
        }
        Sum sum;
        sum.most = most * scale_log2;
#pragma unroll
        for (int p = 0; p < Parts; ++p) {
            const float weight = exp2_approx((part[p].x - most) * scale_log2);
            sum.total += weight * part[p].y;
            sum.add(weight, *reinterpret_cast<const float4*>(vectors + p * part_floats +
                                                             row * pitch + place.column));
        }
        return sum;
    }

    // Merges what blocks have left in global memory: normalised vectors [splits][rows][columns] and
    // base-2 logsumexps [splits][rows].
    static __device__ __forceinline__ Sum of_splits(const float* vectors, const float* logsumexps,
                                                    int splits, int rows, const Place& place) {
        // Splits that are read at once.
        constexpr int batch = 16;
        vectors += place.row() * columns + place.column;
        logsumexps += place.row();
        Sum sum;
#pragma unroll 1
        for (int first = 0; first < splits; first += batch) {
            float logsumexp[batch];
            float4 x[batch];
#pragma unroll
            for (int i = 0; i < batch; ++i) {
                logsumexp[i] = -infinity();
                x[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (first + i < splits) {
                    logsumexp[i] = load_one_shared_by_blocks(logsumexps + (first + i) * rows);
                    x[i] = load_shared_by_blocks(vectors + (first + i) * (rows * columns));
                }
            }
            float most = logsumexp[0];
#pragma unroll
            for (int i = 1; i < batch; ++i) {
                most = fmaxf(most, logsumexp[i]);
            }
            sum.raise(most);
#pragma unroll
            for (int i = 0; i < batch; ++i) {
                const float weight = exp2_approx(logsumexp[i] - sum.most);
                sum.total += weight;
                sum.add(weight, x[i]);
            }
        }
        return sum;
    }

    // Merges what the blocks of a cluster have left in their shared memory, normalised vectors
    // [rows][pitch] and base-2 logsumexps [rows], at the same addresses.
    template <int Cluster>
    static __device__ __forceinline__ Sum of_cluster(u32 vectors, u32 logsumexps,
                                                     const Place& place) {
        vectors += (place.row() * pitch + place.column) * 4;
        logsumexps += place.row() * 4;
        float logsumexp[Cluster];
        float4 x[Cluster];
#pragma unroll
        for (int rank = 0; rank < Cluster; ++rank) {
            const u32 logsumexp_at = address_in_block(logsumexps, rank);
            const u32 vector_at = address_in_block(vectors, rank);
            asm volatile("ld.shared::cluster.f32 %0, [%1];"
                         : "=f"(logsumexp[rank])
                         : "r"(logsumexp_at)
                         : "memory");
            asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                         : "=f"(x[rank].x), "=f"(x[rank].y), "=f"(x[rank].z), "=f"(x[rank].w)
                         : "r"(vector_at)
                         : "memory");
        }
        Sum sum;
#pragma unroll
        for (int rank = 0; rank < Cluster; ++rank) {
            sum.most = fmaxf(sum.most, logsumexp[rank]);
        }
#pragma unroll
        for (int rank = 0; rank < Cluster; ++rank) {
            const float weight = exp2_approx(logsumexp[rank] - sum.most);
            sum.total += weight;
            sum.add(weight, x[rank]);
        }
        return sum;
    }

    // Calls take(place, live) for the places [first, end), of which first is a multiple of 32. All
    // lanes of a warp take part; where there is no place for a lane it gets one that is not live.
    template <typename Take>
    static __device__ __forceinline__ void each_place(int first, int end, Take take) {
        const int lane = threadIdx.x % 32;
#pragma unroll 1
        for (int base = first + threadIdx.x - lane; base < end; base += Threads) {
            const bool live = base + lane < end;
            take(Place(live ? base + lane : base), live);
        }
    }

    // Stores the normalised result.
    static __device__ __forceinline__ void finish(const MergeTarget<Element>& to, float factor,
                                                  const Place& place, const Sum& sum, bool live) {
        store(to, place, sum.times(factor / sum.total), live);
    }

    // Leaves a block's or a cluster's result for the merge of splits.
    static __device__ __forceinline__ void leave(float* vectors, float* logsumexps,
                                                 const Place& place, const Sum& sum, bool live) {
        if (live) {
            store_vector(vectors + place.row() * columns + place.column, sum.normalised());
            if (place.column == 0) {
                logsumexps[place.row()] = sum.logsumexp();
            }
        }
    }

    // True in the last of `splits` blocks that come here with one counter, which it leaves 0; what
    // the others have written before is then visible to its threads. `flag` is in shared memory.
    static __device__ __forceinline__ bool is_last(u32* counter, int splits, u32* flag) {
        __syncthreads();
        if (threadIdx.x == 0) {
            u32 arrived;
            asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                         : "=r"(arrived)
                         : "l"(counter), "r"(u32(splits - 1))
                         : "memory");
            *flag = arrived;
        }
        __syncthreads();
        return *flag == u32(splits - 1);
    }
};

}  // namespace minuend
