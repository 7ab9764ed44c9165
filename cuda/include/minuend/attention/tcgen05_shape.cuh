// Sizes of the forward attention with sums in tensor memory, known to the compiler.
//
// A thread block has two stages: two tiles of 128 rows of queries that see the same keys. They are
// the two query heads of a pair at the same 128 tokens, or one head at twice as many. While the
// softmax of one stage runs, the tensor cores work for the other. A row of a stage is a lane of
// tensor memory: with two heads, both heads of a token are in one lane, so the difference of two
// softmaxes is taken by one thread.
#pragma once

#include "minuend/tcgen05.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Parameters: elements of q, k, v and the result; columns of a head; softmaxes of an output head;
// query heads of a tile, which read one K/V head; whether keys may be hidden before a query's
// window; and buffers of queries and of keys or values in shared memory.
template <typename Element_, int HeadDim, int Streams, int TileHeads, bool Windowed, int QStages,
          int KvStages>
struct Tcgen05Shape {
    using Element = Element_;

    static constexpr int head_dim = HeadDim;
    static constexpr int streams = Streams;
    static constexpr int tile_heads = TileHeads;
    static constexpr bool is_windowed = Windowed;
    static constexpr int q_stages = QStages;
    static constexpr int kv_stages = KvStages;
    static constexpr int cluster = 1;

    static constexpr int stages = 2;
    static constexpr int stage_rows = tcgen05::lanes;
    static constexpr int block_keys = 128;
    static constexpr int tile_tokens = stage_rows * stages / TileHeads;
    // Between the stages of a tile: either tokens or heads.
    static constexpr int stage_tokens = TileHeads == 1 ? stage_rows : 0;
    static constexpr int stage_heads = TileHeads == 1 ? 0 : 1;

    // Warps by what they do: four for each stage's softmax, four that correct sums, and one each
    // that starts products and copies.
    static constexpr int role_warps = 4;
    static constexpr int first_correcting_warp = stages * role_warps;
    static constexpr int multiplying_warp = first_correcting_warp + role_warps;
    static constexpr int copying_warp = multiplying_warp + 1;
    static constexpr int threads = 4 * role_warps * 32;

    // Tiles lie in shared memory in chunks of 64 elements of every row.
    static constexpr int chunk_columns = 64;
    static constexpr int row_bytes = chunk_columns * sizeof(Element);
    static constexpr int chunks = HeadDim / chunk_columns;
    static constexpr int q_chunk_bytes = stage_rows * row_bytes;
    static constexpr int q_bytes = chunks * q_chunk_bytes;
    static constexpr int kv_chunk_bytes = block_keys * row_bytes;
    static constexpr int kv_bytes = chunks * kv_chunk_bytes;
    // The result of a warp's rows.
    static constexpr int out_chunk_bytes = tcgen05::warp_lanes * row_bytes;
    static constexpr int out_bytes = chunks * out_chunk_bytes;

    // Columns of tensor memory. Weights take the place of the scores that they are computed from:
    // two to a column, they need half of it.
    static constexpr u32 scores_column(int stage) { return stage * block_keys; }

    static constexpr u32 sums_column(int stage) { return stages * block_keys + stage * HeadDim; }

    static constexpr u32 scores_instruction =
        tcgen05::InstructionDescriptor{is_bf16<Element>, false, stage_rows, block_keys}.bits();
    static constexpr u32 sums_instruction =
        tcgen05::InstructionDescriptor{is_bf16<Element>, true, stage_rows, HeadDim}.bits();

    static_assert(sizeof(Element) == 2, "the tensor cores take elements of 16 bits");
    static_assert(HeadDim % chunk_columns == 0, "tiles are chunks of 64 columns");
    static_assert(stages * (block_keys + HeadDim) <= tcgen05::columns, "tensor memory runs out");
    static_assert(TileHeads == 1 || TileHeads == 2, "a stage has one head");
    static_assert(Streams == 1 || (Streams == 2 && TileHeads == 2),
                  "a difference is of the two heads of a tile");
    static_assert(KvStages >= 2, "keys and values of a block are there together");
};

}  // namespace minuend
