// Barriers of some of a block's warps, and the choice of one thread. Ids are 1 to 15; 0 is
// __syncthreads.
#pragma once

namespace minuend {

__device__ __forceinline__ void sync_threads(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Counts as arrived without waiting for the others.
__device__ __forceinline__ void arrive_threads(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// True in one thread of a converged warp.
__device__ __forceinline__ bool elect_one() {
    unsigned chosen;
    asm volatile(
        "{\n"
        ".reg .pred chosen;\n"
        "elect.sync _|chosen, 0xffffffff;\n"
        "selp.u32 %0, 1, 0, chosen;\n"
        "}\n"
        : "=r"(chosen));
    return chosen != 0;
}

}  // namespace minuend
