// Copies between tensors of one shape with any strides. Sizes and strides are in units, which are
// elements or several neighbours at once.
#include "minuend/dependency.cuh"
#include "minuend/index.cuh"
#include "minuend/types.cuh"

#ifndef UNIT_BYTES
#define UNIT_BYTES 16
#endif
#ifndef RANK
#define RANK 2
#endif
// Units that a thread moves. All are read before the first is written, so that reads overlap.
#ifndef PER_THREAD
#define PER_THREAD 4
#endif

extern "C" __global__ void __launch_bounds__(256) strided(const void* from, void* to, int units,
                                                          const minuend::Axes shape,
                                                          const minuend::Strides from_strides,
                                                          const minuend::Strides to_strides) {
    using namespace minuend;
    using Unit = Unit<UNIT_BYTES>;
    static_assert(sizeof(Unit) == UNIT_BYTES, "a unit has no padding");
    let_next_start();
    // Below 2^31 + 256 PER_THREAD, also for threads behind the last unit.
    const u32 first = blockIdx.x * blockDim.x * PER_THREAD + threadIdx.x;
    Unit held[PER_THREAD];
    i64 from_offsets[PER_THREAD];
    i64 offsets[PER_THREAD];
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        const Index<RANK> index = index_of<RANK>(first + i * blockDim.x, shape);
        from_offsets[i] = offset_of(index, from_strides);
        offsets[i] = offset_of(index, to_strides);
    }
    wait_for_previous();
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (first + i * blockDim.x < u32(units)) {
            held[i] = static_cast<const Unit*>(from)[from_offsets[i]];
        }
    }
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (first + i * blockDim.x < u32(units)) {
            static_cast<Unit*>(to)[offsets[i]] = held[i];
        }
    }
}
