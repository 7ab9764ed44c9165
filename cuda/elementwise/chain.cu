// Elementwise ops one after the other, on operands that broadcast to one shape; the result is
// dense.
//
// A thread computes LANES neighbours along the last axis, one item. Sizes are in items along that
// axis, and strides are from item to item: a vector of an operand is LANES elements further, a
// repeated element is where it was.
#include "minuend/dependency.cuh"
#include "minuend/generated.cuh"
#include "minuend/index.cuh"
#include "minuend/operands.cuh"

// Elements of an item.
#ifndef LANES
#define LANES 8
#endif
#ifndef RANK
#define RANK 2
#endif
// Bit i is set if operand i is read as vectors.
#ifndef VECTORS
#define VECTORS 3
#endif

namespace {

using namespace minuend;

struct Operand {
    const void* data;
    const Strides& strides;
};

// Where an operand's element, or the first of its vector, lies.
template <typename Element>
__device__ __forceinline__ const Element* at(const Operand& operand, const Index<RANK>& index) {
    return static_cast<const Element*>(operand.data) + offset_of(index, operand.strides);
}

constexpr Reading reading_of(int operand) {
    return (VECTORS >> operand & 1) != 0 ? Reading::Vector : Reading::Repeated;
}

// All operands are read.
template <int count, typename... Loaded>
__device__ __forceinline__ Vector<Result, LANES> compute(Types<>, const Operand*,
                                                         const Index<RANK>&,
                                                         const Loaded&... loaded) {
    Vector<Result, LANES> values;
#pragma unroll
    for (int lane = 0; lane < LANES; ++lane) {
        values.at[lane] = value_of(loaded.at[lane]...);
    }
    return values;
}

// Reads operand `number`, the first of those that are left, then the others.
template <int number, typename First, typename... Others, typename... Loaded>
__device__ __forceinline__ Vector<Result, LANES> compute(Types<First, Others...>,
                                                         const Operand* operands,
                                                         const Index<RANK>& index,
                                                         const Loaded&... loaded) {
    const First* address = at<First>(operands[number], index);
    return compute<number + 1>(Types<Others...>{}, operands, index, loaded...,
                               read<First, LANES, reading_of(number)>(address));
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) chain(
    const void* x0, const void* x1, const void* x2, const void* x3, const void* x4, const void* x5,
    const void* x6, const void* x7, void* result, int items, const minuend::Axes shape,
    const minuend::Strides strides0, const minuend::Strides strides1,
    const minuend::Strides strides2, const minuend::Strides strides3,
    const minuend::Strides strides4, const minuend::Strides strides5,
    const minuend::Strides strides6, const minuend::Strides strides7) {
    let_next_start();
    // Below 2^31 + 256.
    const u32 item = blockIdx.x * blockDim.x + threadIdx.x;
    const Operand operands[] = {{x0, strides0}, {x1, strides1}, {x2, strides2}, {x3, strides3},
                                {x4, strides4}, {x5, strides5}, {x6, strides6}, {x7, strides7}};
    const Index<RANK> index = index_of<RANK>(item, shape);
    wait_for_previous();
    if (item >= u32(items)) {
        return;
    }
    static_cast<Vector<Result, LANES>*>(result)[item] = compute<0>(Operands{}, operands, index);
}
