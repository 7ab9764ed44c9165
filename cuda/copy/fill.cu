// Writes one value to every element of a dense tensor, as many bytes at once as its place allows.
#include "minuend/dependency.cuh"
#include "minuend/index.cuh"
#include "minuend/types.cuh"

#ifndef UNIT_BYTES
#define UNIT_BYTES 16
#endif

namespace {

using namespace minuend;

// The unit that consists of repetitions of the value; fewer bytes are the lowest of `bits`.
template <typename Unit>
__device__ __forceinline__ Unit repeated(u64 bits) {
    if constexpr (sizeof(Unit) < 4) {
        return Unit(bits);
    } else {
        Unit unit;
#pragma unroll
        for (int word = 0; word < int(sizeof(Unit)) / 4; ++word) {
            unit.at[word] = u32(bits >> (word % 2 * 32));
        }
        return unit;
    }
}

}  // namespace

// `bits` is the value repeated up to eight bytes.
extern "C" __global__ void __launch_bounds__(256) fill(void* to, long long bits, int units) {
    const u32 unit = blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (unit < u32(units)) {
        static_cast<Unit<UNIT_BYTES>*>(to)[unit] = repeated<Unit<UNIT_BYTES>>(u64(bits));
    }
}
