// Rows of strided tensors, and what a thread holds of one.
#pragma once

#include "minuend/floats.cuh"

namespace minuend {

// Elements before a row's first one. Axes that are not there have size 1 and lie behind the others.
__device__ __forceinline__ i64 row_offset(u32 row, const Axes& shape, const Strides& strides) {
    i64 offset = 0;
#pragma unroll
    for (int axis = 5; axis > 0; --axis) {
        const u32 size = shape.at[axis];
        if (size != 1) {
            const u32 outer = row / size;
            offset += (row - outer * size) * strides.at[axis];
            row = outer;
        }
    }
    return offset + row * strides.at[0];
}

// Where a thread's vectors lie in a row: `first`, `first + stride` and so on up to `end`.
struct Walk {
    u32 first;
    u32 stride;
    u32 end;
};

// What one thread holds of a row: Chunks vectors of Width elements each. Neighbouring threads hold
// neighbouring vectors.
template <int Width, int Chunks>
struct RowTile {
    float at[Chunks][Width];

    // Reads the row's elements, `step` apart; single ones only may be more than 1 apart. What is behind
    // the end becomes `filler`.
    template <typename T>
    __device__ __forceinline__ void load(const T* row, i64 step, Walk walk, float filler) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; ++chunk) {
            const u32 vector = walk.first + chunk * walk.stride;
            if (vector < walk.end) {
                load_floats(row + distance(vector, step), at[chunk]);
            } else {
#pragma unroll
                for (int i = 0; i < Width; ++i) {
                    at[chunk][i] = filler;
                }
            }
        }
    }

    // The same of dense elements, with zeros behind the end, where it stands.
    template <typename T>
    __device__ __forceinline__ void load_now(const T* row, Walk walk) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; ++chunk) {
            const u32 vector = walk.first + chunk * walk.stride;
#pragma unroll
            for (int i = 0; i < Width; ++i) {
                at[chunk][i] = 0.0f;
            }
            if (vector < walk.end) {
                if constexpr (Width * sizeof(T) % 4 == 0) {
                    load_floats_now(row + i64(vector) * Width, at[chunk]);
                } else {
                    load_floats(row + i64(vector) * Width, at[chunk]);
                }
            }
        }
    }

    // Writes what lies before the end.
    template <typename T>
    __device__ __forceinline__ void store(T* row, i64 step, Walk walk) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; ++chunk) {
            const u32 vector = walk.first + chunk * walk.stride;
            if (vector < walk.end) {
                store_floats(row + distance(vector, step), at[chunk]);
            }
        }
    }

    // Calls `visit(element)` for each.
    template <typename Visit>
    __device__ __forceinline__ void for_each(Visit visit) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; ++chunk) {
#pragma unroll
            for (int i = 0; i < Width; ++i) {
                visit(at[chunk][i]);
            }
        }
    }

    // Calls `visit(element, of_other)` for each and the element of another tile at its place.
    template <typename Visit>
    __device__ __forceinline__ void for_each_with(const RowTile& other, Visit visit) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; ++chunk) {
#pragma unroll
            for (int i = 0; i < Width; ++i) {
                visit(at[chunk][i], other.at[chunk][i]);
            }
        }
    }

private:
    static __device__ __forceinline__ i64 distance(u32 vector, i64 step) {
        return Width == 1 ? vector * step : i64(vector) * Width;
    }
};

}  // namespace minuend
