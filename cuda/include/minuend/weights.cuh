// Logits as keys that are ordered like them, and as weights whose sums are exact.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Ordered like the numbers, 0 and -0 being equal; 0 for what is not finite, and only for that.
__device__ __forceinline__ u32 key_of(float x) {
    const u32 bits = __float_as_uint(x);
    const u32 magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) {
        return 0;
    }
    return magnitude != 0 && (bits >> 31) != 0 ? ~bits : magnitude | 0x80000000u;
}

// The number of a key that is not 0.
__device__ __forceinline__ float value_of(u32 key) {
    return __uint_as_float((key >> 31) != 0 ? key ^ 0x80000000u : ~key);
}

// A sum of weights in multiples of 2^-40: the same in any order. There is room for 2^23 weights.
using Mass = u64;

// Weights e^((x - largest) / temperature), rounded down to multiples of 2^-40.
struct Weights {
    float largest;
    // log2(e) / temperature.
    float scale;

    __device__ __forceinline__ Mass of(float x) const {
        float weight;
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(weight) : "f"((x - largest) * scale));
        const u32 bits = __float_as_uint(weight);
        // No exponent is positive, as no x is above the largest.
        const u32 halvings = 127 - (bits >> 23);
        const u64 mantissa = (bits & 0x7fffffu) | 0x800000u;
        return halvings <= 40 ? (mantissa << 17) >> halvings : 0;
    }
};

// The share of a mass, `part` being in multiples of 2^-32; rounded down.
__device__ __forceinline__ Mass share_of(Mass mass, u32 part) {
    return (mass >> 32) * part + ((mass & 0xffffffffu) * part >> 32);
}

// A number as multiples of 2^-32: the nearest below 1, 0 for NaN and for what is negative.
__device__ __forceinline__ u32 part_of(float x) {
    constexpr float most = 0.999999940395355224609375f;
    return x > 0.0f ? __float2uint_rz((x < most ? x : most) * 4294967296.0f) : 0;
}

}  // namespace minuend
