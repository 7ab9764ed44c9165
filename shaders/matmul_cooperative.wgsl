enable f16;
enable wgpu_cooperative_matrix;

// Matrix product by cooperative matrices: operands are rounded to f16, sums are f32. A workgroup of
// eight subgroups, two below and four beside each other, computes a tile of the result from strips of
// both operands that it stages in workgroup memory, a subgroup a block of matrices of it.
//
// result[row, column] = sum over k of lhs[row, k] * rhs[column, k], for every entry of a batch. The
// lhs has dense rows; the rhs has any strides, and K_INNER says which of its axes neighbours in memory
// lie along. With SWIGLU, `up` is a second rhs, and silu(lhs rhs) * (lhs up) is stored.

// Rows, columns and inner size of a matrix.
const SIZE: u32 = 16u; //@param
// Invocations of a subgroup.
const SUBGROUP: u32 = 32u; //@param
// Values of k of a strip.
const TILE_K: u32 = 64u; //@param
// Matrices beside each other of a subgroup, an even number.
const MATRIX_COLUMNS: u32 = 2u; //@param
const K_INNER: bool = true; //@param
const SWIGLU: bool = false; //@param
// Two-byte elements of the rhs are bf16, otherwise f16.
const BF16: bool = false; //@param
alias LhsUnit = vec4<f32>; //@param
alias RhsUnit = vec4<f32>; //@param
alias MatrixA = coop_mat16x16<f16, A>; //@param
alias MatrixB = coop_mat16x16<f16, B>; //@param
alias MatrixC = coop_mat16x16<f32, C>; //@param

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

const GROUP_SIZE: u32 = 8u * SUBGROUP;
// Matrices below each other of a subgroup.
const MATRIX_ROWS: u32 = 4u;
const MATRIX_PAIRS: u32 = MATRIX_COLUMNS / 2u;
const TILE_ROWS: u32 = 2u * MATRIX_ROWS * SIZE;
const TILE_COLUMNS: u32 = 4u * MATRIX_COLUMNS * SIZE;
// Columns of the result that a tile covers: with SWIGLU the right half of the tile is `up`.
const RESULT_COLUMNS: u32 = select(TILE_COLUMNS, TILE_COLUMNS / 2u, SWIGLU);

// Lines of a strip, in quads. Two more than are used: neighbouring lines begin in different banks.
const K_QUADS: u32 = TILE_K / 4u;
const COLUMN_QUADS: u32 = TILE_COLUMNS / 4u;
const LHS_LINE: u32 = K_QUADS + 2u;
const RHS_LINE: u32 = select(COLUMN_QUADS + 2u, K_QUADS + 2u, K_INNER);
const RHS_LINES: u32 = select(TILE_K, TILE_COLUMNS, K_INNER);
// Quads of a line of the rhs that are used.
const RHS_QUADS: u32 = select(COLUMN_QUADS, K_QUADS, K_INNER);
// Quads that an invocation stages.
const LHS_EACH: u32 = TILE_ROWS * K_QUADS / GROUP_SIZE;
const RHS_EACH: u32 = TILE_COLUMNS * K_QUADS / GROUP_SIZE;
const_assert GROUP_SIZE % K_QUADS == 0u;
const_assert TILE_ROWS * K_QUADS % GROUP_SIZE == 0u;
const_assert TILE_COLUMNS * K_QUADS % GROUP_SIZE == 0u;

// Matrices begin at multiples of 16 bytes: every array's size is one.
// The lhs lies row by row, the rhs as in memory: column by column or k by k.
var<workgroup> lhs_strip: array<vec4<f16>, TILE_ROWS * LHS_LINE>;
var<workgroup> rhs_strip: array<vec4<f16>, RHS_LINES * RHS_LINE>;
// Two matrices of each of four subgroups on their way to the result.
var<workgroup> finished: array<f32, 8u * SIZE * SIZE>;

//@region loads
// `count` of the four values from an element on exist; the others are not read, or read as zero.
fn lhs_values(at: u32, count: u32) -> vec4<f32> {
    return lhs[at / 4u];
}

// Values as they are stored.
alias Stored = vec4<f32>;

fn rhs_stored(is_up: bool, at: u32, count: u32) -> Stored {
    if (SWIGLU && is_up) {
        return up[at / 4u];
    }
    return rhs[at / 4u];
}

fn rounded(values: Stored) -> vec4<f16> {
    return vec4<f16>(values);
}
//@end

// The quad of the lhs row at `start` that is staged for a strip from k on. Values behind the end of k
// are zero in both strips.
fn lhs_quad(start: u32, k: u32) -> vec4<f32> {
    if (k < sizes.k) {
        return lhs_values(start + k, sizes.k - k);
    }
    return vec4<f32>();
}

// A quad of the rhs, of whose columns `count` exist if it is one of columns.
fn rhs_quad(is_up: bool, start: u32, k: u32, count: u32) -> Stored {
    if (k < sizes.k && count > 0u) {
        let stride = select(sizes.rhs_outer, sizes.rhs_inner, K_INNER);
        return rhs_stored(is_up, start + k * stride, select(count, sizes.k - k, K_INNER));
    }
    return Stored();
}

// Where a subgroup's sums go.
struct Place {
    result_at: u32,
    row: u32,
    column: u32,
}

// Stores the two finished matrices of a subgroup, which begin at `place` and half a tile to the right.
fn store_finished(place: Place, subgroup: u32, subgroup_lane: u32) {
    let left = subgroup % 4u * 2u * SIZE * SIZE;
    let right = left + SIZE * SIZE;
    for (var e = subgroup_lane; e < SIZE * SIZE; e = e + SUBGROUP) {
        let row = place.row + e / SIZE;
        let column = place.column + e % SIZE;
        if (row < sizes.rows) {
            let at = place.result_at + row * sizes.result_stride;
            let value = finished[left + e];
            if (SWIGLU) {
                if (column < sizes.columns) {
                    result[at + column] = value / (1.0 + exp(-value)) * finished[right + e];
                }
            } else {
                if (column < sizes.columns) {
                    result[at + column] = value;
                }
                if (column + TILE_COLUMNS / 2u < sizes.columns) {
                    result[at + column + TILE_COLUMNS / 2u] = finished[right + e];
                }
            }
        }
    }
}

//@region main
@compute @workgroup_size(GROUP_SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    // Groups that share columns are neighbours: a large rhs is read from memory once.
    var rest = sizes.first_group + group.x;
    let first_row = (rest % sizes.row_tiles) * TILE_ROWS;
    rest = rest / sizes.row_tiles;
    let column_tiles = (sizes.columns + RESULT_COLUMNS - 1u) / RESULT_COLUMNS;
    let first_column = (rest % column_tiles) * RESULT_COLUMNS;
    let batch = rest / column_tiles;
    var lhs_at = sizes.lhs_offset;
    var rhs_at = sizes.rhs_offset;
    var up_at = sizes.up_offset;
    rest = batch;
    for (var axis = 3; axis >= 0; axis = axis - 1) {
        let index = rest % sizes.batch_shape[axis];
        rest = rest / sizes.batch_shape[axis];
        lhs_at = lhs_at + index * sizes.lhs_batch[axis];
        rhs_at = rhs_at + index * sizes.rhs_batch[axis];
    }

    // Where this invocation's quads come from, at k = 0. Rows and columns outside repeat the last ones,
    // whose products are not stored.
    let lhs_k = (invocation % K_QUADS) * 4u;
    var lhs_start: array<u32, LHS_EACH>;
    for (var i = 0u; i < LHS_EACH; i = i + 1u) { //@unroll
        let row = first_row + (invocation + i * GROUP_SIZE) / K_QUADS;
        lhs_start[i] = lhs_at + min(row, sizes.rows - 1u) * sizes.k;
    }
    var rhs_start: array<u32, RHS_EACH>;
    var rhs_count: array<u32, RHS_EACH>;
    for (var i = 0u; i < RHS_EACH; i = i + 1u) { //@unroll
        let quad = invocation + i * GROUP_SIZE;
        let line = select((quad % COLUMN_QUADS) * 4u, quad / K_QUADS, K_INNER);
        let is_up = SWIGLU && line >= TILE_COLUMNS / 2u;
        let column = first_column + select(line, line - TILE_COLUMNS / 2u, is_up);
        let base = select(rhs_at, up_at, is_up);
        if (K_INNER) {
            rhs_start[i] = base + min(column, sizes.columns - 1u) * sizes.rhs_outer;
            rhs_count[i] = 1u;
        } else {
            rhs_start[i] = base + column * sizes.rhs_inner;
            rhs_count[i] = select(0u, sizes.columns - column, column < sizes.columns);
        }
    }

    var sums: array<MatrixC, MATRIX_ROWS * MATRIX_COLUMNS>;
    for (var r = 0u; r < MATRIX_ROWS; r = r + 1u) { //@unroll
        for (var c = 0u; c < MATRIX_COLUMNS; c = c + 1u) { //@unroll
            sums[r * MATRIX_COLUMNS + c] = MatrixC();
        }
    }
    // The matrices beside each other of a subgroup are spread evenly over the tile, so that with SWIGLU
    // its right half is `up` for the columns of the left half.
    let subgroup_row = (subgroup / 4u) * MATRIX_ROWS * SIZE;
    let subgroup_column = (subgroup % 4u) * SIZE;

    // The strips of the next step are on their way in registers while this step's are multiplied.
    var lhs_next: array<vec4<f32>, LHS_EACH>;
    var rhs_next: array<Stored, RHS_EACH>;
    for (var i = 0u; i < LHS_EACH; i = i + 1u) { //@unroll
        lhs_next[i] = lhs_quad(lhs_start[i], lhs_k);
    }
    for (var i = 0u; i < RHS_EACH; i = i + 1u) { //@unroll
        let quad = invocation + i * GROUP_SIZE;
        let is_up = SWIGLU && select(quad % COLUMN_QUADS * 4u, quad / K_QUADS, K_INNER) >= TILE_COLUMNS / 2u;
        let rhs_k = select(quad / COLUMN_QUADS, lhs_k, K_INNER);
        rhs_next[i] = rhs_quad(is_up, rhs_start[i], rhs_k, rhs_count[i]);
    }
    for (var first_k = 0u; first_k < sizes.k; first_k = first_k + TILE_K) {
        workgroupBarrier();
        for (var i = 0u; i < LHS_EACH; i = i + 1u) { //@unroll
            let quad = invocation + i * GROUP_SIZE;
            lhs_strip[(quad / K_QUADS) * LHS_LINE + quad % K_QUADS] = vec4<f16>(lhs_next[i]);
        }
        for (var i = 0u; i < RHS_EACH; i = i + 1u) { //@unroll
            let quad = invocation + i * GROUP_SIZE;
            rhs_strip[(quad / RHS_QUADS) * RHS_LINE + quad % RHS_QUADS] = rounded(rhs_next[i]);
        }
        workgroupBarrier();
        // Behind the last step these are zeros.
        for (var i = 0u; i < LHS_EACH; i = i + 1u) { //@unroll
            lhs_next[i] = lhs_quad(lhs_start[i], first_k + TILE_K + lhs_k);
        }
        for (var i = 0u; i < RHS_EACH; i = i + 1u) { //@unroll
            let quad = invocation + i * GROUP_SIZE;
            let is_up = SWIGLU && select(quad % COLUMN_QUADS * 4u, quad / K_QUADS, K_INNER) >= TILE_COLUMNS / 2u;
            let rhs_k = select(quad / COLUMN_QUADS, lhs_k, K_INNER);
            rhs_next[i] = rhs_quad(is_up, rhs_start[i], first_k + TILE_K + rhs_k, rhs_count[i]);
        }
        for (var k = 0u; k < TILE_K; k = k + SIZE) {
            var left: array<MatrixA, MATRIX_ROWS>;
            for (var r = 0u; r < MATRIX_ROWS; r = r + 1u) { //@unroll
                let at = (subgroup_row + r * SIZE) * LHS_LINE + k / 4u;
                left[r] = coopLoadT<MatrixA>(&lhs_strip[at], LHS_LINE);
            }
            for (var c = 0u; c < MATRIX_COLUMNS; c = c + 1u) { //@unroll
                let column = subgroup_column + c * 4u * SIZE;
                var right = MatrixB();
                if (K_INNER) {
                    let at = column * RHS_LINE + k / 4u;
                    right = coopLoad<MatrixB>(&rhs_strip[at], RHS_LINE);
                } else {
                    let at = k * RHS_LINE + column / 4u;
                    right = coopLoadT<MatrixB>(&rhs_strip[at], RHS_LINE);
                }
                for (var r = 0u; r < MATRIX_ROWS; r = r + 1u) { //@unroll
                    let at = r * MATRIX_COLUMNS + c;
                    sums[at] = coopMultiplyAdd(left[r], right, sums[at]);
                }
            }
        }
    }

    // Four subgroups at a time store two matrices, half a tile apart.
    let left_at = subgroup % 4u * 2u * SIZE * SIZE;
    let right_at = left_at + SIZE * SIZE;
    let line = SIZE;
    for (var r = 0u; r < MATRIX_ROWS; r = r + 1u) { //@unroll
        for (var c = 0u; c < MATRIX_PAIRS; c = c + 1u) { //@unroll
            let place = Place(
                sizes.result_offset + batch * sizes.rows * sizes.result_stride,
                first_row + subgroup_row + r * SIZE,
                first_column + subgroup_column + c * 4u * SIZE,
            );
            for (var half = 0u; half < 2u; half = half + 1u) { //@unroll
                if (subgroup / 4u == half) {
                    coopStoreT(sums[r * MATRIX_COLUMNS + c], &finished[left_at], line);
                    coopStoreT(sums[r * MATRIX_COLUMNS + c + MATRIX_PAIRS], &finished[right_at], line);
                }
                workgroupBarrier();
                if (subgroup / 4u == half) {
                    store_finished(place, subgroup, subgroup_lane);
                }
                workgroupBarrier();
            }
        }
    }
}
//@end
