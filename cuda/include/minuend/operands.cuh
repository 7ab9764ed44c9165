// Operands of a generated kernel: their types as a list, and how neighbouring elements are read.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// A truth value in memory: 0 is false.
using Truth = unsigned char;

// Element types of operands, in order.
template <typename... Element>
struct Types {};

// How an operand is read for neighbouring elements of the result.
enum class Reading {
    // They are neighbours too, and a vector of them is aligned to its size.
    Vector,
    // All are the one at the address.
    Repeated,
};

template <typename Element, int lanes, Reading reading>
__device__ __forceinline__ Vector<Element, lanes> read(const Element* at) {
    static_assert(sizeof(Vector<Element, lanes>) <= 16, "a vector is moved by one instruction");
    if constexpr (reading == Reading::Vector) {
        return *reinterpret_cast<const Vector<Element, lanes>*>(at);
    } else {
        Vector<Element, lanes> vector;
        const Element element = *at;
#pragma unroll
        for (int lane = 0; lane < lanes; ++lane) {
            vector.at[lane] = element;
        }
        return vector;
    }
}

}  // namespace minuend
