// Which tiles a thread block takes.
#pragma once

#include "minuend/attention/forward_tiles.cuh"
#include "minuend/types.cuh"

namespace minuend {

// Thread blocks take tiles by turns, one in each round. Every second round goes through them
// backwards: a block that had a long tile gets a short one. All warps of a block go through the
// same tiles, each at its own pace, and nobody has to tell them.
struct TileTurns {
    TileOrder order;
    int next_round = 0;

    // Goes to the next tile; false if there is none, now and from now on.
    template <class Shape>
    __device__ __forceinline__ bool take(ForwardTile& tile) {
        const int blocks = gridDim.x;
        const int block = blockIdx.x;
        const int in_round = next_round % 2 == 0 ? block : blocks - 1 - block;
        const int index = next_round * blocks + in_round;
        if (index >= order.tiles()) {
            return false;
        }
        tile = order.at<Shape>(index);
        ++next_round;
        return true;
    }
};

}  // namespace minuend
