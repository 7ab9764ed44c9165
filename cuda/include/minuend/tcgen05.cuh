// Matrix products whose sums live in tensor memory (tcgen05), of one thread block.
//
// Tensor memory has 128 lanes of 512 columns of 32 bits. An address is lane << 16 | column. Row r
// of a product of 128 rows is lane r; its column c is column c of the sums. A left operand in
// tensor memory has two neighbouring elements of 16 bits of the summed axis in a column, the first
// in the low half. Warp w of a thread block reaches lanes 32 (w % 4) to 32 (w % 4) + 31 and no
// others.
//
// One thread starts products. They run behind its back, in the order in which it started them.
// Everybody else is told of their end by a barrier (commit).
//
// Order between threads. What a thread did with tensor memory comes before what another does if
// the first calls before_thread_sync, both meet at a barrier, and the other calls
// after_thread_sync. A load or a store is done only behind its wait; commit orders like
// before_thread_sync.
//
// Tiles in shared memory are chunks of 64 elements, 128 bytes, of every row, with the 16-byte
// pieces of a row exchanged as Swizzle::Bytes128 says; a chunk starts at a multiple of 1024 bytes.
#pragma once

#include "minuend/types.cuh"

namespace minuend {
namespace tcgen05 {

constexpr int lanes = 128;
constexpr int columns = 512;
constexpr int warp_lanes = 32;
// Length of the summed axis of one product.
constexpr int product_depth = 16;

// The first lane that a warp reaches, as part of an address.
__device__ __forceinline__ u32 first_lane(int warp) { return u32(warp % 4 * warp_lanes) << 16; }

// Takes all of tensor memory; its address goes to shared memory. A warp calls it, and the same
// warp gives it back.
__device__ __forceinline__ void allocate(u32 address_to) {
    asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(
                     address_to),
                 "n"(columns)
                 : "memory");
    asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void deallocate(u32 address) {
    asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(address),
                 "n"(columns)
                 : "memory");
}

__device__ __forceinline__ void before_thread_sync() {
    asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}

__device__ __forceinline__ void after_thread_sync() {
    asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

// A tile in shared memory as a product is told of it. Addresses within a tile are reached by
// adding to the low word: they count 16 bytes, and the high word is the same for all tiles.
struct MatrixDescriptor {
    u32 low;

    // Fields, by their first bit.
    static constexpr int leading_bit = 16;
    static constexpr int stride_bit = 32;
    static constexpr int version_bit = 46;
    static constexpr int swizzle_bit = 61;
    // Bytes from 8 rows to the next 8.
    static constexpr u32 stride_bytes = 1024;
    static constexpr u64 version = 1;
    static constexpr u64 swizzle_128_bytes = 2;

    // Rows of the tile are rows (or, on the right, columns) of the product; the summed axis is
    // dense.
    static constexpr MatrixDescriptor at(u32 address) { return {(address & 0x3ffffu) >> 4}; }

    constexpr MatrixDescriptor plus(u32 bytes) const { return {low + (bytes >> 4)}; }

    // The same tile, whose rows are the summed axis; chunk_bytes: from 64 columns to the next 64.
    constexpr MatrixDescriptor with_chunks_of(u32 chunk_bytes) const {
        return {low + (chunk_bytes >> 4 << leading_bit)};
    }

    constexpr u64 bits() const {
        return swizzle_128_bytes << swizzle_bit | version << version_bit |
               u64(stride_bytes >> 4) << stride_bit | low;
    }
};

static_assert(MatrixDescriptor::at(0x8c00).plus(32).bits() == 0x40004040000008c2ull,
              "keys or queries: 0x8c20 >> 4, 1024 >> 4 at 32, version 1 at 46, swizzle 2 at 61");
static_assert(MatrixDescriptor::at(0x8c00).with_chunks_of(16384).plus(2048).bits() ==
                  0x4000404004000940ull,
              "values: 16384 >> 4 at 16");

// What a product is, with sums in f32 and a left operand that is dense in the summed axis.
struct InstructionDescriptor {
    // Elements of both operands are bf16, else f16.
    bool is_bf16;
    // Rows of the right operand's tile are the summed axis.
    bool transposed_right;
    int rows;
    int columns;

    // Fields, by their first bit.
    static constexpr int sum_type_bit = 4;
    static constexpr int left_type_bit = 7;
    static constexpr int right_type_bit = 10;
    static constexpr int right_major_bit = 16;
    static constexpr int columns_bit = 17;
    static constexpr int rows_bit = 24;
    static constexpr u32 sum_f32 = 1;

    constexpr u32 bits() const {
        const u32 type = is_bf16 ? 1u : 0u;
        return sum_f32 << sum_type_bit | type << left_type_bit | type << right_type_bit |
               u32(transposed_right) << right_major_bit | u32(columns / 8) << columns_bit |
               u32(rows / 16) << rows_bit;
    }
};

static_assert(InstructionDescriptor{true, false, 128, 128}.bits() == 0x8200490u, "bf16 scores");
static_assert(InstructionDescriptor{true, true, 128, 128}.bits() == 0x8210490u, "bf16 sums of 128");
static_assert(InstructionDescriptor{true, true, 128, 64}.bits() == 0x8110490u, "bf16 sums of 64");
static_assert(InstructionDescriptor{false, false, 128, 128}.bits() == 0x8200010u, "f16 scores");
static_assert(InstructionDescriptor{false, true, 128, 128}.bits() == 0x8210010u, "f16 sums of 128");
static_assert(InstructionDescriptor{false, true, 128, 64}.bits() == 0x8110010u, "f16 sums of 64");

// Starts sums (+)= left right, with both operands in shared memory.
__device__ __forceinline__ void multiply(u32 sums, MatrixDescriptor left, MatrixDescriptor right,
                                         u32 instruction, bool accumulates) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %4, 0;\n"
        "tcgen05.mma.cta_group::1.kind::f16 [%0], %1, %2, %3, p;\n}\n" ::"r"(sums),
        "l"(left.bits()), "l"(right.bits()), "r"(instruction), "r"(int(accumulates))
        : "memory");
}

// The same with the left operand in tensor memory.
__device__ __forceinline__ void multiply(u32 sums, u32 left, MatrixDescriptor right,
                                         u32 instruction, bool accumulates) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %4, 0;\n"
        "tcgen05.mma.cta_group::1.kind::f16 [%0], [%1], %2, %3, p;\n}\n" ::"r"(sums),
        "r"(left), "l"(right.bits()), "r"(instruction), "r"(int(accumulates))
        : "memory");
}

// Arrives at a barrier once all products that this thread started are complete.
__device__ __forceinline__ void commit(u32 barrier) {
    asm volatile(
        "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(barrier)
        : "memory");
}

// Columns that one load or store moves, of a warp's 32 lanes: a thread has those of its lane.
constexpr int moved_columns = 32;

// An asm statement has to list the registers one by one.
// clang-format off
#define REGISTERS \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define EIGHT(type, x, i) \
    type(x[i]), type(x[i + 1]), type(x[i + 2]), type(x[i + 3]), \
    type(x[i + 4]), type(x[i + 5]), type(x[i + 6]), type(x[i + 7])
#define ALL(type, x) EIGHT(type, x, 0), EIGHT(type, x, 8), EIGHT(type, x, 16), EIGHT(type, x, 24)

// Starts to load columns; all threads of a warp. The registers have them behind the wait.
__device__ __forceinline__ void load(float* to, u32 address) {
    asm volatile("tcgen05.ld.sync.aligned.32x32b.x32.b32 " REGISTERS ", [%32];"
                 : ALL("=f", to) : "r"(address) : "memory");
}

// Starts to store columns; all threads of a warp.
__device__ __forceinline__ void store(u32 address, const float* from) {
    asm volatile("tcgen05.st.sync.aligned.32x32b.x32.b32 [%32], " REGISTERS ";"
                 : : ALL("f", from), "r"(address) : "memory");
}

__device__ __forceinline__ void store(u32 address, const u32* from) {
    asm volatile("tcgen05.st.sync.aligned.32x32b.x32.b32 [%32], " REGISTERS ";"
                 : : ALL("r", from), "r"(address) : "memory");
}
#undef ALL
#undef EIGHT
#undef REGISTERS
// clang-format on

// Waits for all loads of the warp. The registers that they fill are named, so that the compiler
// reads none of them before.
template <int Count>
__device__ __forceinline__ void wait_for_loads(float (&registers)[Count]) {
    asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
#pragma unroll
    for (int index = 0; index < Count; ++index) {
        asm volatile("" : "+f"(registers[index])::"memory");
    }
}

__device__ __forceinline__ void wait_for_stores() {
    asm volatile("tcgen05.wait::st.sync.aligned;" ::: "memory");
}

}  // namespace tcgen05
}  // namespace minuend
