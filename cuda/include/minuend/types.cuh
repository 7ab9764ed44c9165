// Element types, their conversion to and from f32, and the structs that arguments are passed in.
//
// There are no CUDA headers here: the compiler is given these files alone.
#pragma once

namespace minuend {

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

// Upper half of an IEEE single.
struct alignas(2) bf16 {
    u16 bits;
};

// IEEE half.
struct alignas(2) f16 {
    u16 bits;
};

template <typename T>
constexpr bool is_bf16 = false;

template <>
constexpr bool is_bf16<bf16> = true;

// Sizes of up to six axes; those behind the last are 1.
struct Axes {
    int at[6];
};

// Elements between neighbours along up to six axes; those behind the last are 0.
struct Strides {
    long long at[6];
};

// What the bulk copy engine is told of a tensor; made by the driver.
struct alignas(64) TensorMap {
    u64 opaque[16];
};

static_assert(sizeof(Axes) == 24 && sizeof(Strides) == 48 && sizeof(TensorMap) == 128,
              "the host lays these out byte by byte");

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

__device__ __forceinline__ float to_float(float x) { return x; }

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }

__device__ __forceinline__ float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

// The nearest element, ties to even; beyond the largest it is infinite.
template <typename T>
__device__ __forceinline__ T from_float(float x);

template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}

template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two elements of 16 bits in a word, the first in the low half.
template <typename T>
__device__ __forceinline__ u32 pack(float low, float high);

template <>
__device__ __forceinline__ u32 pack<bf16>(float low, float high) {
    u32 word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

template <>
__device__ __forceinline__ u32 pack<f16>(float low, float high) {
    u32 word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// The elements of a word: see pack.
template <typename T>
__device__ __forceinline__ float low_of(u32 word) {
    return to_float(T{u16(word & 0xffffu)});
}

template <typename T>
__device__ __forceinline__ float high_of(u32 word) {
    return to_float(T{u16(word >> 16)});
}

// N neighbouring elements, moved by one instruction where they take at most 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
    T at[N];
};

}  // namespace minuend
