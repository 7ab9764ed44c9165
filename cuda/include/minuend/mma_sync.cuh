// Matrix products of a warp: m16n8k16 of 16-bit elements with f32 sums, and how their operands are
// read from shared memory.
//
// With lane = 4 row + pair: a thread has of A [16][16] rows `row` and `row` + 8 in columns 2 pair,
// 2 pair + 1 and 8 further on; of B [16][8] column `row` in the rows that are those columns; of C
// [16][8] rows `row` and `row` + 8 in columns 2 pair and 2 pair + 1. Hence two neighbouring C,
// packed, are the A of a next product.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Of C: the first two are of row `row`, the others of row `row` + 8.
using MmaSums = float[4];

// c += a b.
template <typename T>
__device__ __forceinline__ void mma_16x8x16(MmaSums& c, const u32 (&a)[4], u32 b_low, u32 b_high);

template <>
__device__ __forceinline__ void mma_16x8x16<bf16>(MmaSums& c, const u32 (&a)[4], u32 b_low,
                                                  u32 b_high) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}

template <>
__device__ __forceinline__ void mma_16x8x16<f16>(MmaSums& c, const u32 (&a)[4], u32 b_low,
                                                 u32 b_high) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}

// Four 8 x 8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8. A
// thread gets of each matrix the elements 2 pair and 2 pair + 1 of row `row`.
__device__ __forceinline__ void load_matrices(u32 (&to)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

// As load_matrices, of the transposed matrices: the elements 2 pair and 2 pair + 1 of column `row`.
__device__ __forceinline__ void load_matrices_transposed(u32 (&to)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

// Rows of `Columns` 16-bit elements in shared memory, as vectors of 16 bytes, such that a vector of
// 8 neighbouring rows is in different banks: vector c of row r is at place c ^ r % 8 of its 128
// bytes, or rows are an odd number of vectors apart. The first row starts at a multiple of 128
// bytes.
template <int Columns>
struct MatrixRows {
    static_assert(Columns > 0 && Columns % 16 == 0, "rows are whole operands of products");
    static constexpr int vectors = Columns / 8;
    static constexpr bool is_swizzled = vectors % 8 == 0;
    static constexpr int row_bytes = 16 * (is_swizzled ? vectors : vectors + 1);

    // Byte offset of a vector.
    __device__ __forceinline__ static u32 offset(u32 row, u32 vector) {
        return row * row_bytes + (is_swizzled ? vector ^ row % 8 : vector) * 16;
    }

    // Where vector c + `vectors` of a row is if vector c = 0 or 1 of it is at `address`; `vectors`
    // even.
    __device__ __forceinline__ static u32 advance(u32 address, int vectors) {
        if constexpr (is_swizzled) return (address ^ (vectors % 8 * 16)) + vectors / 8 * 128;
        return address + vectors * 16;
    }
};

}  // namespace minuend
