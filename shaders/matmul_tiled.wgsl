// Matrix product by tiles: a workgroup computes a tile of the result from strips of both operands that
// it stages in workgroup memory, an invocation a block of the tile in registers.
//
// result[row, column] = sum over k of lhs[row, k] * rhs[column, k], for every entry of a batch. The
// lhs has dense rows; the rhs has any strides, and K_INNER says which of its axes neighbours in memory
// lie along. With SWIGLU, `up` is a second rhs, and silu(lhs rhs) * (lhs up) is stored.

const TILE_ROWS: u32 = 128u; //@param
const TILE_COLUMNS: u32 = 128u; //@param
const ROWS_EACH: u32 = 8u; //@param
const K_INNER: bool = true; //@param
const SWIGLU: bool = false; //@param
// Two-byte elements of the rhs are bf16, otherwise f16.
const BF16: bool = false; //@param
alias LhsUnit = vec4<f32>; //@param
alias RhsUnit = vec4<f32>; //@param

struct Sizes {
    first_group: u32,
    rows: u32,
    columns: u32,
    k: u32,
    row_tiles: u32,
    lhs_offset: u32,
    rhs_offset: u32,
    up_offset: u32,
    result_offset: u32,
    result_stride: u32,
    rhs_outer: u32,
    rhs_inner: u32,
    batch_shape: vec4<u32>,
    lhs_batch: vec4<u32>,
    rhs_batch: vec4<u32>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> lhs: array<LhsUnit>; //@access
@group(0) @binding(2) var<storage, read_write> rhs: array<RhsUnit>; //@access
@group(0) @binding(3) var<storage, read_write> up: array<RhsUnit>; //@access
@group(0) @binding(4) var<storage, read_write> result: array<f32>; //@access

const TILE_K: u32 = 16u;
const COLUMNS_EACH: u32 = 8u;
const LANE_ROWS: u32 = TILE_ROWS / ROWS_EACH;
const LANE_COLUMNS: u32 = TILE_COLUMNS / COLUMNS_EACH;
const GROUP_SIZE: u32 = LANE_ROWS * LANE_COLUMNS;
// Columns of the result that a tile covers: with SWIGLU the right half of the tile is `up`.
const RESULT_COLUMNS: u32 = select(TILE_COLUMNS, TILE_COLUMNS / 2u, SWIGLU);

// Strips are staged in blocks of 4 values of k by 4 rows or columns.
const LHS_QUADS: u32 = TILE_ROWS / 4u;
const RHS_QUADS: u32 = TILE_COLUMNS / 4u;
const K_QUADS: u32 = TILE_K / 4u;
const LHS_BLOCKS: u32 = LHS_QUADS * K_QUADS;
const BLOCKS: u32 = LHS_BLOCKS + RHS_QUADS * K_QUADS;
const BLOCKS_EACH: u32 = (BLOCKS + GROUP_SIZE - 1u) / GROUP_SIZE;

const ROW_QUADS_EACH: u32 = ROWS_EACH / 4u;
const SUMS: u32 = 2u * ROWS_EACH;

// Element [k][i] holds rows or columns 4i..4i+4 at k; see `place`.
var<workgroup> lhs_strip: array<vec4<f32>, TILE_K * LHS_QUADS>;
var<workgroup> rhs_strip: array<vec4<f32>, TILE_K * RHS_QUADS>;

//@region loads
// `count` of the four values from an element on exist; the others are not read, or read as zero.
fn lhs_values(at: u32, count: u32) -> vec4<f32> {
    return lhs[at / 4u];
}

fn rhs_values(is_up: bool, at: u32, count: u32) -> vec4<f32> {
    if (SWIGLU && is_up) {
        return up[at / 4u];
    }
    return rhs[at / 4u];
}
//@end

// Where the operands of a tile begin.
struct Tile {
    lhs_at: u32,
    rhs_at: u32,
    up_at: u32,
    first_row: u32,
    first_column: u32,
}

// A quad's place in its line of the strip. The permutation lets invocations that stage the same quad of
// four different k write to different banks.
fn place(quad: u32, k_quad: u32) -> u32 {
    return quad ^ (k_quad * 2u);
}

//@region main
// A block of the strips that begin at `first_k`: its columns are values of k, or with
// `K_INNER == false` the block of an rhs as it lies. Rows and columns outside repeat the last ones,
// whose products are not stored; k outside is zero in both strips.
fn load_block(tile: Tile, block: u32, first_k: u32) -> mat4x4<f32> {
    var values = mat4x4<f32>();
    if (block < LHS_BLOCKS) {
        let k = first_k + (block % K_QUADS) * 4u;
        if (k < sizes.k) {
            let row = tile.first_row + (block / K_QUADS) * 4u;
            for (var i = 0u; i < 4u; i = i + 1u) { //@unroll
                let at = tile.lhs_at + min(row + i, sizes.rows - 1u) * sizes.k + k;
                values[i] = lhs_values(at, sizes.k - k);
            }
        }
        return transpose(values);
    }
    var quad = (block - LHS_BLOCKS) / K_QUADS;
    var k = first_k + (block % K_QUADS) * 4u;
    if (!K_INNER) {
        quad = (block - LHS_BLOCKS) % RHS_QUADS;
        k = first_k + ((block - LHS_BLOCKS) / RHS_QUADS) * 4u;
    }
    if (k >= sizes.k) {
        return values;
    }
    let is_up = SWIGLU && quad >= RHS_QUADS / 2u;
    let rhs_at = select(tile.rhs_at, tile.up_at, is_up);
    let column = tile.first_column + select(quad, quad - RHS_QUADS / 2u, is_up) * 4u;
    if (K_INNER) {
        for (var i = 0u; i < 4u; i = i + 1u) { //@unroll
            let start = min(column + i, sizes.columns - 1u) * sizes.rhs_outer + k * sizes.rhs_inner;
            values[i] = rhs_values(is_up, rhs_at + start, sizes.k - k);
        }
        return transpose(values);
    }
    if (column < sizes.columns) {
        for (var i = 0u; i < 4u; i = i + 1u) { //@unroll
            if (k + i < sizes.k) {
                let start = (k + i) * sizes.rhs_outer + column * sizes.rhs_inner;
                values[i] = rhs_values(is_up, rhs_at + start, sizes.columns - column);
            }
        }
    }
    return values;
}

fn store_block(block: u32, values: mat4x4<f32>) {
    if (block < LHS_BLOCKS) {
        let k_quad = block % K_QUADS;
        let to = k_quad * 4u * LHS_QUADS + place(block / K_QUADS, k_quad);
        for (var i = 0u; i < 4u; i = i + 1u) { //@unroll
            lhs_strip[to + i * LHS_QUADS] = values[i];
        }
        return;
    }
    let own = block - LHS_BLOCKS;
    let k_quad = select(own / RHS_QUADS, own % K_QUADS, K_INNER);
    let quad = select(own % RHS_QUADS, own / K_QUADS, K_INNER);
    let to = k_quad * 4u * RHS_QUADS + place(quad, k_quad);
    for (var i = 0u; i < 4u; i = i + 1u) { //@unroll
        rhs_strip[to + i * RHS_QUADS] = values[i];
    }
}

fn store(at: u32, values: vec4<f32>, count: u32) {
    result[at] = values.x;
    if (count > 1u) {
        result[at + 1u] = values.y;
    }
    if (count > 2u) {
        result[at + 2u] = values.z;
    }
    if (count > 3u) {
        result[at + 3u] = values.w;
    }
}

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // Groups that share columns are neighbours: a large rhs is read from memory once.
    var rest = sizes.first_group + group.x;
    var tile: Tile;
    tile.first_row = (rest % sizes.row_tiles) * TILE_ROWS;
    rest = rest / sizes.row_tiles;
    let column_tiles = (sizes.columns + RESULT_COLUMNS - 1u) / RESULT_COLUMNS;
    tile.first_column = (rest % column_tiles) * RESULT_COLUMNS;
    let batch = rest / column_tiles;
    tile.lhs_at = sizes.lhs_offset;
    tile.rhs_at = sizes.rhs_offset;
    tile.up_at = sizes.up_offset;
    rest = batch;
    for (var axis = 3; axis >= 0; axis = axis - 1) {
        let index = rest % sizes.batch_shape[axis];
        rest = rest / sizes.batch_shape[axis];
        tile.lhs_at = tile.lhs_at + index * sizes.lhs_batch[axis];
        tile.rhs_at = tile.rhs_at + index * sizes.rhs_batch[axis];
    }

    // Neighbouring invocations form rectangles of 4 by 8, so that what they read of a strip repeats.
    let lane_column = lane % 8u + 8u * ((lane / 32u) % (LANE_COLUMNS / 8u));
    let lane_row = (lane / 8u) % 4u + 4u * (lane / (4u * LANE_COLUMNS));

    var sums: array<vec4<f32>, SUMS>;
    for (var i = 0u; i < SUMS; i = i + 1u) { //@unroll
        sums[i] = vec4<f32>();
    }
    // The strips of the next step are on their way in registers while this step's are multiplied.
    var blocks: array<mat4x4<f32>, BLOCKS_EACH>;
    for (var i = 0u; i < BLOCKS_EACH; i = i + 1u) { //@unroll
        if (lane + i * GROUP_SIZE < BLOCKS) {
            blocks[i] = load_block(tile, lane + i * GROUP_SIZE, 0u);
        }
    }
    for (var first_k = 0u; first_k < sizes.k; first_k = first_k + TILE_K) {
        workgroupBarrier();
        for (var i = 0u; i < BLOCKS_EACH; i = i + 1u) { //@unroll
            if (lane + i * GROUP_SIZE < BLOCKS) {
                store_block(lane + i * GROUP_SIZE, blocks[i]);
            }
        }
        workgroupBarrier();
        if (first_k + TILE_K < sizes.k) {
            for (var i = 0u; i < BLOCKS_EACH; i = i + 1u) { //@unroll
                if (lane + i * GROUP_SIZE < BLOCKS) {
                    blocks[i] = load_block(tile, lane + i * GROUP_SIZE, first_k + TILE_K);
                }
            }
        }
        for (var k = 0u; k < TILE_K; k = k + 1u) { //@unroll
            let lhs_line = k * LHS_QUADS;
            let rhs_line = k * RHS_QUADS;
            let b0 = rhs_strip[rhs_line + place(lane_column, k / 4u)];
            let b1 = rhs_strip[rhs_line + place(LANE_COLUMNS + lane_column, k / 4u)];
            for (var i = 0u; i < ROW_QUADS_EACH; i = i + 1u) { //@unroll
                let a = lhs_strip[lhs_line + place(i * LANE_ROWS + lane_row, k / 4u)];
                let s = i * 8u;
                sums[s] = fma(vec4<f32>(a.x), b0, sums[s]);
                sums[s + 1u] = fma(vec4<f32>(a.x), b1, sums[s + 1u]);
                sums[s + 2u] = fma(vec4<f32>(a.y), b0, sums[s + 2u]);
                sums[s + 3u] = fma(vec4<f32>(a.y), b1, sums[s + 3u]);
                sums[s + 4u] = fma(vec4<f32>(a.z), b0, sums[s + 4u]);
                sums[s + 5u] = fma(vec4<f32>(a.z), b1, sums[s + 5u]);
                sums[s + 6u] = fma(vec4<f32>(a.w), b0, sums[s + 6u]);
                sums[s + 7u] = fma(vec4<f32>(a.w), b1, sums[s + 7u]);
            }
        }
    }

    for (var i = 0u; i < ROWS_EACH; i = i + 1u) { //@unroll
        let row = tile.first_row + ((i / 4u) * LANE_ROWS + lane_row) * 4u + i % 4u;
        if (row < sizes.rows) {
            let line = sizes.result_offset + (batch * sizes.rows + row) * sizes.result_stride;
            let left = tile.first_column + lane_column * 4u;
            let right = left + LANE_COLUMNS * 4u;
            if (SWIGLU) {
                if (left < sizes.columns) {
                    let gate = sums[2u * i];
                    let gated = gate / (vec4<f32>(1.0) + exp(-gate)) * sums[2u * i + 1u];
                    store(line + left, gated, sizes.columns - left);
                }
            } else {
                if (left < sizes.columns) {
                    store(line + left, sums[2u * i], sizes.columns - left);
                }
                if (right < sizes.columns) {
                    store(line + right, sums[2u * i + 1u], sizes.columns - right);
                }
            }
        }
    }
}
//@end
