// Threads that share a row, and what they find out together.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

constexpr u32 every_lane = 0xffffffffu;
constexpr int warp_size = 32;

// Sum of floats.
struct Sum {
    using Value = float;
    static __device__ __forceinline__ float nothing() { return 0.0f; }
    static __device__ __forceinline__ float combine(float a, float b) { return a + b; }
};

// Largest of floats; NaN if one is NaN.
struct Largest {
    using Value = float;
    static __device__ __forceinline__ float nothing() { return -infinity(); }
    static __device__ __forceinline__ float combine(float a, float b) {
        float larger;
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
        return larger;
    }
};

// Combines the values of Lanes neighbouring lanes. All of them get the same bits, as long as the
// operation is commutative.
template <typename Op, int Lanes>
__device__ __forceinline__ typename Op::Value combine_lanes(typename Op::Value value) {
    static_assert(Lanes >= 1 && Lanes <= warp_size && (Lanes & (Lanes - 1)) == 0,
                  "lanes are combined in halves");
#pragma unroll
    for (int distance = Lanes / 2; distance > 0; distance /= 2) {
        value = Op::combine(value, __shfl_xor_sync(every_lane, value, distance));
    }
    return value;
}

// Combines the values of all threads of a block of whole warps.
template <typename Op>
__device__ __forceinline__ typename Op::Value combine_block(typename Op::Value value) {
    __shared__ typename Op::Value of_warps[warp_size];
    const int warp = threadIdx.x / warp_size;
    const int lane = threadIdx.x % warp_size;
    value = combine_lanes<Op, warp_size>(value);
    if (lane == 0) {
        of_warps[warp] = value;
    }
    __syncthreads();
    value = lane < blockDim.x / warp_size ? of_warps[lane] : Op::nothing();
    // Nobody writes the next value of a warp before this one is read.
    __syncthreads();
    return combine_lanes<Op, warp_size>(value);
}

// The threads of one row: Lanes neighbouring lanes of a warp, or all threads of a block if Lanes is 0.
// Every thread of a block must take part in `combine`, those whose row is behind the last one included.
template <int Lanes>
struct Team {
    // The row.
    u32 row;
    // This thread's number among those of the row.
    u32 rank;
    // Number of threads of the row.
    u32 size;

    static __device__ __forceinline__ Team mine() {
        if constexpr (Lanes == 0) {
            return {blockIdx.x, threadIdx.x, blockDim.x};
        } else {
            const u32 row = blockIdx.x * (blockDim.x / Lanes) + threadIdx.x / Lanes;
            return {row, threadIdx.x % Lanes, Lanes};
        }
    }

    // What the threads have together; all of them get it.
    template <typename Op>
    __device__ __forceinline__ typename Op::Value combine(typename Op::Value value) const {
        if constexpr (Lanes == 0) {
            return combine_block<Op>(value);
        } else {
            return combine_lanes<Op, Lanes>(value);
        }
    }
};

}  // namespace minuend
