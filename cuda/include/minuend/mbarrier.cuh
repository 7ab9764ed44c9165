// Barriers in shared memory that count arrivals and the bytes of asynchronous copies (mbarrier).
//
// A barrier is named by its address in the shared window. It completes phase after phase; a wait
// names the parity of the phase whose end it waits for, and a fresh barrier is in phase 0, behind
// one of parity 1 that counts as complete.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

constexpr int barrier_bytes = 8;

// Address in the shared window of this block.
__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return u32(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void init_barrier(u32 barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}

// Makes initialised barriers visible to the copy engine and to the other blocks of the cluster.
// They must still be synchronised with.
__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives at a barrier of a block of the cluster, by its address in the window of the cluster. The
// form without .release.cluster orders what a consumer needs, that its reads are done, without a
// fence.
__device__ __forceinline__ void arrive_in_cluster(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives, and lets the phase wait for that many bytes of copies.
__device__ __forceinline__ void arrive_expecting(u32 barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void wait(u32 barrier, int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again_%=;\n"
        "}\n" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

// A counted wait gives up behind so many tries, each of about so many nanoseconds: 9 s on an H200.
constexpr int most_tries = 1 << 21;
constexpr int try_nanoseconds = 4000;

// The same, but a phase that never ends is a fault of the kernel, of which the host is told, and
// not a standstill. Tries are counted, not time: what holds the whole kernel up does not count.
__device__ __forceinline__ void wait_or_trap(u32 barrier, int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        ".reg .pred more;\n"
        ".reg .b32 left;\n"
        "mov.b32 left, %2;\n"
        "again_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1, %3;\n"
        "@done bra passed_%=;\n"
        "add.s32 left, left, -1;\n"
        "setp.ne.s32 more, left, 0;\n"
        "@more bra again_%=;\n"
        "trap;\n"
        "passed_%=:\n"
        "}\n" ::"r"(barrier),
        "r"(parity), "n"(most_tries), "r"(try_nanoseconds)
        : "memory");
}

// Buffers that are filled and emptied in turn, with a barrier for each of the two.
template <int Stages>
struct Ring {
    static constexpr int bytes = 2 * Stages * barrier_bytes;

    u32 barriers;

    __device__ __forceinline__ u32 full(int stage) const {
        return barriers + stage * barrier_bytes;
    }

    __device__ __forceinline__ u32 empty(int stage) const {
        return barriers + (Stages + stage) * barrier_bytes;
    }

    __device__ __forceinline__ void init(int full_arrivals, int empty_arrivals) const {
        for (int stage = 0; stage < Stages; ++stage) {
            init_barrier(full(stage), full_arrivals);
            init_barrier(empty(stage), empty_arrivals);
        }
    }
};

// Where someone is in a ring. Consumers wait with `parity`, the producer with the other: it finds
// all buffers empty at first.
template <int Stages>
struct RingPosition {
    int stage = 0;
    int parity = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == Stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

}  // namespace minuend
