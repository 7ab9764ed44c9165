// Rotary position embedding: (a, b) of a pair of features becomes (a cos - b sin, a sin + b cos).
//
// An angle is a position times a frequency. The frequency is a 64-bit fraction of a turn, so the product
// of integers modulo 2^64 is the fraction of a turn to go, however many turns there were.
//
// A thread rotates PAIRS neighbouring pairs of some heads of one token: their angles are the same.
#include "minuend/dependency.cuh"
#include "minuend/floats.cuh"
#include "minuend/turn.cuh"

// Type of features.
#ifndef ELEMENT
#define ELEMENT float
#endif
// Pair i is of features 2i and 2i + 1; otherwise of i and i + pairs.
#ifndef INTERLEAVED
#define INTERLEAVED false
#endif
// Neighbouring pairs of a thread.
#ifndef PAIRS
#define PAIRS 4
#endif

using namespace minuend;

// Features of PAIRS neighbouring pairs.
struct Features {
    float a[PAIRS];
    float b[PAIRS];

    __device__ __forceinline__ void load(const ELEMENT* head, u32 pair, u32 pairs) {
        if constexpr (INTERLEAVED) {
            float mixed[2 * PAIRS];
            load_floats(head + 2 * pair, mixed);
#pragma unroll
            for (int i = 0; i < PAIRS; ++i) {
                a[i] = mixed[2 * i];
                b[i] = mixed[2 * i + 1];
            }
        } else {
            load_floats(head + pair, a);
            load_floats(head + pairs + pair, b);
        }
    }

    __device__ __forceinline__ void store(ELEMENT* head, u32 pair, u32 pairs) const {
        if constexpr (INTERLEAVED) {
            float mixed[2 * PAIRS];
#pragma unroll
            for (int i = 0; i < PAIRS; ++i) {
                mixed[2 * i] = a[i];
                mixed[2 * i + 1] = b[i];
            }
            store_floats(head + 2 * pair, mixed);
        } else {
            store_floats(head + pair, a);
            store_floats(head + pairs + pair, b);
        }
    }

    __device__ __forceinline__ void rotate(const SinCos (&by)[PAIRS]) {
#pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            const float rotated = fmaf(a[i], by[i].cos, -(b[i] * by[i].sin));
            b[i] = fmaf(a[i], by[i].sin, b[i] * by[i].cos);
            a[i] = rotated;
        }
    }
};

// Items are the vectors of pairs, then groups of heads, then tokens, then the batch, which is how results
// are stored. Strides are those of batch, head and token.
extern "C" __global__ __launch_bounds__(128, 8) void rope(
    const ELEMENT* x, const long long* positions, const unsigned long long* __restrict__ turns,
    ELEMENT* __restrict__ result, int items, int vectors, int head_groups, int heads_of_group,
    int heads, int tokens, int positions_of_batch,
    const __grid_constant__ minuend::Strides x_strides,
    const __grid_constant__ minuend::Strides result_strides) {
    let_next_start();
    const u32 item = blockIdx.x * blockDim.x + threadIdx.x;
    u32 rest = item / vectors;
    const u32 pair = (item - rest * vectors) * PAIRS;
    u32 outer = rest / head_groups;
    const u32 first_head = (rest - outer * head_groups) * heads_of_group;
    rest = outer;
    const u32 batch = rest / tokens;
    const u32 token = rest - batch * tokens;

    const u32 pairs = vectors * PAIRS;
    const u32 end = min(first_head + heads_of_group, heads);
    x += batch * x_strides.at[0] + token * x_strides.at[2];
    result += batch * result_strides.at[0] + token * result_strides.at[2];
    const auto loaded = [&](u32 head) {
        Features features;
        features.load(x + head * x_strides.at[1], pair, pairs);
        return features;
    };

    wait_for_previous();
    if (item >= items) {
        return;
    }
    // Features are on their way while angles are computed, and while those of the head before are rotated.
    Features features = loaded(first_head);
    const u64 position = positions[i64(batch) * positions_of_batch + token];
    SinCos by[PAIRS];
#pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        by[i] = sin_cos_of_turn(position * turns[pair + i]);
    }
#pragma unroll 1
    for (u32 head = first_head; head < end; ++head) {
        Features next = features;
        if (head + 1 < end) {
            next = loaded(head + 1);
        }
        features.rotate(by);
        features.store(result + head * result_strides.at[1], pair, pairs);
        features = next;
    }
}
