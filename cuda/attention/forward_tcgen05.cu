// Attention and differential attention over many queries, with sums in tensor memory (sm_100a).
//
//   out = softmax(scale q_0 k^T) v                                            STREAMS = 1
//   out = softmax(scale q_0 k^T) v - sigmoid(lambda) softmax(scale q_1 k^T) v STREAMS = 2
//
// Thread blocks stay on their multiprocessor and take tile after tile. Warps have roles: one
// starts copies, one starts products, four for each of two stages turn scores into weights, and
// four correct sums and make the result. The approximate functions that serve are named one by one
// (ex2.approx, rcp.approx, lg2.approx): the file needs no option for fast arithmetic.
#include "minuend/attention/tcgen05_copies.cuh"
#include "minuend/attention/tcgen05_correction.cuh"
#include "minuend/attention/tcgen05_memory.cuh"
#include "minuend/attention/tcgen05_products.cuh"
#include "minuend/attention/tcgen05_shape.cuh"
#include "minuend/attention/tcgen05_softmax.cuh"
#include "minuend/attention/tcgen05_tiles.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/named_barrier.cuh"
#include "minuend/registers.cuh"
#include "minuend/tcgen05.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

// Type of all elements: minuend::bf16 or minuend::f16.
#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Columns of a head of queries, keys and values: 64 or 128.
#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
// Softmaxes of an output head.
#ifndef STREAMS
#define STREAMS 2
#endif
// Query heads of a tile, neighbours that read the same keys.
#ifndef TILE_HEADS
#define TILE_HEADS 2
#endif
// Queries see a limited number of keys.
#ifndef WINDOWED
#define WINDOWED false
#endif
// Tiles of queries, and blocks of keys or values, in shared memory.
#ifndef Q_STAGES
#define Q_STAGES 1
#endif
#ifndef KV_STAGES
#define KV_STAGES 4
#endif
// Dynamic shared memory that the launch gives.
#ifndef SHARED_BYTES
#define SHARED_BYTES 230608
#endif

namespace {

using Shape = minuend::Tcgen05Shape<ELEMENT, HEAD_DIM, STREAMS, TILE_HEADS, WINDOWED, Q_STAGES,
                                    KV_STAGES>;
using Memory = minuend::Tcgen05Memory<Shape>;

static_assert(Memory::bytes == SHARED_BYTES, "the launch gives what there is use for");

// Registers of a thread by what it does. A multiprocessor has 512 for one thread of every four
// warps.
constexpr int softmax_registers = 184;
constexpr int correction_registers = 88;
constexpr int other_registers = 56;
static_assert(2 * softmax_registers + correction_registers + other_registers <= 512,
              "registers run out");

}  // namespace

// q_map, k_map, v_map: ForwardMaps; out_map, lambda, queries: Tcgen05Result. lse: natural
// logarithms of the sums of exponentials, [batch, query heads, queries], or null. score_scale: of
// the scores, times log2(e), positive. keys, reach, window: VisibleKeys, with keys > 0.
// query_heads: of a batch; group_units: those of a K/V head / TILE_HEADS. row_tiles, units,
// all_units, section: TileOrder. The grid has at most one block for each tile.
extern "C" __global__ void __launch_bounds__(Shape::threads, 1) attention_forward(
    const __grid_constant__ minuend::TensorMap q_map,
    const __grid_constant__ minuend::TensorMap k_map,
    const __grid_constant__ minuend::TensorMap v_map,
    const __grid_constant__ minuend::TensorMap out_map, float* lse, const ELEMENT* lambda,
    long long lambda_batch, long long lambda_head, long long lambda_token, float score_scale,
    int queries, int keys, int reach, int window, int query_heads, int group_units, int row_tiles,
    int units, int all_units, int section) {
    using namespace minuend;
    extern __shared__ __align__(1024) unsigned char shared[];
    const Memory memory{shared_address(shared)};
    // The same for all threads of a warp, and the compiler is told so.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (threadIdx.x == 0) {
        prefetch_map(q_map);
        prefetch_map(k_map);
        prefetch_map(v_map);
        prefetch_map(out_map);
        memory.init_barriers();
    }
    if (warp == Shape::multiplying_warp) {
        tcgen05::allocate(memory.tensor_address());
    }
    tcgen05::before_thread_sync();
    __syncthreads();
    tcgen05::after_thread_sync();
    u32 tensor;
    asm volatile("ld.shared.b32 %0, [%1];"
                 : "=r"(tensor)
                 : "r"(memory.tensor_address())
                 : "memory");

    const VisibleKeys visible{keys, reach, window};
    const TileTurns turns{{row_tiles, units, all_units, section}};
    if (warp < Shape::first_correcting_warp) {
        take_registers<softmax_registers>();
        const int stage = warp / Shape::role_warps;
        Tcgen05Softmax<Shape> softmax(memory, visible, score_scale, stage, warp, tensor);
        softmax.run(turns, lse, queries, query_heads);
    } else if (warp < Shape::multiplying_warp) {
        give_registers<correction_registers>();
        const Tcgen05Result<ELEMENT> result{out_map,     lambda,       lambda_batch,
                                            lambda_head, lambda_token, queries};
        Tcgen05Correction<Shape> correction(memory, result, warp, tensor);
        correction.run(turns, visible);
    } else {
        give_registers<other_registers>();
        if (warp == Shape::multiplying_warp && elect_one()) {
            Tcgen05Products<Shape> products{memory, tensor};
            products.run(turns, visible);
        } else if (warp == Shape::copying_warp && elect_one()) {
            Tcgen05Copies<Shape> copies{memory, {q_map, k_map, v_map}};
            copies.run(turns, visible, group_units);
        }
        __syncwarp();
    }
    // Nobody is at tensor memory any more.
    tcgen05::before_thread_sync();
    __syncthreads();
    if (warp == Shape::multiplying_warp) {
        tcgen05::after_thread_sync();
        tcgen05::deallocate(tensor);
    }
}
