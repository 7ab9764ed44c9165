// Index of the largest finite element along one axis, of equals the lowest; -1 if none is finite. A row
// is what lies along the axis; results are dense.
//
// Several blocks may share a row. Each raises the row's best candidate, and the last to do so writes it.
#include "minuend/dependency.cuh"
#include "minuend/rows.cuh"
#include "minuend/team.cuh"

// Type of elements.
#ifndef ELEMENT
#define ELEMENT float
#endif
// Elements of a vector. Rows are whole vectors, and aligned to them.
#ifndef WIDTH
#define WIDTH 4
#endif

using namespace minuend;

// An element and its index as a number: of two candidates the better one is larger.
using Candidate = u64;
constexpr Candidate none = 0;

struct Better {
    using Value = Candidate;
    static __device__ __forceinline__ Candidate nothing() { return none; }
    static __device__ __forceinline__ Candidate combine(Candidate a, Candidate b) {
        return max(a, b);
    }
};

// `value` is finite.
__device__ __forceinline__ Candidate candidate(float value, u32 index) {
    // 0 and -0 are equal.
    const u32 bits = __float_as_uint(value == 0.0f ? 0.0f : value);
    // Ordered like the numbers; no finite one becomes 0.
    const u32 ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
    return Candidate(ordered) << 32 | ~index;
}

__device__ __forceinline__ i64 index_of(Candidate candidate) {
    return candidate == none ? -1 : i64(~u32(candidate));
}

// What the blocks of a row agree by. All 0 before and after.
struct alignas(16) Agreement {
    Candidate best;
    u32 arrived;
    u32 unused;
};
static_assert(sizeof(Agreement) == 16, "the host takes four words for each row");

extern "C" __global__ __launch_bounds__(256, 1) void arg_max(
    const ELEMENT* x, long long* __restrict__ result, unsigned int* counters,
    int vectors, int blocks_of_row, long long step, const __grid_constant__ minuend::Axes shape,
    const __grid_constant__ minuend::Strides x_strides) {
    let_next_start();
    const u32 row = blockIdx.x / blocks_of_row;
    const u32 block = blockIdx.x - row * blocks_of_row;
    x += row_offset(row, shape, x_strides);
    // Every finite element is above -infinity, and NaN is above nothing.
    float most = -infinity();
    u32 index = 0;
    const u32 stride = blocks_of_row * blockDim.x;
    wait_for_previous();
    for (u32 vector = block * blockDim.x + threadIdx.x; vector < vectors; vector += stride) {
        RowTile<WIDTH, 1> tile;
        tile.load(x, step, {vector, stride, u32(vectors)}, infinity());
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            // Indices ascend: an equal element behind is not the lowest.
            if (tile.at[0][i] > most && tile.at[0][i] < infinity()) {
                most = tile.at[0][i];
                index = vector * WIDTH + i;
            }
        }
    }
    const Candidate own = most == -infinity() ? none : candidate(most, index);
    const Candidate best = combine_block<Better>(own);
    if (threadIdx.x != 0) {
        return;
    }
    if (blocks_of_row == 1) {
        result[row] = index_of(best);
        return;
    }
    Agreement& agreement = reinterpret_cast<Agreement*>(counters)[row];
    atomicMax(&agreement.best, best);
    // The candidate is there before the arrival is.
    __threadfence();
    if (atomicAdd(&agreement.arrived, 1) == blocks_of_row - 1) {
        __threadfence();
        result[row] = index_of(atomicExch(&agreement.best, none));
        agreement.arrived = 0;
    }
}
