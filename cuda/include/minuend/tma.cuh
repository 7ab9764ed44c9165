// Copies of tiles between global and shared memory by the bulk copy engine (TMA). One thread starts
// a copy; elements outside the tensor read as 0 and are not written.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Where a box of a tensor of four axes begins, innermost axis first.
struct BoxStart {
    int at[4];
};

// Which lines the second-level cache gives up first; the encodings that createpolicy makes.
enum class CachePolicy : u64 {
    EvictFirst = 0x12F0000000000000ull,
    EvictLast = 0x14F0000000000000ull,
};

__device__ __forceinline__ void prefetch_map(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// Fills shared memory from a box; the barrier gets its bytes.
__device__ __forceinline__ void load_box(u32 destination, const TensorMap& map, BoxStart start,
                                         u32 barrier, CachePolicy policy) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".L2::cache_hint [%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(destination),
        "l"(&map), "r"(barrier), "r"(start.at[0]), "r"(start.at[1]), "r"(start.at[2]),
        "r"(start.at[3]), "l"(u64(policy))
        : "memory");
}

// The same, to this place and this barrier of every block of the cluster whose bit is set.
__device__ __forceinline__ void load_box_into(u16 blocks, u32 destination, const TensorMap& map,
                                              BoxStart start, u32 barrier, CachePolicy policy) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster.L2::cache_hint [%0], [%1, {%3, %4, %5, %6}], [%2], %8, %7;" ::"r"(
            destination),
        "l"(&map), "r"(barrier), "r"(start.at[0]), "r"(start.at[1]), "r"(start.at[2]),
        "r"(start.at[3]), "l"(u64(policy)), "h"(blocks)
        : "memory");
}

__device__ __forceinline__ void store_box(const TensorMap& map, BoxStart start, u32 source) {
    asm volatile(
        "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
            &map),
        "r"(source), "r"(start.at[0]), "r"(start.at[1]), "r"(start.at[2]), "r"(start.at[3])
        : "memory");
}

// Ends the group of this thread's stores so far.
__device__ __forceinline__ void commit_stores() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until this thread's stores have read their sources.
__device__ __forceinline__ void wait_for_reads_of_stores() {
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// Orders this thread's accesses to shared memory before those of the copy engine and the tensor
// cores that are started behind the next barrier.
__device__ __forceinline__ void fence_async_proxy() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace minuend
