// Rows by index: data [outer, rows, row], indices [count], result [outer, count, row], all dense. A
// thread moves one unit of a row, an element or several neighbours at once.
//
// An index outside the axis is counted, once, and gives zeros.
#include "minuend/dependency.cuh"
#include "minuend/index.cuh"
#include "minuend/types.cuh"

#ifndef UNIT_BYTES
#define UNIT_BYTES 16
#endif
// Type of the indices.
#ifndef INDEX
#define INDEX long long
#endif

// `units` is the size of the result and `row_units` that of a row.
extern "C" __global__ void __launch_bounds__(256) rows(const void* data, const void* indices,
                                                       void* result, unsigned int* faults,
                                                       int units, int row_units, int count,
                                                       int rows) {
    using namespace minuend;
    using Unit = Unit<UNIT_BYTES>;
    static_assert(sizeof(Unit) == UNIT_BYTES, "a unit has no padding");
    let_next_start();
    const u32 unit = blockIdx.x * blockDim.x + threadIdx.x;
    const u32 result_row = unit / u32(row_units);
    const u32 in_row = unit - result_row * u32(row_units);
    const u32 outer = result_row / u32(count);
    wait_for_previous();
    if (unit >= u32(units)) {
        return;
    }
    const i64 index = static_cast<const INDEX*>(indices)[result_row - outer * u32(count)];
    Unit value{};
    if (0 <= index && index < rows) {
        const i64 data_row = i64(outer) * rows + index;
        value = static_cast<const Unit*>(data)[data_row * row_units + in_row];
    } else if (in_row == 0 && outer == 0) {
        atomicAdd(faults, 1u);
    }
    static_cast<Unit*>(result)[unit] = value;
}
