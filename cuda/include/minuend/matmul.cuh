// What dense products share: entries of a batch, elements of 16 bytes, and what is stored.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Elements from the start of both operands to those of one entry of a batch.
struct BatchOffsets {
    i64 lhs;
    i64 rhs;
};

__device__ __forceinline__ BatchOffsets batch_offsets(int entry, const Axes& shape,
                                                      const Strides& lhs, const Strides& rhs) {
    BatchOffsets offsets{0, 0};
    if (entry == 0) {
        return offsets;
    }
#pragma unroll
    for (int axis = 5; axis >= 0; --axis) {
        const int index = entry % shape.at[axis];
        entry /= shape.at[axis];
        offsets.lhs += index * lhs.at[axis];
        offsets.rhs += index * rhs.at[axis];
    }
    return offsets;
}

// The elements of 16 bytes.
template <typename T>
__device__ __forceinline__ void widen(const uint4& words, float (&to)[16 / sizeof(T)]) {
    const u32 at[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4) {
            to[i] = __uint_as_float(at[i]);
        } else {
            to[2 * i] = low_of<T>(at[i]);
            to[2 * i + 1] = high_of<T>(at[i]);
        }
    }
}

// Stores a sum as f32 or as an element.
template <typename T>
__device__ __forceinline__ void store_sum(void* out, i64 at, float sum, bool stores_f32) {
    if (sizeof(T) == 4 || stores_f32) {
        static_cast<float*>(out)[at] = sum;
    } else {
        static_cast<T*>(out)[at] = from_float<T>(sum);
    }
}

}  // namespace minuend
