// Merging of attention over parts of the keys.
//
// A part leaves, for every query row, the maximum m of its scores, the sum l of exp(score - m), and the
// vector o that sums exp(score - m) * value. Streams of softmax are merged each by its own maxima;
// their difference is taken last, of normalised vectors.
#pragma once

#include "minuend/elementary.cuh"
#include "minuend/floats.cuh"
#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"

namespace minuend {

__device__ __forceinline__ float log2_approx(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Below every score, and finite: a part that sees no key keeps it, and its weight becomes 0.
constexpr float NO_SCORE = -3.0e38f;

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

// Where the result of a block goes: output rows, items, of one batch element and K/V head. Item i of the
// block is token (first_item + i) / group_heads of output head (first_item + i) % group_heads of those
// that share the K/V head, the first of which the pointers are at.
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
        const Element x = lambda[index % group_heads * lambda_head + index / group_heads * lambda_token];
        return -sigmoid(to_float(x));
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
    // Splits of the keys over thread blocks.
    static constexpr int most_splits = 128;
    // Threads next to each other that share a row, with four columns each.
    static constexpr int lanes = columns % 32 == 0 ? 8 : 4;
    static constexpr int warps = Threads / 32;

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

    // Merges the parts that a block has left in shared memory. Part p has its vectors at
    // `vectors + p * part_floats`, [rows][pitch], and {m, l} of its rows at `sums[p * sum_rows + row]`.
    // Scores count in units of 1 / scale_log2 powers of two.
    //
    // A block that sees all keys stores the result; others leave normalised vectors [rows][columns]
    // and base-2 logsumexps [rows] in `split_vectors` and `split_logsumexps`.
    static __device__ __forceinline__ void parts(const float* vectors, int part_floats,
                                                 const float2* sums, int sum_rows, int rows,
                                                 float scale_log2, bool whole,
                                                 const MergeTarget<Element>& to,
                                                 float* split_vectors, float* split_logsumexps) {
        const int places = rows * (columns / 4);
        const int lane = threadIdx.x % 32;
#pragma unroll 1
        for (int first = threadIdx.x - lane; first < places; first += Threads) {
            const bool live = first + lane < places;
            const Place place(live ? first + lane : 0);
            const int row = place.row();
            float2 sum[Parts];
            float most = NO_SCORE;
#pragma unroll
            for (int p = 0; p < Parts; ++p) {
                sum[p] = sums[p * sum_rows + row];
                most = fmaxf(most, sum[p].x);
            }
            float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            float total = 0.0f;
#pragma unroll
            for (int p = 0; p < Parts; ++p) {
                const float weight = exp2_approx((sum[p].x - most) * scale_log2);
                const float4 y = *reinterpret_cast<const float4*>(vectors + p * part_floats +
                                                                  row * pitch + place.column);
                total += weight * sum[p].y;
                x.x += weight * y.x;
                x.y += weight * y.y;
                x.z += weight * y.z;
                x.w += weight * y.w;
            }
            float scale = 1.0f / total;
            if (whole) {
                scale *= factor(to, row);
            } else {
                // A split in which a row sees no key has weight 0, and its vector must be finite.
                scale = total == 0.0f ? 0.0f : scale;
            }
            x = make_float4(x.x * scale, x.y * scale, x.z * scale, x.w * scale);
            if (whole) {
                store(to, place, x, live);
            } else if (live) {
                store_vector(split_vectors + row * columns + place.column, x);
                if (place.column == 0) {
                    split_logsumexps[row] =
                        total == 0.0f ? -infinity() : most * scale_log2 + log2_approx(total);
                }
            }
        }
    }

    // True in the last of `splits` blocks that come here with one counter, which it leaves 0; what the
    // others have written before is then visible to its threads. `flag` is in shared memory.
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

    // Merges what the blocks have left, [splits][rows][columns] and [splits][rows], and stores the
    // result. `weights` has room for rows * splits in shared memory. MostRows bounds rows.
    template <int MostRows>
    static __device__ __forceinline__ void splits(const float* vectors, const float* logsumexps,
                                                  int splits, int rows, float* weights,
                                                  const MergeTarget<Element>& to) {
        // Splits that a thread reads at once, before it needs a weight.
        constexpr int batch = 16;
        constexpr int row_steps = (MostRows + warps - 1) / warps;
        const int places = rows * (columns / 4);
        const int lane = threadIdx.x % 32;
        const int warp = threadIdx.x / 32;

        float4 x[batch];
        const auto read = [&](const Place& place, int first_split) {
            const float* from = vectors + place.row() * columns + place.column;
#pragma unroll
            for (int i = 0; i < batch; ++i) {
                if (first_split + i < splits) {
                    x[i] = load_shared_by_blocks(from + (first_split + i) * (rows * columns));
                }
            }
        };
        int first = threadIdx.x - lane;
        bool live = first + lane < places;
        Place place(live ? first + lane : 0);
        if (first < places) {
            read(place, 0);
        }

        float value[row_steps][most_splits / 32];
        float row_factor[row_steps];
#pragma unroll
        for (int i = 0; i < row_steps; ++i) {
            const int row = warp + i * warps;
#pragma unroll
            for (int j = 0; j < most_splits / 32; ++j) {
                const int split = lane + 32 * j;
                value[i][j] = -infinity();
                if (row < rows && split < splits) {
                    value[i][j] = load_one_shared_by_blocks(logsumexps + split * rows + row);
                }
            }
            row_factor[i] = row < rows ? factor(to, row) : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < row_steps; ++i) {
            const int row = warp + i * warps;
            if (row < rows) {
                float most = -infinity();
                float total = 0.0f;
#pragma unroll
                for (int j = 0; j < most_splits / 32; ++j) {
                    most = fmaxf(most, value[i][j]);
                }
#pragma unroll
                for (int distance = 16; distance > 0; distance /= 2) {
                    most = fmaxf(most, __shfl_xor_sync(~0u, most, distance));
                }
#pragma unroll
                for (int j = 0; j < most_splits / 32; ++j) {
                    value[i][j] = exp2_approx(value[i][j] - most);
                    total += value[i][j];
                }
#pragma unroll
                for (int distance = 16; distance > 0; distance /= 2) {
                    total += __shfl_xor_sync(~0u, total, distance);
                }
                const float scale = row_factor[i] / total;
#pragma unroll
                for (int j = 0; j < most_splits / 32; ++j) {
                    if (lane + 32 * j < splits) {
                        weights[row * splits + lane + 32 * j] = value[i][j] * scale;
                    }
                }
            }
        }
        __syncthreads();

#pragma unroll 1
        while (first < places) {
            const float* row_weights = weights + place.row() * splits;
            float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
            for (int split = 0; split < splits;) {
#pragma unroll
                for (int i = 0; i < batch; ++i) {
                    if (split + i < splits) {
                        const float weight = row_weights[split + i];
                        sum.x += weight * x[i].x;
                        sum.y += weight * x[i].y;
                        sum.z += weight * x[i].z;
                        sum.w += weight * x[i].w;
                    }
                }
                split += batch;
                if (split < splits) {
                    read(place, split);
                }
            }
            store(to, place, sum, live);
            first += Threads;
            live = first + lane < places;
            place = Place(live ? first + lane : 0);
            if (first < places) {
                read(place, 0);
            }
        }
    }
};

}  // namespace minuend
