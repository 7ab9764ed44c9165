// Products of any operand types and strides by f32 multiply-adds: a block computes a square tile of
// the result, a thread TILE / 16 rows by 8 columns of it. Panels of both operands go through shared
// memory, the next one being read while the present one is multiplied.

#include "minuend/elementary.cuh"
#include "minuend/matmul.cuh"
#include "minuend/types.cuh"

// Element types of the operands; results are of the lhs' type or f32.
#ifndef LHS
#define LHS float
#endif
#ifndef RHS
#define RHS float
#endif
// Rows and columns of a block's tile: 128 or 64.
#ifndef TILE
#define TILE 128
#endif
// Neighbours along k, and not along the columns, lie next to each other in the rhs.
#ifndef K_INNER
#define K_INNER true
#endif
// Elements of both operands are read four at a time.
#ifndef ALIGNED
#define ALIGNED true
#endif

namespace {

using minuend::i64;

// Values of k in a panel: as many as leave registers for the sums.
constexpr int TILE_K = TILE == 128 ? 8 : 16;
constexpr int THREADS = TILE * TILE / (TILE / 16 * 8);
constexpr int HALF = TILE / 2;
constexpr int COLUMN_LANES = TILE / 8;
// Groups of four rows of a thread.
constexpr int ROW_GROUPS = TILE / 64;
// A row of a panel in shared memory is shifted by four banks against the one before.
constexpr int PANEL_STRIDE = TILE + 4;

static_assert(TILE == 128 || TILE == 64, "a thread has 8 x 8 or 4 x 8 sums");
static_assert(THREADS / COLUMN_LANES == 16, "16 threads share the rows of a tile");

// First result of a tile.
struct Place {
    int entry;
    int row;
    int column;
};

// TILE rows (of the lhs) or columns (of the rhs) by TILE_K values of k, on its way from global
// memory through registers to shared memory, where k is the outer axis.
template <typename T, bool IsKInner, int Width>
struct Panel {
    static constexpr int PIECES = TILE * TILE_K / Width / THREADS;
    minuend::Vector<T, Width> pieces[PIECES];

    static __device__ __forceinline__ int line_of(int piece) {
        const int index = piece * THREADS + int(threadIdx.x);
        return IsKInner ? index / (TILE_K / Width) : index % (TILE / Width) * Width;
    }

    static __device__ __forceinline__ int k_of(int piece) {
        const int index = piece * THREADS + int(threadIdx.x);
        return IsKInner ? index % (TILE_K / Width) * Width : index / (TILE / Width);
    }

    // What each piece is read from next.
    const T* next[PIECES];

    // `first_of(line)` is a line's first element.
    template <typename FirstOf>
    __device__ __forceinline__ void start(FirstOf first_of, i64 k_stride) {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
            next[piece] = first_of(line_of(piece)) + k_of(piece) * k_stride;
        }
    }

    // Reads the values of k from `first_k` on, those of the panel before having been read last.
    // Behind the last they are 0.
    __device__ __forceinline__ void read(int first_k, int k, i64 k_stride) {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
            pieces[piece] = {};
            if (first_k + k_of(piece) < k) {
                pieces[piece] = *reinterpret_cast<const minuend::Vector<T, Width>*>(next[piece]);
            }
            next[piece] += TILE_K * k_stride;
        }
    }

    __device__ __forceinline__ void write(float (&panel)[TILE_K][PANEL_STRIDE]) const {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
            const int line = line_of(piece);
            const int at_k = k_of(piece);
            if constexpr (IsKInner || Width == 1) {
#pragma unroll
                for (int i = 0; i < Width; ++i) {
                    panel[at_k + i][line] = minuend::to_float(pieces[piece].at[i]);
                }
            } else {
                minuend::Vector<float, Width> widened;
#pragma unroll
                for (int i = 0; i < Width; ++i) {
                    widened.at[i] = minuend::to_float(pieces[piece].at[i]);
                }
                *reinterpret_cast<minuend::Vector<float, Width>*>(&panel[at_k][line]) = widened;
            }
        }
    }
};

// Four neighbouring results, of which those before column `columns` exist.
__device__ __forceinline__ void store_four(void* out, i64 row, int column, int columns,
                                           const float (&sums)[4], bool stores_f32,
                                           bool is_aligned) {
    const i64 at = row * columns + column;
    if (is_aligned && column < columns) {
        if (sizeof(LHS) == 4 || stores_f32) {
            *reinterpret_cast<minuend::Vector<float, 4>*>(static_cast<float*>(out) + at) = {
                sums[0], sums[1], sums[2], sums[3]};
        } else {
            minuend::Vector<LHS, 4> narrowed;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                narrowed.at[i] = minuend::from_float<LHS>(sums[i]);
            }
            *reinterpret_cast<minuend::Vector<LHS, 4>*>(static_cast<LHS*>(out) + at) = narrowed;
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (column + i < columns) {
            minuend::store_sum<LHS>(out, at + i, sums[i], stores_f32);
        }
    }
}

}  // namespace

// out[entry, row, column] = sum over k of lhs[entry, row, k] * rhs[entry, k, column]. Rows of the
// lhs and of the result are dense. With is_gated, columns of the rhs come in two halves and
// out[row, column] = silu(sum of column) * (sum of column + columns).
extern "C" __global__ __launch_bounds__(THREADS, 2) void matmul_simt(
    const LHS* __restrict__ lhs, const RHS* __restrict__ rhs, void* __restrict__ out,
    const int rows, const int columns, const int k, const minuend::Axes batch_shape,
    const minuend::Strides lhs_batch, const minuend::Strides rhs_batch,
    const long long column_stride, const long long k_stride, const int is_gated,
    const int stores_f32) {
    __shared__ __align__(16) float lhs_panels[2][TILE_K][PANEL_STRIDE];
    __shared__ __align__(16) float rhs_panels[2][TILE_K][PANEL_STRIDE];

    const int tile_columns = is_gated ? HALF : TILE;
    const int row_tiles = (rows + TILE - 1) / TILE;
    const int column_tiles = (columns + tile_columns - 1) / tile_columns;
    const int tiles = row_tiles * column_tiles;
    const Place place{int(blockIdx.x) / tiles, int(blockIdx.x) % tiles % row_tiles * TILE,
                      int(blockIdx.x) % tiles / row_tiles * tile_columns};
    // It waits for the end in shared memory: registers are for the sums.
    __shared__ Place kept_place;
    if (threadIdx.x == 0) {
        kept_place = place;
    }

    const minuend::BatchOffsets offsets =
        minuend::batch_offsets(place.entry, batch_shape, lhs_batch, rhs_batch);
    lhs += offsets.lhs;
    rhs += offsets.rhs;

    // Lines that are not there are read as the last one that is, and their sums are not stored.
    const int last_column = K_INNER || !ALIGNED ? columns - 1 : columns - 4;
    constexpr int WIDTH = ALIGNED ? 4 : 1;
    Panel<LHS, true, WIDTH> lhs_next;
    Panel<RHS, K_INNER, WIDTH> rhs_next;
    lhs_next.start([&](int line) { return lhs + i64(min(place.row + line, rows - 1)) * k; }, 1);
    rhs_next.start(
        [&](int line) {
            const int column = place.column + (is_gated ? line % HALF : line);
            const int half = is_gated && line >= HALF ? columns : 0;
            return rhs + (half + min(column, last_column)) * column_stride;
        },
        k_stride);
    const auto read = [&](int first_k) {
        lhs_next.read(first_k, k, 1);
        rhs_next.read(first_k, k, k_stride);
    };

    const int column_lane = int(threadIdx.x) % COLUMN_LANES;
    const int row_lane = int(threadIdx.x) / COLUMN_LANES;
    // Sums of groups of four rows and of four columns: [row group][column half][row][column].
    float sums[ROW_GROUPS][2][4][4] = {};

    read(0);
    int stage = 0;
#pragma unroll 1
    for (int first_k = 0; first_k < k; first_k += TILE_K) {
        lhs_next.write(lhs_panels[stage]);
        rhs_next.write(rhs_panels[stage]);
        // The other stage is written only after this barrier of the next step, when all have read
        // it.
        __syncthreads();
        read(first_k + TILE_K);
#pragma unroll
        for (int at_k = 0; at_k < TILE_K; ++at_k) {
            using Four = minuend::Vector<float, 4>;
            Four a[ROW_GROUPS];
            Four b[2];
#pragma unroll
            for (int group = 0; group < ROW_GROUPS; ++group) {
                const int line = group * 64 + row_lane * 4;
                a[group] = *reinterpret_cast<const Four*>(&lhs_panels[stage][at_k][line]);
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int line = half * HALF + column_lane * 4;
                b[half] = *reinterpret_cast<const Four*>(&rhs_panels[stage][at_k][line]);
            }
#pragma unroll
            for (int group = 0; group < ROW_GROUPS; ++group) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
#pragma unroll
                    for (int i = 0; i < 16; ++i) {
                        float& sum = sums[group][half][i / 4][i % 4];
                        sum = fmaf(a[group].at[i / 4], b[half].at[i % 4], sum);
                    }
                }
            }
        }
        stage ^= 1;
    }

    __syncthreads();
    if (is_gated) {
#pragma unroll
        for (int i = 0; i < ROW_GROUPS * 16; ++i) {
            float& sum = sums[i / 16][0][i / 4 % 4][i % 4];
            sum = minuend::silu(sum) * sums[i / 16][1][i / 4 % 4][i % 4];
        }
    }
    const bool is_aligned = columns % 4 == 0 && reinterpret_cast<minuend::u64>(out) % 16 == 0;
    const Place kept = kept_place;
    const int column = kept.column + column_lane * 4;
#pragma unroll
    for (int i = 0; i < ROW_GROUPS * 4; ++i) {
        const int row = kept.row + i / 4 * 64 + row_lane * 4 + i % 4;
        if (row < rows) {
            const i64 out_row = i64(kept.entry) * rows + row;
            const auto& row_sums = sums[i / 4];
            store_four(out, out_row, column, columns, row_sums[0][i % 4], stores_f32, is_aligned);
            if (!is_gated) {
                store_four(out, out_row, column + HALF, columns, row_sums[1][i % 4], stores_f32,
                           is_aligned);
            }
        }
    }
}
