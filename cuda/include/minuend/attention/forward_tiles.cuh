// Tiles of the forward attention: what they are of, in which order, and which keys they see.
#pragma once

#include "minuend/types.cuh"
#include "minuend/visible_keys.cuh"

namespace minuend {

// Queries of one or two heads. A unit is the query heads of a tile; a negative one says that there
// are no more tiles.
struct ForwardTile {
    int token;
    int unit;
    int batch;

    __device__ __forceinline__ bool is_none() const { return unit < 0; }
};

// The order of tiles. Units are taken in sections, and of a section's units the last queries first:
// those see the most keys, and what is left for the end is short. A section's keys and values stay
// in the second-level cache.
struct TileOrder {
    // Tiles of a unit's queries.
    int row_tiles;
    // Units of a batch over the thread blocks of a cluster.
    int units;
    // The same for all batches.
    int all_units;
    // Units of a section over the thread blocks of a cluster.
    int section;

    __device__ __forceinline__ int tiles() const { return row_tiles * all_units; }

    // Of the first thread block of a cluster; those of its others are of the units behind.
    template <class Shape>
    __device__ __forceinline__ ForwardTile at(int index) const {
        const int section_tiles = section * row_tiles;
        const int first_unit = index / section_tiles * section;
        const int in_section = index % section_tiles;
        const int section_units = min(section, all_units - first_unit);
        const int row_tile = row_tiles - 1 - in_section / section_units;
        const int unit = first_unit + in_section % section_units;
        const int batch = unit / units;
        return {row_tile * Shape::tile_tokens, (unit - batch * units) * Shape::cluster, batch};
    }
};

// Blocks of keys that the queries of a tile see, [first, end); they are processed from the last on.
// All queries see all keys of [unmasked_first, unmasked_end), and every query sees a key of a block
// from unmasked_end on: its row has a maximum before the unmasked blocks come.
struct KeyBlocks {
    int first;
    int unmasked_first;
    int unmasked_end;
    int end;

    template <class Shape>
    static __device__ __forceinline__ KeyBlocks of(const ForwardTile& tile,
                                                   const VisibleKeys& visible) {
        constexpr int block = Shape::block_keys;
        const int last_token = tile.token + Shape::tile_tokens - 1;
        KeyBlocks blocks;
        blocks.end = (visible.end(last_token) + block - 1) / block;
        blocks.unmasked_end = (visible.end(tile.token) - 1) / block;
        blocks.first = 0;
        blocks.unmasked_first = 0;
        if constexpr (Shape::is_windowed) {
            blocks.first = visible.first(tile.token) / block;
            blocks.unmasked_first =
                min((visible.first(last_token) + block - 1) / block, blocks.end);
        }
        return blocks;
    }

    // True if the last block has no visible key in its second half and is the only masked one
    // behind the unmasked ones, of which there are some: products over half a block are followed by
    // some over a whole unmasked one.
    template <class Shape>
    __device__ __forceinline__ bool ends_in_half(const ForwardTile& tile,
                                                 const VisibleKeys& visible) const {
        const int end_key = visible.end(tile.token + Shape::tile_tokens - 1);
        const bool is_half = end * Shape::block_keys - end_key >= Shape::half_keys;
        return is_half && end - first > 1 && unmasked_end == end - 1;
    }
};

}  // namespace minuend
