// What decode kernels are compiled for, how a block's shared memory is divided, and its operands.
#pragma once

#include "minuend/attention/decode_ring.cuh"
#include "minuend/attention/merge.cuh"
#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

namespace minuend {

// What a kernel is compiled for. Group: query heads of a K/V head. Rings of RowWarps warps each.
template <typename Element_, int HeadDim, int ValueDim, int Streams, int Group, int Queries,
          int Rings, int RowWarps, int RowTiles, int TileKeys, int Stages, int Cluster>
struct DecodeShape {
    using Element = Element_;
    using Ring = RingShape<Element, TileKeys, HeadDim, ValueDim, Stages, RowWarps>;

    static constexpr int head_dim = HeadDim;
    static constexpr int value_dim = ValueDim;
    static constexpr int group = Group;
    static constexpr int queries = Queries;
    static constexpr int streams = Streams;
    static constexpr int rings = Rings;
    static constexpr int row_warps = RowWarps;
    static constexpr int row_tiles = RowTiles;
    static constexpr int tile_keys = TileKeys;
    static constexpr int stages = Stages;
    static constexpr int cluster = Cluster;

    static constexpr int rows = Group * Queries;
    static constexpr int padded_rows = RowWarps * RowTiles * 16;
    static constexpr int warps = Rings * RowWarps;
    static constexpr int threads = warps * 32;

    using Merge = minuend::Merge<Element, Streams, ValueDim, Rings, threads, true>;

    // Bytes of shared memory of a ring, which holds the ring's result at last.
    static constexpr int result_bytes = rows * Merge::pitch * 4;
    static constexpr int ring_bytes =
        ((Ring::bytes > result_bytes ? Ring::bytes : result_bytes) + 1023) / 1024 * 1024;
    // Queries are read from shared memory where the registers are full of sums.
    static constexpr bool shares_queries =
        RowTiles * (HeadDim + ValueDim) > 320 || RowWarps == 4;
    // Behind the rings: queries, barriers, {m, l} of every ring's rows, logsumexps of the block's
    // rows, a flag.
    static constexpr int queries_at = Rings * ring_bytes;
    static constexpr int barriers_at =
        queries_at + (shares_queries ? padded_rows * HeadDim * 2 : 0);
    static constexpr int sums_at = barriers_at + Rings * Ring::barriers_bytes;
    static constexpr int logsumexps_at = sums_at + Rings * padded_rows * 8;
    static constexpr int flag_at = logsumexps_at + (Cluster > 1 ? padded_rows * 4 : 0);
    static constexpr int shared_bytes = flag_at + 16;

    static_assert(HeadDim % 16 == 0 && ValueDim % 16 == 0, "products take 16 columns");
    static_assert(Group % Streams == 0, "the heads of a pair read one K/V head");
    static_assert(rows <= padded_rows, "all rows have a place");
    static_assert(RowWarps == 1 || Rings < 16, "a ring of several warps has a barrier");
    static_assert(Cluster >= 1 && Cluster <= 8, "clusters that every device forms");
};

// Operands of one batch element and K/V head, and what its blocks share.
template <typename Shape>
struct DecodeOperands {
    using Element = typename Shape::Element;

    const Element* q;
    long long q_head;
    long long q_token;
    MergeTarget<Element> target;
    // Of every cluster of blocks: normalised vectors [rows, value_dim], base-2 logsumexps [rows].
    float* vectors;
    float* logsumexps;
    // For each block of a cluster.
    u32* counters;
    VisibleKeys visible;
    // Positive: the factor of scores, times log2(e).
    float scale_log2;

    __device__ __forceinline__ const Element* query_row(int row) const {
        return q + row % Shape::group * q_head + row / Shape::group * q_token;
    }
};

// The operands of the calling block, which has K/V head blockIdx.y of batch element blockIdx.z, from
// those of the launch. Strides: batches, heads, tokens.
template <typename Shape, typename Element = typename Shape::Element>
__device__ __forceinline__ DecodeOperands<Shape> decode_operands(
    const Element* q, const Strides& q_strides, const Element* lambda,
    const Strides& lambda_strides, Element* out, const Strides& out_strides, float* vectors,
    float* logsumexps, u32* counters, const VisibleKeys& visible, float scale_log2) {
    const int head = blockIdx.y * (Shape::group / Shape::streams);
    const int batch = blockIdx.z;
    const int slot = batch * gridDim.y + blockIdx.y;
    const long long rows = (long long)(slot) * (gridDim.x / Shape::cluster) * Shape::rows;
    DecodeOperands<Shape> operands;
    operands.q = q + batch * q_strides.at[0] + head * Shape::streams * q_strides.at[1];
    operands.q_head = q_strides.at[1];
    operands.q_token = q_strides.at[2];
    operands.target.group_heads = Shape::group / Shape::streams;
    operands.target.first_item = 0;
    operands.target.lambda =
        lambda + batch * lambda_strides.at[0] + head * lambda_strides.at[1];
    operands.target.lambda_head = lambda_strides.at[1];
    operands.target.lambda_token = lambda_strides.at[2];
    operands.target.out = out + batch * out_strides.at[0] + head * out_strides.at[1];
    operands.target.out_head = out_strides.at[1];
    operands.target.out_token = out_strides.at[2];
    operands.vectors = vectors + rows * Shape::Merge::columns;
    operands.logsumexps = logsumexps + rows;
    operands.counters = counters + slot * Shape::cluster;
    operands.visible = visible;
    operands.scale_log2 = scale_log2;
    return operands;
}

}  // namespace minuend
