// x * weight / sqrt(mean(x^2) + epsilon) along dense rows, alone or behind a residual sum.
//
// The threads of a row keep it in registers; rows that are longer are read once more. The norm is that
// of the sum before it is rounded to ELEMENT.
#include "minuend/dependency.cuh"
#include "minuend/rows.cuh"
#include "minuend/team.cuh"

// Type of rows.
#ifndef ELEMENT
#define ELEMENT float
#endif
// Type of the weight.
#ifndef WEIGHT
#define WEIGHT float
#endif
// A residual is added first, and the sum is stored too.
#ifndef HAS_RESIDUAL
#define HAS_RESIDUAL false
#endif
// Threads of a row within a warp; 0 for a block.
#ifndef LANES
#define LANES 0
#endif
// Elements of a vector. Rows are whole vectors, and aligned to them.
#ifndef WIDTH
#define WIDTH 4
#endif
// Vectors that a thread holds at a time.
#ifndef CHUNKS
#define CHUNKS 1
#endif
// Rows exceed what their threads hold.
#ifndef IS_LONG
#define IS_LONG false
#endif

using namespace minuend;

using Tile = RowTile<WIDTH, CHUNKS>;

// The part of a row that is normed.
template <bool HasResidual>
__device__ __forceinline__ Tile summed(const ELEMENT* x, const ELEMENT* residual, Walk walk) {
    Tile tile;
    tile.load(x, 1, walk, 0.0f);
    if constexpr (HasResidual) {
        Tile other;
        other.load(residual, 1, walk, 0.0f);
        tile.for_each_with(other, [](float& value, float added) { value += added; });
    }
    return tile;
}

__device__ __forceinline__ void scale(Tile& tile, float factor, const Tile& weights) {
    tile.for_each_with(weights, [=](float& value, float by) { value = value * factor * by; });
}

extern "C" __global__ __launch_bounds__(CHUNKS == 1 ? 1024 : 512, 1) void rms_norm(
    const ELEMENT* x, const ELEMENT* residual,
    const WEIGHT* __restrict__ weight, ELEMENT* __restrict__ sum, ELEMENT* __restrict__ normed,
    int rows, int vectors, float inverse_length, float epsilon,
    const __grid_constant__ minuend::Axes shape,
    const __grid_constant__ minuend::Strides x_strides,
    const __grid_constant__ minuend::Strides residual_strides) {
    let_next_start();
    const auto team = Team<LANES>::mine();
    Walk walk = {team.rank, team.size, team.row < rows ? u32(vectors) : 0};
    x += row_offset(team.row, shape, x_strides);
    const i64 dense = i64(team.row) * vectors * WIDTH;
    normed += dense;
    if constexpr (HAS_RESIDUAL) {
        residual += row_offset(team.row, shape, residual_strides);
        sum += dense;
    }

    float squares = 0.0f;
    const auto add_squares = [&](Tile& tile) {
        tile.for_each([&](float& value) { squares = fmaf(value, value, squares); });
    };
    const auto factor = [&] {
        return rsqrtf(fmaf(team.template combine<Sum>(squares), inverse_length, epsilon));
    };

    if constexpr (IS_LONG) {
        wait_for_previous();
        const u32 held = team.size * CHUNKS;
        for (walk.first = team.rank; walk.first < walk.end; walk.first += held) {
            Tile tile = summed<HAS_RESIDUAL>(x, residual, walk);
            if constexpr (HAS_RESIDUAL) {
                tile.store(sum, 1, walk);
            }
            add_squares(tile);
        }
        const float by = factor();
        for (walk.first = team.rank; walk.first < walk.end; walk.first += held) {
            Tile tile = summed<HAS_RESIDUAL>(x, residual, walk);
            Tile weights;
            weights.load(weight, 1, walk, 0.0f);
            scale(tile, by, weights);
            tile.store(normed, 1, walk);
        }
    } else {
        Tile weights;
        // A short weight is on its way before there is a row; a long one takes registers.
        if constexpr (CHUNKS == 1) {
            weights.load_now(weight, walk);
        }
        wait_for_previous();
        Tile tile = summed<HAS_RESIDUAL>(x, residual, walk);
        if constexpr (HAS_RESIDUAL) {
            tile.store(sum, 1, walk);
        }
        add_squares(tile);
        const float by = factor();
        if constexpr (CHUNKS > 1) {
            weights.load(weight, 1, walk, 0.0f);
        }
        scale(tile, by, weights);
        tile.store(normed, 1, walk);
    }
}
