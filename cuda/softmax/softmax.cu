// e^(x - max) / sum e^(x - max) along one axis. A row is what lies along the axis; a row of nothing but
// -infinity gives NaN, by the difference.
//
// The threads of a row keep it in registers; rows that are longer are read once for each pass.
#include "minuend/rows.cuh"
#include "minuend/team.cuh"

// Type of elements.
#ifndef ELEMENT
#define ELEMENT float
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

extern "C" __global__ __launch_bounds__(CHUNKS == 1 ? 1024 : 512, 1) void softmax(
    const ELEMENT* __restrict__ x, ELEMENT* __restrict__ result, int rows, int vectors,
    long long x_step, long long result_step, const __grid_constant__ minuend::Axes shape,
    const __grid_constant__ minuend::Strides x_strides,
    const __grid_constant__ minuend::Strides result_strides) {
    const auto team = Team<LANES>::mine();
    Walk walk = {team.rank, team.size, team.row < rows ? u32(vectors) : 0};
    x += row_offset(team.row, shape, x_strides);
    result += row_offset(team.row, shape, result_strides);

    // What is behind a row has the exponential 0.
    const auto load = [&](Tile& tile) { tile.load(x, x_step, walk, -infinity()); };
    // Calls `pass` for the parts of the row; without an end there is one that stays in `tile`.
    const auto for_each_part = [&](Tile& tile, auto pass) {
        if constexpr (IS_LONG) {
            for (walk.first = team.rank; walk.first < walk.end; walk.first += team.size * CHUNKS) {
                load(tile);
                pass(tile);
            }
        } else {
            pass(tile);
        }
    };

    Tile tile;
    if constexpr (!IS_LONG) {
        load(tile);
    }
    float most = Largest::nothing();
    for_each_part(tile, [&](Tile& part) {
        part.for_each([&](float& value) { most = Largest::combine(most, value); });
    });
    most = team.template combine<Largest>(most);

    float sum = 0.0f;
    for_each_part(tile, [&](Tile& part) {
        part.for_each([&](float& value) {
            value = expf(value - most);
            sum += value;
        });
    });
    const float scale = 1.0f / team.template combine<Sum>(sum);

    for_each_part(tile, [&](Tile& part) {
        part.for_each([&](float& value) {
            value = (IS_LONG ? expf(value - most) : value) * scale;
        });
        part.store(result, result_step, walk);
    });
}
