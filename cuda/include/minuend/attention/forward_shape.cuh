// Sizes of the forward attention of warpgroups, known to the compiler.
//
// A thread block has one warpgroup that copies and two or three that compute. Each of those has 64
// rows of scores, in groups of 16: 8 rows of one query head over 8 rows of another for the same 8
// tokens, or 16 tokens of one head. A thread of the tensor cores' layout has rows r and r + 8 of a
// group: with two heads, both heads of one token. So the difference of two softmaxes is taken
// without moving anything.
#pragma once

#include "minuend/types.cuh"
#include "minuend/wgmma.cuh"

namespace minuend {

// Parameters: elements of q, k, v and the result; columns of a head; softmaxes of an output head;
// query heads of a tile of queries, which read one K/V head; keys of a block of keys; whether keys
// may be hidden before a query's window; and how the kernel is tuned.
template <typename Element_, int HeadDim, int Streams, int TileHeads, int BlockKeys, bool Windowed,
          typename Tuning_>
struct ForwardShape {
    using Element = Element_;
    using Tuning = Tuning_;

    static constexpr int head_dim = HeadDim;
    static constexpr int streams = Streams;
    static constexpr int tile_heads = TileHeads;
    static constexpr int block_keys = BlockKeys;
    static constexpr bool is_windowed = Windowed;

    static constexpr int warpgroups = Tuning::warpgroups;
    static constexpr int cluster = Tuning::cluster;
    static constexpr int threads = (warpgroups + 1) * warpgroup_threads;

    static constexpr int warpgroup_rows = 64;
    static constexpr int warpgroup_tokens = warpgroup_rows / TileHeads;
    static constexpr int tile_tokens = warpgroups * warpgroup_tokens;
    static constexpr int group_rows = 16;
    static constexpr int group_tokens = group_rows / TileHeads;
    // Tokens between a thread's two rows.
    static constexpr int row_tokens = TileHeads == 1 ? 8 : 0;
    static constexpr int groups = warpgroup_rows / group_rows;
    // Output heads of a tile.
    static constexpr int out_heads = TileHeads / Streams;
    static constexpr int out_rows = warpgroup_rows / Streams;

    // Tiles lie in shared memory in chunks of 64 elements of every row.
    static constexpr int chunk_columns = 64;
    static constexpr int row_bytes = chunk_columns * sizeof(Element);
    static constexpr int chunks = HeadDim / chunk_columns;
    static constexpr int q_chunk_bytes = warpgroups * warpgroup_rows * row_bytes;
    static constexpr int q_bytes = chunks * q_chunk_bytes;
    static constexpr int kv_chunk_bytes = BlockKeys * row_bytes;
    static constexpr int kv_bytes = chunks * kv_chunk_bytes;
    // A thread block of a cluster copies its share of the keys for all of them.
    static constexpr int share_keys = BlockKeys / cluster;

    // The wide result of two heads leaves in two halves of its columns: there is no room for all.
    static constexpr int out_passes = HeadDim > 128 && Streams == 1 ? 2 : 1;
    static constexpr int out_chunks = chunks / out_passes;
    static constexpr int out_chunk_bytes = out_rows * row_bytes;
    static constexpr int out_bytes = out_chunks * out_chunk_bytes;

    // Of the block of keys that a tile of queries begins with, the last it sees, half may be
    // enough.
    static constexpr int half_keys = BlockKeys / 2;

    static_assert(sizeof(Element) == 2, "the tensor cores take elements of 16 bits");
    static_assert(HeadDim % chunk_columns == 0 && HeadDim <= 256,
                  "a product has up to 256 columns");
    static_assert(TileHeads == 1 || TileHeads == 2, "a thread has two rows");
    static_assert(Streams == 1 || (Streams == 2 && TileHeads == 2),
                  "a difference is of the two heads of a tile");
    static_assert(BlockKeys % 16 == 0, "a product sums over 16");
    static_assert(!Tuning::halves_diagonal || half_keys % 16 == 0, "half a tile is such sums too");
    static_assert(share_keys % 8 == 0, "a share is whole swizzled groups of rows");
    static_assert(cluster == 1 || cluster == 2, "a cluster is a thread block or a pair of them");
};

}  // namespace minuend
