// An index of each row drawn at random, as a token is by its logits: the op `sample`. A block for each
// row.
//
// A cut keeps what is above a threshold, and some of what is equal to it. The threshold is found bit by
// bit, by counts or by masses of what is at or above it, among a few elements that come into question:
// they are held in registers.
#include "minuend/rows.cuh"
#include "minuend/team.cuh"
#include "minuend/weights.cuh"

// Elements of a vector. Rows are whole vectors, and aligned to them.
#ifndef WIDTH
#define WIDTH 4
#endif

using namespace minuend;

constexpr int threads = 1024;
constexpr int warps = threads / warp_size;
static_assert(warps == warp_size, "a warp looks at one number of each warp");
// Vectors of a thread that are on their way at a time; more would not fit its 64 registers.
constexpr int chunks = WIDTH == 1 ? 4 : 2;
// Elements that a thread holds while a threshold is looked for.
constexpr int held_by_thread = 6;
constexpr int capacity = threads * held_by_thread;

// The least and the greatest temperature: 2^-100 and 2^100.
constexpr float least_temperature = 7.888609052210118e-31f;
constexpr float most_temperature = 1.2676506002282294e30f;

struct SumOfWords {
    using Value = u64;
    static __device__ __forceinline__ u64 nothing() { return 0; }
    static __device__ __forceinline__ u64 combine(u64 a, u64 b) { return a + b; }
};

struct LargestKey {
    using Value = u32;
    static __device__ __forceinline__ u32 nothing() { return 0; }
    static __device__ __forceinline__ u32 combine(u32 a, u32 b) { return max(a, b); }
};

__device__ __forceinline__ int lane() { return threadIdx.x % warp_size; }

// The sum of the values of this lane and of those before it.
template <typename T>
__device__ __forceinline__ T sum_up_to_lane(T value) {
#pragma unroll
    for (int distance = 1; distance < warp_size; distance *= 2) {
        const T other = __shfl_up_sync(every_lane, value, distance);
        value += lane() >= distance ? other : 0;
    }
    return value;
}

// A row, and the part of it that a warp reads: vectors from `first` to `end`.
struct Row {
    const float* x;
    u32 first;
    u32 end;

    // Calls `visit(element)` for each element of the warp's part, the lanes of a warp together. Those
    // that have none are called with infinity.
    template <typename Visit>
    __device__ __forceinline__ void for_each(Visit visit) const {
        for (u32 at = first; at < end; at += warp_size * chunks) {
            RowTile<WIDTH, chunks> tile;
            tile.load(x, 1, {at + lane(), warp_size, end}, infinity());
            tile.for_each([&](float& element) { visit(element); });
        }
    }
};

// What a threshold is found by: of what is above a key, either the number or the mass. Light weights
// count as nothing.
struct Measure {
    u32 key;
    Weights weights;
    Mass least;
    bool is_number;

    __device__ __forceinline__ u64 of(float x) const {
        const u32 key_of_x = key_of(x);
        if (key_of_x <= key) {
            return 0;
        }
        const Mass weight = is_number ? 1 : weights.of(x);
        return weight >= least ? weight : 0;
    }
};

// The elements that a threshold is looked for among, and what each measures.
struct Held {
    u32 keys[held_by_thread];
    u64 measures[held_by_thread];

    // Takes what measures something and is at or above the threshold; false if there is no room.
    __device__ __forceinline__ bool take(const Row& row, u32 threshold, const Measure& measure) {
        __shared__ u32 list[capacity];
        __shared__ u32 count;
        // The last list has been read.
        __syncthreads();
        if (threadIdx.x == 0) {
            count = 0;
        }
        __syncthreads();
        row.for_each([&](float x) {
            const u32 key = key_of(x);
            const bool is_taken = key >= threshold && measure.of(x) != 0;
            const u32 takers = __ballot_sync(every_lane, is_taken);
            if (takers == 0) {
                return;
            }
            u32 at = 0;
            if (lane() == 0) {
                at = atomicAdd(&count, __popc(takers));
            }
            at = __shfl_sync(every_lane, at, 0) + __popc(takers & ((1u << lane()) - 1));
            if (is_taken && at < capacity) {
                list[at] = key;
            }
        });
        __syncthreads();
        const u32 taken = count;
#pragma unroll
        for (int i = 0; i < held_by_thread; ++i) {
            const u32 at = i * threads + threadIdx.x;
            keys[i] = at < taken && at < capacity ? list[at] : 0;
            measures[i] = keys[i] != 0 ? measure.of(value_of(keys[i])) : 0;
        }
        return taken <= capacity;
    }

    // What this thread holds at or above a threshold.
    __device__ __forceinline__ u64 measured(u32 threshold) const {
        u64 sum = 0;
#pragma unroll
        for (int i = 0; i < held_by_thread; ++i) {
            sum += keys[i] >= threshold ? measures[i] : 0;
        }
        return sum;
    }
};

// A key, and what everything above it measures.
struct Threshold {
    u32 key;
    u64 above;
};

// The largest key such that all that is at or above it measures at least `goal`; the whole row does. No
// key is above `best`.
__device__ __forceinline__ Threshold find_threshold(const Row& row, u32 best, u64 goal,
                                                    const Measure& measure) {
    Held held;
    bool is_held = false;
    bool is_narrower = true;
    u32 found = 0;
#pragma unroll 1
    for (int bit = 31;; --bit) {
        if (is_narrower && !is_held) {
            is_held = held.take(row, found, measure);
            is_narrower = false;
        }
        const u32 next = bit < 0 ? found + 1 : found | 1u << bit;
        if (bit >= 0 && next > best) {
            continue;
        }
        u64 sum = 0;
        if (is_held) {
            sum = held.measured(next);
        } else {
            row.for_each([&](float x) { sum += key_of(x) >= next ? measure.of(x) : 0; });
        }
        sum = combine_block<SumOfWords>(sum);
        if (bit < 0) {
            return {found, sum};
        }
        if (sum >= goal) {
            found = next;
            is_narrower = true;
        }
    }
}

// A key that at least `count` elements are at or above, if there are as many; at most one for each
// thread. `own` is the largest of a thread.
__device__ __forceinline__ u32 low_key(u32 own, int count) {
    u32 found = 0;
    for (u32 bit = 1u << 31; bit != 0; bit >>= 1) {
        if (__syncthreads_count(own >= (found | bit)) >= count) {
            found |= bit;
        }
    }
    return found;
}

// What may be drawn: all that is above the key, and as many of what is equal to it, from the front.
struct Kept {
    u32 key;
    u32 equals;
};

// What top_k and top_p keep, where they are below `count` and 1. `count` is the number of finite elements,
// `own` the largest of this thread.
__device__ __forceinline__ Kept keep(const Row& row, u32 own, u32 best, u32 count, Weights weights,
                                     i64 top_k, float top_p) {
    Kept kept = {0, 0};
    // One loop, so that there is one copy of what looks for a threshold.
#pragma unroll 1
    for (bool is_number = true;; is_number = false) {
        Measure measure = {kept.key, weights, 1, is_number};
        u64 goal = top_k;
        Mass of_equal = 1;
        if (is_number) {
            if (top_k <= 0 || top_k >= count) {
                continue;
            }
            count = top_k;
            measure.key = count <= threads ? max(low_key(own, count), 1) - 1 : 0;
        } else {
            if (!(top_p < 1.0f)) {
                return kept;
            }
            Mass above = 0;
            row.for_each([&](float x) { above += measure.of(x); });
            above = combine_block<SumOfWords>(above);
            of_equal = kept.equals != 0 ? weights.of(value_of(kept.key)) : 0;
            goal = max(share_of(above + kept.equals * of_equal, part_of(top_p)), 1ull);
            if (above < goal) {
                kept.equals = (goal - above + of_equal - 1) / of_equal;
                return kept;
            }
            // All weights below this together are not needed.
            measure.least = max((above - goal) / count, 1ull);
        }
        const Threshold cut = find_threshold(row, best, goal, measure);
        of_equal = is_number ? 1 : weights.of(value_of(cut.key));
        // As many of equal ones as make up for what the others lack.
        kept = {cut.key, u32((goal - cut.above + of_equal - 1) / of_equal)};
        if (!is_number) {
            return kept;
        }
    }
}

// The first of the kept, in order, with which their mass exceeds a share of it all. Every thread calls
// this, and one of them gets the index; the others get -1.
__device__ __forceinline__ i64 draw(const Row& row, Kept kept, Weights weights, u32 part) {
    __shared__ Mass masses[warps];
    __shared__ u32 counts[warps];
    const Mass of_equal = kept.equals != 0 ? weights.of(value_of(kept.key)) : 0;
    const bool has_equals = kept.equals != 0;
    const int warp = threadIdx.x / warp_size;
    Mass mass = 0;
    u32 equal = 0;
    row.for_each([&](float x) {
        const u32 key = key_of(x);
        mass += key > kept.key ? weights.of(x) : 0;
        equal += has_equals && key == kept.key;
    });
    mass = combine_lanes<SumOfWords, warp_size>(mass);
    equal = combine_lanes<SumOfWords, warp_size>(equal);
    if (lane() == 0) {
        masses[warp] = mass;
        counts[warp] = equal;
    }
    __syncthreads();
    // Lanes stand for warps.
    const auto kept_of = [&](u32 before, u32 count) {
        return before < kept.equals ? min(count, kept.equals - before) : 0;
    };
    u32 before = sum_up_to_lane(counts[lane()]) - counts[lane()];
    const Mass own = masses[lane()] + kept_of(before, counts[lane()]) * of_equal;
    const Mass so_far = sum_up_to_lane(own);
    const Mass wanted = share_of(__shfl_sync(every_lane, so_far, warp_size - 1), part);
    if (warp != __ffs(__ballot_sync(every_lane, so_far > wanted)) - 1) {
        return -1;
    }
    before = __shfl_sync(every_lane, before, warp);
    Mass sum = __shfl_sync(every_lane, so_far - own, warp);
    for (u32 at = row.first; at < row.end; at += warp_size) {
        RowTile<WIDTH, 1> tile;
        tile.load(row.x, 1, {at + lane(), warp_size, row.end}, infinity());
        u32 equal = 0;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            equal += has_equals && key_of(tile.at[0][i]) == kept.key;
        }
        const u32 equal_so_far = sum_up_to_lane(equal);
        u32 rank = before + equal_so_far - equal;
        Mass sums[WIDTH];
        Mass mass = 0;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            const u32 key = key_of(tile.at[0][i]);
            const bool is_equal = has_equals && key == kept.key;
            mass += key > kept.key ? weights.of(tile.at[0][i]) : 0;
            mass += is_equal && rank < kept.equals ? of_equal : 0;
            rank += is_equal;
            sums[i] = mass;
        }
        const Mass so_far = sum + sum_up_to_lane(mass);
        const u32 beyond = __ballot_sync(every_lane, so_far > wanted);
        if (beyond != 0) {
            if (lane() != __ffs(beyond) - 1) {
                return -1;
            }
            i64 index = i64(at + lane()) * WIDTH;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                index += so_far - mass + sums[i] <= wanted;
            }
            return index;
        }
        sum = __shfl_sync(every_lane, so_far, warp_size - 1);
        before += __shfl_sync(every_lane, equal_so_far, warp_size - 1);
    }
    return -1;
}

extern "C" __global__ __launch_bounds__(1024, 1) void sample(
    const float* __restrict__ logits, const float* __restrict__ temperature,
    const long long* __restrict__ top_k, const float* __restrict__ top_p,
    const float* __restrict__ uniform, long long* __restrict__ result, int vectors) {
    // Each warp has a part of the row, so that what lies before an element is a matter of few sums.
    const u32 part = (u32(vectors) + warps - 1) / warps;
    const u32 first = min(threadIdx.x / warp_size * part, u32(vectors));
    const u32 end = min(first + part, u32(vectors));
    const Row row = {logits + i64(blockIdx.x) * vectors * WIDTH, first, end};
    u32 own = 0;
    u32 finite = 0;
    row.for_each([&](float x) {
        const u32 key = key_of(x);
        own = max(own, key);
        finite += key != 0;
    });
    const u32 best = combine_block<LargestKey>(own);
    if (best == 0) {
        if (threadIdx.x == 0) {
            result[blockIdx.x] = -1;
        }
        return;
    }
    const u32 count = combine_block<SumOfWords>(finite);
    const float degrees = *temperature;
    const bool has_temperature = degrees >= least_temperature;
    const float log2_e = 1.44269504f;
    const float scale = has_temperature ? log2_e / min(degrees, most_temperature) : log2_e;
    const Weights weights = {value_of(best), scale};
    Kept kept = {best, 1};
    if (has_temperature && *top_k != 1) {
        kept = keep(row, own, best, count, weights, *top_k, *top_p);
    }
    const i64 index = draw(row, kept, weights, part_of(uniform[blockIdx.x]));
    if (index >= 0) {
        result[blockIdx.x] = index;
    }
}
