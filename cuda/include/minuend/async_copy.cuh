// Copies from global to shared memory that a thread does not wait for (cp.async).
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Starts a copy of 16 bytes, of zeros if there is nothing to copy; `from` may then be any multiple
// of 16. `to` is an address in shared memory, a multiple of 16 too.
__device__ __forceinline__ void copy_16_async(u32 to, const void* from, bool is_there) {
    const u32 bytes = is_there ? 16u : 0u;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
}

// Ends the group of copies that the next wait counts.
__device__ __forceinline__ void end_copy_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most so many of the thread's groups are under way. What other threads copied is
// there once they have waited and met this one at a barrier.
template <int Groups>
__device__ __forceinline__ void wait_copy_groups() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

}  // namespace minuend
