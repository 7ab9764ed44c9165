// Attention of few query tokens over many keys, which the bulk copy engine brings in.
//
// Blocks: splits of the keys along x, K/V heads along y, batch elements along z. See
// minuend/attention/decode_block.cuh. The number of keys and splits may change between launches.

#include "minuend/attention/decode_block.cuh"
#include "minuend/attention/decode_mma.cuh"

#ifndef ELEMENT
#define ELEMENT minuend::bf16
#endif
#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef VALUE_DIM
#define VALUE_DIM 128
#endif
// Softmaxes that an output head is made of: 1, or 2 for their difference.
#ifndef STREAMS
#define STREAMS 2
#endif
// Query heads of a K/V head.
#ifndef GROUP
#define GROUP 8
#endif
#ifndef QUERIES
#define QUERIES 1
#endif
// Rings of tiles in a block, warps that share one, and tiles of 16 rows of each of these warps.
#ifndef RINGS
#define RINGS 8
#endif
#ifndef ROW_WARPS
#define ROW_WARPS 1
#endif
#ifndef ROW_TILES
#define ROW_TILES 1
#endif
#ifndef STAGES
#define STAGES 3
#endif
// Blocks of a cluster, which merge their results without a detour. It divides the number of splits.
#ifndef CLUSTER
#define CLUSTER 1
#endif
// What the launch provides.
#ifndef SHARED_BYTES
#define SHARED_BYTES 198032
#endif

namespace {

using Shape = minuend::DecodeShape<ELEMENT, HEAD_DIM, VALUE_DIM, STREAMS, GROUP, QUERIES, RINGS,
                                   ROW_WARPS, ROW_TILES, 16, STAGES, CLUSTER>;
using Block = minuend::DecodeBlock<Shape, minuend::MmaProducts<Shape>>;

static_assert(Shape::shared_bytes <= SHARED_BYTES, "the launch gives less than the block takes");

}  // namespace

// Strides: batches, heads, tokens. The maps' axes are 64 columns, keys, groups of 64 columns, K/V
// heads and batches; a copy moves 16 keys. Block i along x has chunk keys from first_key + i * chunk
// on.
extern "C" __global__ __launch_bounds__(32 * RINGS * ROW_WARPS, 1) void decode_bulk(
    const ELEMENT* q, const minuend::Strides q_strides,
    const __grid_constant__ minuend::TensorMap k_map,
    const __grid_constant__ minuend::TensorMap v_map, const ELEMENT* lambda,
    const minuend::Strides lambda_strides, ELEMENT* __restrict__ out,
    const minuend::Strides out_strides, float* vectors, float* logsumexps,
    unsigned int* counters, int keys, int reach, int window, int first_key, int chunk,
    float scale_log2) {
    extern __shared__ __align__(1024) unsigned char shared[];
    const minuend::BulkRing<Shape::Ring> ring(k_map, v_map);
    const auto operands = minuend::decode_operands<Shape>(
        q, q_strides, lambda, lambda_strides, out, out_strides, vectors, logsumexps, counters,
        minuend::VisibleKeys{keys, reach, window}, scale_log2);
    Block::run(ring, operands, first_key, chunk, shared);
}
