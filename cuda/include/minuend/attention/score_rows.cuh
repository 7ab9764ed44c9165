// The softmax state of the two rows of scores that a thread of a warpgroup has.
//
// A block of scores is s[N / 2] as wgmma leaves it: s[4j + 2i + e] is row i, column 8j + 2(lane %
// 4) + e. Four neighbouring lanes share a row: they agree on its maximum, and each has a part of
// its sum.
#pragma once

#include "minuend/online_softmax.cuh"
#include "minuend/types.cuh"
#include "minuend/wgmma.cuh"

namespace minuend {

// The larger of four neighbouring lanes.
__device__ __forceinline__ float largest_of_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float sum_of_quad(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Hides the keys outside [first, end) of each row. Bounds are relative to this thread's first
// column.
template <bool Windowed, int Count>
__device__ __forceinline__ void hide_keys(float (&s)[Count], const int (&first)[2],
                                          const int (&end)[2]) {
#pragma unroll
    for (int index = 0; index < Count; ++index) {
        const int row = index / 2 % 2;
        const int column = index / 4 * 8 + index % 2;
        if (column >= end[row] || (Windowed && column < first[row])) {
            s[index] = -infinity();
        }
    }
}

// Scores are in units of log 2 once they are scaled.
struct ScoreRows {
    // Minus the score that exponents are taken relative to; infinity before the first visible key.
    float shift[2];
    // This lane's part of the sum of exponentials.
    float sum[2];
    // What values summed so far have to be multiplied by, if `shrinks`, which a warp agrees on.
    float shrink[2];
    bool shrinks;

    // Takes in a block and turns its scores into weights. scale: of the scores, positive.
    template <bool IsFirst, int Count>
    __device__ __forceinline__ void raise(float (&s)[Count], float scale) {
        float added[2];
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            float top = -infinity();
#pragma unroll
            for (int column = 2 * row; column < Count; column += 4) {
                top = fmaxf(top, fmaxf(s[column], s[column + 1]));
            }
            top = -largest_of_quad(top) * scale;
            const float before = shift[row];
            shift[row] = IsFirst ? top : fminf(before, top);
            // A row without a visible key so far: its weights are exp2(-infinity).
            added[row] = shift[row] == infinity() ? 0.0f : shift[row];
            if constexpr (IsFirst) {
                sum[row] = 0.0f;
            } else {
                shrink[row] = exp2_approx(added[row] - before);
                sum[row] *= shrink[row];
            }
        }
        shrinks = !IsFirst;
#pragma unroll
        for (int index = 0; index < Count; index += 4) {
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                float& even = s[index + 2 * row];
                float& odd = s[index + 2 * row + 1];
                even = exp2_approx(fmaf(even, scale, added[row]));
                odd = exp2_approx(fmaf(odd, scale, added[row]));
                sum[row] += even + odd;
            }
        }
    }

    // Turns the scores of a block into weights relative to the maximum so far, which need not be
    // that of the block; every row has seen a key. False, with the state as it was, if weights come
    // close to what Element holds; scores are lost then. A warp agrees.
    template <typename Element, int Count>
    __device__ __forceinline__ bool keep(float (&s)[Count], float scale) {
        float part[2][2] = {};
#pragma unroll
        for (int index = 0; index < Count; ++index) {
            const int row = index / 2 % 2;
            s[index] = exp2_approx(fmaf(s[index], scale, shift[row]));
            part[row][index % 2] += s[index];
        }
        const float sums[2] = {part[0][0] + part[0][1], part[1][0] + part[1][1]};
        // Written so that NaN is large.
        constexpr float limit = is_bf16<Element> ? 1.0e12f : 3.0e4f;
        const bool is_large = !(fmaxf(sums[0], sums[1]) < limit);
        if (__any_sync(0xffffffffu, is_large)) {
            return false;
        }
        sum[0] += sums[0];
        sum[1] += sums[1];
        shrinks = false;
        return true;
    }
};

}  // namespace minuend
