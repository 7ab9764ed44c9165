// Rings of key and value tiles in shared memory, for kernels that stream a cache once.
//
// A ring belongs to a few warps that fill it, use it and refill it by themselves. A tile of some
// keys lies as [columns / 64][keys][64], rows of 128 bytes whose 16-byte piece i is at i ^ (row % 8).
#pragma once

#include "minuend/async_copy.cuh"
#include "minuend/mbarrier.cuh"
#include "minuend/named_barrier.cuh"
#include "minuend/tma.cuh"
#include "minuend/types.cuh"

namespace minuend {

// What rings are made of: tiles of `Keys` keys with KeyColumns and ValueColumns 16-bit elements, in
// `Stages` stages of one key and one value tile, shared by `Warps` warps.
template <typename Element_, int Keys, int KeyColumns, int ValueColumns, int Stages, int Warps>
struct RingShape {
    using Element = Element_;

    static constexpr int keys = Keys;
    static constexpr int key_columns = KeyColumns;
    static constexpr int value_columns = ValueColumns;
    static constexpr int stages = Stages;
    static constexpr int warps = Warps;
    static constexpr int slab_bytes = Keys * 128;
    static constexpr int key_bytes = (KeyColumns + 63) / 64 * slab_bytes;
    static constexpr int value_bytes = (ValueColumns + 63) / 64 * slab_bytes;
    static constexpr int stage_bytes = key_bytes + value_bytes;
    static constexpr int bytes = Stages * stage_bytes;
    // A barrier for each tile.
    static constexpr int barriers_bytes = Stages * 2 * barrier_bytes;

    // Address of a stage's tile.
    template <bool IsValue>
    static __device__ __forceinline__ u32 tile_of(u32 tiles, int stage) {
        return tiles + stage * stage_bytes + (IsValue ? key_bytes : 0);
    }

    static_assert(sizeof(Element) == 2, "tiles are of 16-bit elements");
    static_assert(Keys % 16 == 0, "swizzling repeats every 8 rows, products take 16");
};

// Waits for the warps of a ring. Barrier 0 is the block's.
template <int Warps>
__device__ __forceinline__ void sync_ring(int ring) {
    if (Warps == 1) {
        __syncwarp();
    } else {
        sync_threads(ring + 1, Warps * 32);
    }
}

// A ring that the bulk copy engine fills. Keys behind the last of the tensor map read as 0.
template <typename Shape>
struct BulkRing {
    const TensorMap* keys;
    const TensorMap* values;
    int kv_head;
    int batch;
    int ring;
    u32 tiles;
    u32 barriers;
    bool leads;

    // Of K/V head blockIdx.y of batch element blockIdx.z.
    __device__ __forceinline__ BulkRing(const TensorMap& k_map, const TensorMap& v_map)
        : keys(&k_map), values(&v_map), kv_head(blockIdx.y), batch(blockIdx.z) {}

    __device__ __forceinline__ void start(int ring_index, u32 tiles_at, u32 barriers_at,
                                          int warp_of_ring) {
        ring = ring_index;
        tiles = tiles_at;
        barriers = barriers_at;
        leads = warp_of_ring == 0;
        if (leads && threadIdx.x % 32 == 0) {
#pragma unroll
            for (int i = 0; i < Shape::stages * 2; ++i) {
                init_barrier(barriers + i * barrier_bytes, 1);
            }
            publish_barriers();
            prefetch_map(*keys);
            prefetch_map(*values);
        }
        sync_ring<Shape::warps>(ring);
    }

    // Has a tile copied; nothing if there is none. The ring's warps have read what lay there.
    template <bool IsValue>
    __device__ __forceinline__ void load(int stage, int key, bool exists) const {
        if (leads && exists && elect_one()) {
            constexpr int bytes = IsValue ? Shape::value_bytes : Shape::key_bytes;
            const u32 barrier = barrier_of<IsValue>(stage);
            arrive_expecting(barrier, bytes);
            asm volatile(
                "cp.async.bulk.tensor.5d.shared::cta.global.mbarrier::complete_tx::bytes "
                "[%0], [%1, {%3, %4, %3, %5, %6}], [%2];" ::"r"(
                    Shape::template tile_of<IsValue>(tiles, stage)),
                "l"(IsValue ? values : keys), "r"(barrier), "r"(0), "r"(key), "r"(kv_head),
                "r"(batch)
                : "memory");
        }
    }

    // Waits for a tile; `round` counts how often its stage was waited for before.
    template <bool IsValue>
    __device__ __forceinline__ u32 wait(int stage, int round) const {
        minuend::wait(barrier_of<IsValue>(stage), round & 1);
        return Shape::template tile_of<IsValue>(tiles, stage);
    }

    __device__ __forceinline__ void finish() const {}

  private:
    template <bool IsValue>
    __device__ __forceinline__ u32 barrier_of(int stage) const {
        return barriers + (2 * stage + IsValue) * barrier_bytes;
    }
};

// A ring that its warps fill by asynchronous copies of 16 bytes. Loads and waits come in one order:
// the key and the value tile of every stage are loaded first; then each wait for a tile is followed
// by one load before the next wait.
template <typename Shape>
struct AsyncRing {
    using Element = typename Shape::Element;

    const Element* keys;
    const Element* values;
    long long key_token;
    long long value_token;
    int last_key;
    int ring;
    int thread;
    u32 tiles;

    // Of K/V head blockIdx.y of batch element blockIdx.z. Strides: batches, heads, tokens.
    __device__ __forceinline__ AsyncRing(const Element* k, const Strides& k_strides,
                                         const Element* v, const Strides& v_strides, int key_count)
        : keys(k + int(blockIdx.z) * k_strides.at[0] + int(blockIdx.y) * k_strides.at[1]),
          values(v + int(blockIdx.z) * v_strides.at[0] + int(blockIdx.y) * v_strides.at[1]),
          key_token(k_strides.at[2]),
          value_token(v_strides.at[2]),
          last_key(key_count - 1) {}

    __device__ __forceinline__ void start(int ring_index, u32 tiles_at, u32, int warp_of_ring) {
        ring = ring_index;
        tiles = tiles_at;
        thread = warp_of_ring * 32 + threadIdx.x % 32;
    }

    // Has a tile copied; nothing if there is none. Keys behind the last are 0.
    template <bool IsValue>
    __device__ __forceinline__ void load(int stage, int key, bool exists) const {
        if (exists) {
            constexpr int pieces = (IsValue ? Shape::value_columns : Shape::key_columns) / 8;
            constexpr int threads = Shape::warps * 32;
            const Element* from = IsValue ? values : keys;
            const long long token = IsValue ? value_token : key_token;
            const u32 tile = Shape::template tile_of<IsValue>(tiles, stage);
#pragma unroll
            for (int i = 0; i < (Shape::keys * pieces + threads - 1) / threads; ++i) {
                const int index = i * threads + thread;
                const int row = index / pieces;
                const int piece = index % pieces;
                if (Shape::keys * pieces % threads == 0 || row < Shape::keys) {
                    // Reads stay inside the tensor.
                    const Element* source = from + min(key + row, last_key) * token + piece * 8;
                    copy_16_async(tile + piece / 8 * Shape::slab_bytes + row * 128 +
                                      ((piece % 8 ^ row % 8) << 4),
                                  source, key + row <= last_key);
                }
            }
        }
        end_copy_group();
    }

    template <bool IsValue>
    __device__ __forceinline__ u32 wait(int stage, int) const {
        wait_copy_groups<2 * Shape::stages - 1>();
        sync_ring<Shape::warps>(ring);
        return Shape::template tile_of<IsValue>(tiles, stage);
    }

    __device__ __forceinline__ void finish() const {
        wait_copy_groups<0>();
    }
};

}  // namespace minuend
