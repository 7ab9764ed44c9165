// Neighbouring elements as floats.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Stores up to four words at once. Plain stores to the members of a struct are merged or not, by how
// the address is computed.
__device__ __forceinline__ void store_words(void* to, const u32 (&from)[1]) {
    *static_cast<u32*>(to) = from[0];
}

__device__ __forceinline__ void store_words(void* to, const u32 (&from)[2]) {
    asm volatile("st.global.v2.u32 [%0], {%1, %2};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "r"(from[0]), "r"(from[1])
                 : "memory");
}

__device__ __forceinline__ void store_words(void* to, const u32 (&from)[4]) {
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "r"(from[0]), "r"(from[1]), "r"(from[2]),
                   "r"(from[3])
                 : "memory");
}

// Reads up to four words where it stands: the compiler moves other reads of constant memory down to
// where their values are used.
__device__ __forceinline__ void load_words_now(const void* from, u32 (&to)[1]) {
    asm volatile("ld.global.u32 %0, [%1];"
                 : "=r"(to[0])
                 : "l"(__cvta_generic_to_global(from))
                 : "memory");
}

__device__ __forceinline__ void load_words_now(const void* from, u32 (&to)[2]) {
    asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "l"(__cvta_generic_to_global(from))
                 : "memory");
}

__device__ __forceinline__ void load_words_now(const void* from, u32 (&to)[4]) {
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "l"(__cvta_generic_to_global(from))
                 : "memory");
}

// Reads N elements. Their address is a multiple of their size together, or of 16 bytes.
template <typename T, int N>
__device__ __forceinline__ void load_floats(const T* from, float (&to)[N]) {
    constexpr int bytes = N * sizeof(T);
    if constexpr (bytes > 16) {
        constexpr int part = 16 / sizeof(T);
#pragma unroll
        for (int first = 0; first < N; first += part) {
            float of_part[part];
            load_floats(from + first, of_part);
#pragma unroll
            for (int i = 0; i < part; ++i) {
                to[first + i] = of_part[i];
            }
        }
    } else if constexpr (sizeof(T) == 2 && N > 1) {
        // The compiler would load the elements one by one.
        const auto words = *reinterpret_cast<const Vector<u32, N / 2>*>(from);
#pragma unroll
        for (int i = 0; i < N / 2; ++i) {
            to[2 * i] = low_of<T>(words.at[i]);
            to[2 * i + 1] = high_of<T>(words.at[i]);
        }
    } else {
        const auto elements = *reinterpret_cast<const Vector<T, N>*>(from);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            to[i] = to_float(elements.at[i]);
        }
    }
}

// The same, of whole words, where it stands.
template <typename T, int N>
__device__ __forceinline__ void load_floats_now(const T* from, float (&to)[N]) {
    constexpr int words = N * sizeof(T) / 4;
    constexpr int part = words < 4 ? words : 4;
    static_assert(words * 4 == N * sizeof(T) && words % part == 0, "whole words are read");
#pragma unroll
    for (int first = 0; first < words; first += part) {
        u32 held[part];
        load_words_now(reinterpret_cast<const u32*>(from) + first, held);
#pragma unroll
        for (int i = 0; i < part; ++i) {
            if constexpr (sizeof(T) == 2) {
                to[2 * (first + i)] = low_of<T>(held[i]);
                to[2 * (first + i) + 1] = high_of<T>(held[i]);
            } else {
                to[first + i] = __uint_as_float(held[i]);
            }
        }
    }
}

// Rounds and writes N elements. Their address is a multiple of their size together, or of 16 bytes.
template <typename T, int N>
__device__ __forceinline__ void store_floats(T* to, const float (&from)[N]) {
    constexpr int bytes = N * sizeof(T);
    if constexpr (bytes > 16) {
        constexpr int part = 16 / sizeof(T);
#pragma unroll
        for (int first = 0; first < N; first += part) {
            float of_part[part];
#pragma unroll
            for (int i = 0; i < part; ++i) {
                of_part[i] = from[first + i];
            }
            store_floats(to + first, of_part);
        }
    } else if constexpr (sizeof(T) == 2 && N > 1) {
        u32 words[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; ++i) {
            words[i] = pack<T>(from[2 * i], from[2 * i + 1]);
        }
        store_words(to, words);
    } else if constexpr (sizeof(T) == 4) {
        u32 words[N];
#pragma unroll
        for (int i = 0; i < N; ++i) {
            words[i] = __float_as_uint(from[i]);
        }
        store_words(to, words);
    } else {
        *to = from_float<T>(from[0]);
    }
}

}  // namespace minuend
