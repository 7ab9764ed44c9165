// Softmax over keys that come in tiles, and what attention makes of it.
//
// Scores are in units of log 2: the scale of the products is multiplied by log2(e) on the host, so
// that a weight is one exp2 of one fused multiply-add.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

constexpr float ln_2 = 0.69314718055994531f;
constexpr float log2_e = 1.4426950408889634f;

// 2^x with a relative error of 2^-22; results below the smallest normal number are 0.
__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Approximations with relative errors of about 2^-22, far below the rounding of a result of 16
// bits; exact functions may be calls, which must not happen while products are in flight.
__device__ __forceinline__ float reciprocal_approx(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float log2_approx(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// One row of scores. The sum may be of a part of the row's keys, if its threads agree on the
// maximum.
struct OnlineSoftmax {
    float maximum = -infinity();
    float sum = 0.0f;

    // Takes in the maximum of a tile. Gives the factor that sums of weighted values shrink by.
    __device__ __forceinline__ float raise(float tile_maximum) {
        const float before = maximum;
        maximum = fmaxf(before, tile_maximum);
        const float shrink = exp2_approx(before - base());
        sum *= shrink;
        return shrink;
    }

    // What exponents are taken relative to. A row that has seen no key has no maximum: every hidden
    // key then weighs exp2(-infinity - 0) = 0.
    __device__ __forceinline__ float base() const {
        return maximum == -infinity() ? 0.0f : maximum;
    }

    // Natural logarithm of the sum of exponentials; -infinity without keys.
    __device__ __forceinline__ float log_sum_exp() const { return (maximum + log2f(sum)) * ln_2; }
};

}  // namespace minuend
