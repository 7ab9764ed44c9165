// Sine and cosine of fractions of a turn.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

struct SinCos {
    float sin;
    float cos;
};

// Of an angle of at most an eighth of a turn, in radians. Polynomials of Cephes' sinf and cosf.
__device__ __forceinline__ SinCos sin_cos_of_eighth(float angle) {
    const float square = angle * angle;
    float s = fmaf(-1.9515295891e-4f, square, 8.3321608736e-3f);
    s = fmaf(s, square, -1.6666654611e-1f) * square;
    float c = fmaf(2.443315711809948e-5f, square, -1.388731625493765e-3f);
    c = fmaf(c, square, 4.166664568298827e-2f) * square;
    return {fmaf(angle, s, angle), fmaf(c, square, fmaf(-0.5f, square, 1.0f))};
}

// Of a fraction in units of 2^-64 turns. The library's functions for radians would reduce large angles
// in local memory; here whole turns are gone by the overflow of integers.
__device__ __forceinline__ SinCos sin_cos_of_turn(u64 turn) {
    constexpr float radians_per_unit = 3.40612158e-19f;
    const u32 quarters = u32((turn + (1ull << 61)) >> 62);
    // What is left is within an eighth of a turn on either side.
    const i64 rest = i64(turn - (u64(quarters) << 62));
    const SinCos of_rest = sin_cos_of_eighth(__ll2float_rn(rest) * radians_per_unit);
    const bool is_odd = (quarters & 1) != 0;
    const float sine = is_odd ? of_rest.cos : of_rest.sin;
    const float cosine = is_odd ? of_rest.sin : of_rest.cos;
    return {(quarters & 2) != 0 ? -sine : sine, ((quarters + 1) & 2) != 0 ? -cosine : cosine};
}

}  // namespace minuend
