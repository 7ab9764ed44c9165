// Blocks of a cluster: they run at the same time and reach each other's shared memory.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

__device__ __forceinline__ int cluster_rank() {
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return int(rank);
}

// The address in the cluster's window of what has this address in a block's own shared memory.
__device__ __forceinline__ u32 address_in_block(u32 address, int rank) {
    u32 remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    return remote;
}

// Writes four words, by addresses in the cluster's window; the barrier, in the same block, gets
// their 16 bytes.
__device__ __forceinline__ void store_in_cluster(u32 address, int4 value, u32 barrier) {
    asm volatile(
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.s32 "
        "[%0], {%1, %2, %3, %4}, [%5];" ::"r"(address),
        "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w), "r"(barrier)
        : "memory");
}

// Every thread of every block of the cluster takes part.
__device__ __forceinline__ void sync_cluster() {
    asm volatile(
        "barrier.cluster.arrive.release.aligned;\n"
        "barrier.cluster.wait.acquire.aligned;" ::
            : "memory");
}

// The two halves of sync_cluster.
__device__ __forceinline__ void arrive_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

__device__ __forceinline__ void wait_cluster() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

}  // namespace minuend
