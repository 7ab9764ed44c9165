// Sine and cosine of radians of any size, in registers alone: the functions that the compiler has
// built in may reduce large angles in local memory.
#pragma once

#include "minuend/turn.cuh"
#include "minuend/types.cuh"

namespace minuend {

// An angle of at most about an eighth of a turn, and quarters of a turn to be added; of these, the
// lowest two bits count.
struct Angle {
    float radians;
    u32 quarters;
};

// 1/(2 pi) as a binary fraction, behind a word for its integer part.
static __constant__ const u32 inverse_turn[8] = {
    0u,          0x28be60dbu, 0x9391054au, 0x7f09d5f4u,
    0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau,
};

// The fraction of a turn that a finite number of at least 1/2 makes, in units of 2^-64 turns (Payne
// and Hanek, 1983): the product of its 24 bits with those bits of 1/(2 pi) that are left modulo 1.
__device__ __forceinline__ u64 turn_of(float size) {
    const u32 bits = __float_as_uint(size);
    // size = significand 2^(exponent - 32), exponent at most 128.
    const u32 significand = bits << 8 | 0x80000000u;
    const u32 exponent = (bits >> 23) - 126;
    const u32* word = inverse_turn + exponent / 32;
    const u32 shift = exponent % 32;
    const u32 high = __funnelshift_l(word[1], word[0], shift);
    const u32 middle = __funnelshift_l(word[2], word[1], shift);
    const u32 low = __funnelshift_l(word[3], word[2], shift);
    const u64 lowest = u64(significand) * low >> 32;
    return (u64(significand * high) << 32) + u64(significand) * middle + lowest;
}

// The angle of radians; NaN for infinity and NaN.
__device__ __forceinline__ Angle angle_of(float x) {
    const float size = fabsf(x);
    // pi/2 is subtracted in three parts (Cody and Waite, 1980), with one rounding each.
    constexpr float most = 65536.0f;
    if (size < most) {
        const float quarters = rintf(x * 0.636619772f);
        float rest = fmaf(quarters, -1.57079625129699707e+00f, x);
        rest = fmaf(quarters, -7.54978941586159635e-08f, rest);
        rest = fmaf(quarters, -5.39030252995776477e-15f, rest);
        return {rest, u32(int(quarters))};
    }
    if (!(size < infinity())) {
        return {x - x, 0};
    }
    const u64 turn = turn_of(size);
    const u64 quarters = (turn + (1ull << 61)) >> 62;
    const i64 rest = i64(turn - (quarters << 62));
    // 2 pi 2^-64.
    const float radians = __ll2float_rn(rest) * 3.40612158e-19f;
    return x < 0.0f ? Angle{-radians, 0u - u32(quarters)} : Angle{radians, u32(quarters)};
}

__device__ __forceinline__ float sine_of(Angle angle) {
    const SinCos of_rest = sin_cos_of_eighth(angle.radians);
    const float value = (angle.quarters & 1) == 0 ? of_rest.sin : of_rest.cos;
    return (angle.quarters & 2) == 0 ? value : -value;
}

__device__ __forceinline__ float sine(float x) { return sine_of(angle_of(x)); }

// The cosine is the sine a quarter further.
__device__ __forceinline__ float cosine(float x) {
    Angle angle = angle_of(x);
    angle.quarters += 1;
    return sine_of(angle);
}

}  // namespace minuend
