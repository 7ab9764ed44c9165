// out[row, column] = silu(in[row, column]) * in[row, column + columns]: what follows a product with
// a packed gate/up weight that the library computes.

#include "minuend/dependency.cuh"
#include "minuend/elementary.cuh"
#include "minuend/floats.cuh"
#include "minuend/types.cuh"

#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Neighbouring elements of a thread; columns are a multiple, and rows begin at multiples of their
// size.
#ifndef WIDTH
#define WIDTH 8
#endif

namespace {

constexpr int THREADS = 256;
constexpr int BLOCK_COLUMNS = THREADS * WIDTH;

static_assert(WIDTH * sizeof(ELEMENT) <= 16, "a thread's elements are moved by one instruction");

}  // namespace

// Rows are dense in both; a block has BLOCK_COLUMNS columns of one row.
extern "C" __global__ __launch_bounds__(THREADS) void matmul_gate(
    const ELEMENT* in, ELEMENT* __restrict__ out, const int columns) {
    minuend::let_next_start();
    const int row_blocks = (columns + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    const minuend::i64 row = int(blockIdx.x) / row_blocks;
    const int column = int(blockIdx.x) % row_blocks * BLOCK_COLUMNS + int(threadIdx.x) * WIDTH;
    minuend::wait_for_previous();
    if (column >= columns) {
        return;
    }
    const ELEMENT* gate_from = in + row * 2 * columns + column;
    float gate[WIDTH];
    float up[WIDTH];
    minuend::load_floats(gate_from, gate);
    minuend::load_floats(gate_from + columns, up);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) {
        gate[i] = minuend::silu(gate[i]) * up[i];
    }
    minuend::store_floats(out + row * columns + column, gate);
}
