// What dense products share: entries of a batch, streaming reads of weights, and what is stored.
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

// 16 bytes that are read once: they take no room in the first-level cache. 0 where `is_inside` is false,
// and nothing is read there.
__device__ __forceinline__ uint4 load_streaming(const void* from, bool is_inside) {
    uint4 words;
    asm("{\n\t.reg .pred inside;\n\t"
        "setp.ne.b32 inside, %5, 0;\n\t"
        "mov.b32 %0, 0;\n\tmov.b32 %1, 0;\n\tmov.b32 %2, 0;\n\tmov.b32 %3, 0;\n\t"
        "@inside ld.global.nc.L1::no_allocate.L2::128B.v4.b32 {%0, %1, %2, %3}, [%4];\n\t}"
        : "=&r"(words.x), "=&r"(words.y), "=&r"(words.z), "=&r"(words.w)
        : "l"(from), "r"(int(is_inside)));
    return words;
}

// As copy_16_async, of bytes that many warps read: they stay in the first-level cache.
__device__ __forceinline__ void copy_16_async_cached(u32 to, const void* from, bool is_there) {
    const u32 bytes = is_there ? 16u : 0u;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
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
