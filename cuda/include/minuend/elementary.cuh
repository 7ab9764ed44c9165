// Functions of one or two values with the meaning that the ops have: what C++ leaves undefined is
// defined, and NaN is kept.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Integers wrap around. Signed overflow is undefined in C++, so sums and products are unsigned.

__device__ __forceinline__ int wrapping_add(int a, int b) { return int(u32(a) + u32(b)); }

__device__ __forceinline__ int wrapping_sub(int a, int b) { return int(u32(a) - u32(b)); }

__device__ __forceinline__ int wrapping_mul(int a, int b) { return int(u32(a) * u32(b)); }

__device__ __forceinline__ i64 wrapping_add(i64 a, i64 b) { return i64(u64(a) + u64(b)); }

__device__ __forceinline__ i64 wrapping_sub(i64 a, i64 b) { return i64(u64(a) - u64(b)); }

__device__ __forceinline__ i64 wrapping_mul(i64 a, i64 b) { return i64(u64(a) * u64(b)); }

template <typename Integer>
__device__ __forceinline__ Integer wrapping_neg(Integer a) {
    return wrapping_sub(Integer(0), a);
}

// The least integer stays as it is.
template <typename Integer>
__device__ __forceinline__ Integer wrapping_abs(Integer a) {
    return a < 0 ? wrapping_neg(a) : a;
}

// Truncated towards zero; 0 for a division by zero, and the least integer divided by -1 wraps.
template <typename Integer>
__device__ __forceinline__ Integer quotient(Integer a, Integer b) {
    if (b == 0) {
        return 0;
    }
    return b == -1 ? wrapping_neg(a) : a / b;
}

__device__ __forceinline__ int maximum(int a, int b) { return a > b ? a : b; }

__device__ __forceinline__ int minimum(int a, int b) { return a < b ? a : b; }

__device__ __forceinline__ i64 maximum(i64 a, i64 b) { return a > b ? a : b; }

__device__ __forceinline__ i64 minimum(i64 a, i64 b) { return a < b ? a : b; }

// The larger; NaN if either is NaN, and 0 of 0 and -0.
__device__ __forceinline__ float maximum(float a, float b) {
    float y;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}

// The smaller; NaN if either is NaN, and -0 of 0 and -0.
__device__ __forceinline__ float minimum(float a, float b) {
    float y;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}

// Truncated towards zero and saturated; 0 for NaN. The instruction for 64 bits makes NaN the least
// integer.
__device__ __forceinline__ int int_of(float x) { return __float2int_rz(x); }

__device__ __forceinline__ i64 long_of(float x) { return x == x ? __float2ll_rz(x) : 0; }

// 1 / (1 + e^-x). The divisor is at least 1, so a reciprocal that is approximate by one unit in the
// last place serves; infinity has the reciprocal 0.
__device__ __forceinline__ float sigmoid(float x) {
    float y;
    asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(1.0f + expf(-x)));
    return y;
}

__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }

}  // namespace minuend
