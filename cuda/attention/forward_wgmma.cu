// Attention and differential attention over many queries, on tensor cores of warpgroups (sm_90a).
//
//   out = softmax(scale q_0 k^T) v                                            STREAMS = 1
//   out = softmax(scale q_0 k^T) v - sigmoid(lambda) softmax(scale q_1 k^T) v STREAMS = 2
//
// Thread blocks stay on their multiprocessor and take tile after tile; a cluster of two takes the
// same queries of two tiles whose heads share keys, and each thread block copies half of the keys
// for both. The approximate functions that serve are named one by one (ex2.approx, rcp.approx,
// lg2.approx): the file needs no option for fast arithmetic.
#include "minuend/attention/forward_consumer.cuh"
#include "minuend/attention/forward_memory.cuh"
#include "minuend/attention/forward_producer.cuh"
#include "minuend/attention/forward_result.cuh"
#include "minuend/attention/forward_shape.cuh"
#include "minuend/attention/forward_tiles.cuh"
#include "minuend/cluster.cuh"
#include "minuend/registers.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

// Type of all elements: minuend::bf16 or minuend::f16.
#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
// Columns of a head of queries, keys and values: 64, 128 or 256.
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
// Keys of a block of keys.
#ifndef BLOCK_KEYS
#define BLOCK_KEYS 128
#endif
// Warpgroups that compute.
#ifndef WARPGROUPS
#define WARPGROUPS 2
#endif
// Thread blocks that share what they copy.
#ifndef CLUSTER
#define CLUSTER 1
#endif
// Tiles of queries and blocks of keys and of values in shared memory.
#ifndef Q_STAGES
#define Q_STAGES 1
#endif
#ifndef K_STAGES
#define K_STAGES 3
#endif
#ifndef V_STAGES
#define V_STAGES 2
#endif
// Queries are kept in registers.
#ifndef Q_IN_REGISTERS
#define Q_IN_REGISTERS true
#endif
// Half a block of keys is processed where the other half is hidden from all queries of a tile.
#ifndef HALVES_DIAGONAL
#define HALVES_DIAGONAL false
#endif
// Warpgroups take turns at starting products.
#ifndef TAKES_TURNS
#define TAKES_TURNS false
#endif
// Dynamic shared memory that the launch gives.
#ifndef SHARED_BYTES
#define SHARED_BYTES 213200
#endif

namespace {

struct Tuning {
    static constexpr int warpgroups = WARPGROUPS;
    static constexpr int cluster = CLUSTER;
    static constexpr int q_stages = Q_STAGES;
    static constexpr int k_stages = K_STAGES;
    static constexpr int v_stages = V_STAGES;
    static constexpr bool q_in_registers = Q_IN_REGISTERS;
    static constexpr bool halves_diagonal = HALVES_DIAGONAL;
    static constexpr bool takes_turns = TAKES_TURNS;
};

using Shape =
    minuend::ForwardShape<ELEMENT, HEAD_DIM, STREAMS, TILE_HEADS, BLOCK_KEYS, WINDOWED, Tuning>;
using Memory = minuend::ForwardMemory<Shape>;

static_assert(Memory::bytes <= SHARED_BYTES,
              "the launch gives less shared memory than there is use for");

// Registers of a thread that copies and of one that computes. A multiprocessor has 512 for one
// thread of every warpgroup.
constexpr int producer_registers = WARPGROUPS == 3 ? 32 : 40;
constexpr int consumer_registers = WARPGROUPS == 3 ? 160 : 232;
static_assert(producer_registers + WARPGROUPS * consumer_registers <= 512, "registers run out");

}  // namespace

// q_map, k_map, v_map: ForwardMaps; out_map, lse, lambda: ForwardResult. counter: a word that is 0
// before and after. score_scale: of the scores, times log2(e). keys, reach, window: VisibleKeys,
// with keys > 0. query_heads: of a batch; group_units: those of a K/V head / TILE_HEADS. row_tiles,
// units, all_units, section: TileOrder. The grid has a multiple of CLUSTER blocks, at most CLUSTER
// for each of its tiles.
extern "C" __global__ void __launch_bounds__(Shape::threads, 1) attention_forward(
    const __grid_constant__ minuend::TensorMap q_map,
    const __grid_constant__ minuend::TensorMap k_map,
    const __grid_constant__ minuend::TensorMap v_map,
    const __grid_constant__ minuend::TensorMap out_map, float* lse, const ELEMENT* lambda,
    long long lambda_batch, long long lambda_head, long long lambda_token, unsigned int* counter,
    float score_scale, int queries, int keys, int reach, int window, int query_heads,
    int group_units, int row_tiles, int units, int all_units, int section) {
    using namespace minuend;
    extern __shared__ __align__(1024) unsigned char shared[];
    const Memory memory{shared_address(shared)};
    const int rank = Shape::cluster > 1 ? cluster_rank() : 0;
    if (threadIdx.x == 0) {
        prefetch_map(q_map);
        prefetch_map(k_map);
        prefetch_map(v_map);
        prefetch_map(out_map);
        memory.init_barriers();
    }
    if constexpr (Shape::cluster > 1) {
        sync_cluster();
    } else {
        __syncthreads();
    }

    const VisibleKeys visible{keys, reach, window};
    const TileQueue<Shape> queue{memory};
    // The same for all threads of a warp, and the compiler is told so.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (warp < 4) {
        give_registers<producer_registers>();
        if (warp == 0 && elect_one()) {
            const TileOrder order{row_tiles, units, all_units, section};
            ForwardProducer<Shape> producer{memory, {q_map, k_map, v_map}, order, counter, rank};
            producer.run(visible, group_units, queue);
        }
        __syncwarp();
    } else {
        take_registers<consumer_registers>();
        const ForwardResult<Shape> result{out_map,     lse,          lambda,  lambda_batch,
                                          lambda_head, lambda_token, queries, query_heads};
        ForwardConsumer<Shape> consumer(memory, result, visible, score_scale);
        consumer.run(queue);
    }
    // A thread block's shared memory lives until no other tells it anything.
    if constexpr (Shape::cluster > 1) {
        sync_cluster();
    }
}
