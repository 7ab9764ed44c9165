// Matrix products of a warpgroup, 128 threads, asynchronous (wgmma): 64 rows, N columns, 16 of the
// summed axis per instruction, sums in f32.
//
// Accumulators: warp w of the warpgroup has rows 16w to 16w + 15. Of its lane l, d[4j + 2i + e] is
// row 16w + l/4 + 8i, column 8j + 2(l % 4) + e. A left operand in registers has 16 columns as such
// accumulators 8k to 8k + 7, packed in pairs.
//
// Tiles in shared memory are chunks of 64 elements, 128 bytes, of every row, with the 16-byte
// pieces of a row exchanged as Swizzle::Bytes128 says; a chunk starts at a multiple of 1024 bytes.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

constexpr int warpgroup_threads = 128;

// Before the first product that reads or writes registers that other instructions wrote.
__device__ __forceinline__ void fence_products() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// Ends the group of the products so far.
__device__ __forceinline__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most that many groups run.
template <int Groups>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
}

// Keeps the compiler from moving or copying registers across this place: products read and write
// them behind its back.
template <int Count>
__device__ __forceinline__ void pin(float (&registers)[Count]) {
#pragma unroll
    for (int index = 0; index < Count; ++index) {
        asm volatile("" : "+f"(registers[index])::"memory");
    }
}

template <int Count>
__device__ __forceinline__ void pin(u32 (&registers)[Count]) {
#pragma unroll
    for (int index = 0; index < Count; ++index) {
        asm volatile("" : "+r"(registers[index])::"memory");
    }
}

// A tile in shared memory as wgmma is told of it. Addresses within a tile are reached by adding to
// the low word: they count 16 bytes, and the high word is the same for all tiles.
struct MatrixDescriptor {
    u32 low;

    // Rows of the tile are rows (or, on the right, columns) of the product; the summed axis is
    // dense. Addresses of a block in a cluster carry its rank in higher bits.
    static __device__ __forceinline__ MatrixDescriptor at(u32 address) {
        return {(address & 0x3ffffu) >> 4};
    }

    __device__ __forceinline__ MatrixDescriptor plus(u32 bytes) const {
        return {low + (bytes >> 4)};
    }

    // The same tile, whose rows are the summed axis; chunk_bytes: from 64 columns to the next 64.
    __device__ __forceinline__ MatrixDescriptor with_chunks_of(u32 chunk_bytes) const {
        return {low + (chunk_bytes >> 4 << 16)};
    }

    // 128-byte swizzle, and 1024 bytes from 8 rows to the next 8.
    __device__ __forceinline__ u64 bits() const { return u64(1u << 30 | 1024u >> 4) << 32 | low; }
};

// Products of N columns.
template <int N>
struct WarpgroupProduct;

// An instruction's operands are numbered behind its N / 2 accumulators, which an asm statement has
// to list one by one: `registers` names them in the text and the last arguments bind them.

// clang-format off
#define R0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define R1 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define R2 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define R3 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define R4 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define R5 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define R6 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define R7 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define R8 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define R9 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define R10 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define R11 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define R12 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define R13 ", %104, %105, %106, %107, %108, %109, %110, %111"
#define R14 ", %112, %113, %114, %115, %116, %117, %118, %119"
#define R15 ", %120, %121, %122, %123, %124, %125, %126, %127"

#define D(i) \
    "+f"(d[8 * i]), "+f"(d[8 * i + 1]), "+f"(d[8 * i + 2]), "+f"(d[8 * i + 3]), \
    "+f"(d[8 * i + 4]), "+f"(d[8 * i + 5]), "+f"(d[8 * i + 6]), "+f"(d[8 * i + 7])

#define WGMMA(N, type, registers, operands, accumulates) \
    "{\n.reg .pred p;\nsetp.ne.b32 p, %" #accumulates ", 0;\n" \
    "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type \
    " {" registers "}, " operands ";\n}\n"

#define FROM_SHARED(N, type, registers, i0, i1, i2) \
    WGMMA(N, type, registers, "%" #i0 ", %" #i1 ", p, 1, 1, 0, 0", i2)

#define FROM_REGISTERS(N, type, registers, i0, i1, i2, i3, i4, i5, i6) \
    WGMMA(N, type, registers, \
          "{%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 "}, %" #i4 ", p, 1, 1, %" #i6, i5)

#define PRODUCT(N, registers, i0, i1, i2, i3, i4, i5, i6, ...) \
template <> \
struct WarpgroupProduct<N> { \
    /* d (+)= a b; both are dense in the summed axis and lie in shared memory. */ \
    template <typename T> \
    static __device__ __forceinline__ void from_shared( \
        float (&d)[N / 2], MatrixDescriptor a, MatrixDescriptor b, bool accumulates) { \
        if constexpr (is_bf16<T>) { \
            asm volatile(FROM_SHARED(N, "bf16", registers, i0, i1, i2) \
                         : __VA_ARGS__ : "l"(a.bits()), "l"(b.bits()), "r"(int(accumulates))); \
        } else { \
            asm volatile(FROM_SHARED(N, "f16", registers, i0, i1, i2) \
                         : __VA_ARGS__ : "l"(a.bits()), "l"(b.bits()), "r"(int(accumulates))); \
        } \
    } \
    /* d (+)= a b with a in registers. The rows of a Transposed b are the summed axis. */ \
    template <typename T, bool Transposed> \
    static __device__ __forceinline__ void from_registers( \
        float (&d)[N / 2], const u32 *a, MatrixDescriptor b, bool accumulates) { \
        if constexpr (is_bf16<T>) { \
            asm volatile(FROM_REGISTERS(N, "bf16", registers, i0, i1, i2, i3, i4, i5, i6) \
                         : __VA_ARGS__ : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), \
                           "l"(b.bits()), "r"(int(accumulates)), "n"(int(Transposed))); \
        } else { \
            asm volatile(FROM_REGISTERS(N, "f16", registers, i0, i1, i2, i3, i4, i5, i6) \
                         : __VA_ARGS__ : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), \
                           "l"(b.bits()), "r"(int(accumulates)), "n"(int(Transposed))); \
        } \
    } \
};

PRODUCT(64, R0 R1 R2 R3, 32, 33, 34, 35, 36, 37, 38, D(0), D(1), D(2), D(3))
PRODUCT(96, R0 R1 R2 R3 R4 R5, 48, 49, 50, 51, 52, 53, 54, D(0), D(1), D(2), D(3), D(4), D(5))
PRODUCT(128, R0 R1 R2 R3 R4 R5 R6 R7, 64, 65, 66, 67, 68, 69, 70,
        D(0), D(1), D(2), D(3), D(4), D(5), D(6), D(7))
PRODUCT(256, R0 R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15,
        128, 129, 130, 131, 132, 133, 134,
        D(0), D(1), D(2), D(3), D(4), D(5), D(6), D(7),
        D(8), D(9), D(10), D(11), D(12), D(13), D(14), D(15))

#undef PRODUCT
#undef FROM_REGISTERS
#undef FROM_SHARED
#undef WGMMA
#undef D
#undef R0
#undef R1
#undef R2
#undef R3
#undef R4
#undef R5
#undef R6
#undef R7
#undef R8
#undef R9
#undef R10
#undef R11
#undef R12
#undef R13
#undef R14
#undef R15
// clang-format on

}  // namespace minuend
