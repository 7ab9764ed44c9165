// Copies matrices whose columns are dense where they are read and whose rows are dense where they
// are written, by way of shared memory: both sides are moved along what is dense there.
//
// A thread block moves one tile. Sizes and strides are in elements.
#include "minuend/dependency.cuh"
#include "minuend/index.cuh"
#include "minuend/types.cuh"

#ifndef ELEMENT_BYTES
#define ELEMENT_BYTES 2
#endif

namespace {

using Element = minuend::Unit<ELEMENT_BYTES>;

constexpr int THREADS = 256;
// Rows and columns of a tile: 128 bytes or more of each where the element has 2 bytes or more.
constexpr int TILE = ELEMENT_BYTES <= 2 ? 64 : 32;
constexpr int STEP = THREADS / TILE;
static_assert(TILE % STEP == 0, "the threads of a block move whole rows");

}  // namespace

// The matrices are numbered by up to four axes; those behind the last have size 1.
extern "C" __global__ void __launch_bounds__(256) transpose(const void* from, void* to, int rows,
                                                            int columns,
                                                            long long from_column_stride,
                                                            long long to_row_stride,
                                                            const minuend::Axes shape,
                                                            const minuend::Strides from_strides,
                                                            const minuend::Strides to_strides) {
    using namespace minuend;
    let_next_start();
    // One element more than a tile's row, so that a column lies in many banks.
    __shared__ Element tile[TILE][TILE + 1];
    const u32 row_tiles = (u32(rows) + TILE - 1) / TILE;
    const u32 column_tiles = (u32(columns) + TILE - 1) / TILE;
    const u32 others = blockIdx.x / column_tiles;
    const int first_column = int(blockIdx.x - others * column_tiles) * TILE;
    const u32 matrix = others / row_tiles;
    const int first_row = int(others - matrix * row_tiles) * TILE;
    const Index<4> index = index_of<4>(matrix, shape);
    const Element* source = static_cast<const Element*>(from) + offset_of(index, from_strides);
    Element* destination = static_cast<Element*>(to) + offset_of(index, to_strides);

    const int along = int(threadIdx.x) % TILE;
    const int across = int(threadIdx.x) / TILE;
    wait_for_previous();
#pragma unroll
    for (int i = 0; i < TILE; i += STEP) {
        const int row = first_row + along;
        const int column = first_column + across + i;
        if (row < rows && column < columns) {
            tile[across + i][along] = source[column * from_column_stride + row];
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < TILE; i += STEP) {
        const int row = first_row + across + i;
        const int column = first_column + along;
        if (row < rows && column < columns) {
            destination[row * to_row_stride + column] = tile[along][across + i];
        }
    }
}
