// Writes consecutive integers.
#include "minuend/dependency.cuh"
#include "minuend/types.cuh"

extern "C" __global__ void __launch_bounds__(256) iota(long long* result, long long start,
                                                       int elements) {
    const minuend::u32 element = blockIdx.x * blockDim.x + threadIdx.x;
    minuend::let_next_start();
    minuend::wait_for_previous();
    if (element < minuend::u32(elements)) {
        result[element] = start + element;
    }
}
