// Sum, mean or largest element along one axis. A row is what lies along the axis; results are dense.
#include "minuend/rows.cuh"
#include "minuend/team.cuh"

// Type of elements.
#ifndef ELEMENT
#define ELEMENT float
#endif
// The largest element, NaN if one is NaN; otherwise the sum.
#ifndef IS_MAX
#define IS_MAX false
#endif
// Threads of a row within a warp; 0 for a block.
#ifndef LANES
#define LANES 0
#endif
// Elements of a vector. Rows are whole vectors, and aligned to them.
#ifndef WIDTH
#define WIDTH 4
#endif

using namespace minuend;

// Vectors that are on their way at a time.
constexpr int chunks = 4;

template <bool IsMax>
struct Combination {
    using Op = Sum;
};

template <>
struct Combination<true> {
    using Op = Largest;
};

using Op = Combination<IS_MAX>::Op;

// `divisor` is what a sum is divided by.
extern "C" __global__ __launch_bounds__(512, 1) void reduce(
    const ELEMENT* __restrict__ x, ELEMENT* __restrict__ result, int rows, int vectors,
    long long step, float divisor, const __grid_constant__ minuend::Axes shape,
    const __grid_constant__ minuend::Strides x_strides) {
    const auto team = Team<LANES>::mine();
    Walk walk = {team.rank, team.size, team.row < rows ? u32(vectors) : 0};
    x += row_offset(team.row, shape, x_strides);
    float value = Op::nothing();
    for (; walk.first < walk.end; walk.first += team.size * chunks) {
        RowTile<WIDTH, chunks> tile;
        tile.load(x, step, walk, Op::nothing());
        tile.for_each([&](float& element) { value = Op::combine(value, element); });
    }
    value = team.template combine<Op>(value);
    if (team.rank == 0 && team.row < rows) {
        result[team.row] = from_float<ELEMENT>(IS_MAX ? value : value / divisor);
    }
}
