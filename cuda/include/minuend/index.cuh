// From the number of an element to its index along each axis, and from there to where it lies.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

template <int rank>
struct Index {
    static_assert(1 <= rank && rank <= 6, "Axes and Strides have room for six axes");
    u32 at[rank];
};

// The index of the element that has so many before it in row-major order.
template <int rank>
__device__ __forceinline__ Index<rank> index_of(u32 element, const Axes& shape) {
    Index<rank> index;
#pragma unroll
    for (int axis = rank - 1; axis > 0; --axis) {
        const u32 size = u32(shape.at[axis]);
        const u32 outer = element / size;
        index.at[axis] = element - outer * size;
        element = outer;
    }
    index.at[0] = element;
    return index;
}

template <int rank>
__device__ __forceinline__ i64 offset_of(const Index<rank>& index, const Strides& strides) {
    i64 offset = 0;
#pragma unroll
    for (int axis = 0; axis < rank; ++axis) {
        offset += i64(index.at[axis]) * strides.at[axis];
    }
    return offset;
}

// What is moved at once where elements are moved as they are.
template <int bytes>
struct UnitOf {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "units are at most 16 bytes");
    using Type = Vector<u32, bytes / 4>;
};

template <>
struct UnitOf<2> {
    using Type = u16;
};

template <>
struct UnitOf<1> {
    using Type = unsigned char;
};

template <int bytes>
using Unit = typename UnitOf<bytes>::Type;

}  // namespace minuend
