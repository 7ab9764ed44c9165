// Matrix product without workgroup memory, for adapters whose memory is a CPU's: an invocation computes
// ROWS rows of four neighbouring columns straight from memory. All invocations of a workgroup share the
// rows, so that what is read of the lhs is the same for all.
//
// result[row, column] = sum over k of lhs[row, k] * rhs[column, k], for every entry of a batch. The
// lhs has dense rows; the rhs has any strides, and K_INNER says which of its axes neighbours in memory
// lie along. With SWIGLU, `up` is a second rhs, and silu(lhs rhs) * (lhs up) is stored.

// Rows of an invocation: 1, 2, 4 or 8, with SWIGLU at most 4.
const ROWS: u32 = 8u; //@param
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

const GROUP_SIZE: u32 = 16u;
const GROUP_COLUMNS: u32 = 4u * GROUP_SIZE;

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

// Four values of k by four columns; a column of the matrix is one value of k. Columns outside repeat
// the last one or are zero, and are not stored; k outside is zero.
fn rhs_block(is_up: bool, base: u32, column: u32, k: u32) -> mat4x4<f32> {
    var values = mat4x4<f32>();
    if (K_INNER) {
        let last = sizes.columns - 1u;
        let start = base + k * sizes.rhs_inner;
        let count = sizes.k - k;
        values[0] = rhs_values(is_up, start + column * sizes.rhs_outer, count);
        values[1] = rhs_values(is_up, start + min(column + 1u, last) * sizes.rhs_outer, count);
        values[2] = rhs_values(is_up, start + min(column + 2u, last) * sizes.rhs_outer, count);
        values[3] = rhs_values(is_up, start + min(column + 3u, last) * sizes.rhs_outer, count);
        return transpose(values);
    }
    let start = base + column * sizes.rhs_inner + k * sizes.rhs_outer;
    let count = sizes.columns - column;
    values[0] = rhs_values(is_up, start, count);
    if (k + 1u < sizes.k) {
        values[1] = rhs_values(is_up, start + sizes.rhs_outer, count);
    }
    if (k + 2u < sizes.k) {
        values[2] = rhs_values(is_up, start + 2u * sizes.rhs_outer, count);
    }
    if (k + 3u < sizes.k) {
        values[3] = rhs_values(is_up, start + 3u * sizes.rhs_outer, count);
    }
    return values;
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

// The sums of a row and four columns, with the products of four values of k. Of the rows from `line` on,
// those that do not exist repeat the last one and are not stored.
fn sums_with(
    sums: vec4<f32>,
    line: u32,
    row: u32,
    rows: u32,
    k: u32,
    b: mat4x4<f32>,
) -> vec4<f32> {
    let a = lhs_values(line + min(row, rows - 1u) * sizes.k + k, sizes.k - k);
    return sums + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

fn gated(gate: vec4<f32>, own: vec4<f32>) -> vec4<f32> {
    return gate / (vec4<f32>(1.0) + exp(-gate)) * own;
}

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var rest = sizes.first_group + group.x;
    let first_row = (rest % sizes.row_tiles) * ROWS;
    rest = rest / sizes.row_tiles;
    let column_tiles = (sizes.columns + GROUP_COLUMNS - 1u) / GROUP_COLUMNS;
    let column = (rest % column_tiles) * GROUP_COLUMNS + lane * 4u;
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
    if (column >= sizes.columns) {
        return;
    }
    // Rows that exist, at least one.
    let rows = min(ROWS, sizes.rows - first_row);

    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    let line = lhs_at + first_row * sizes.k;
    for (var k = 0u; k < sizes.k; k = k + 4u) {
        let b = rhs_block(false, rhs_at, column, k);
        s0 = sums_with(s0, line, 0u, rows, k, b);
        if (ROWS > 1u) {
            s1 = sums_with(s1, line, 1u, rows, k, b);
        }
        if (ROWS > 2u) {
            s2 = sums_with(s2, line, 2u, rows, k, b);
            s3 = sums_with(s3, line, 3u, rows, k, b);
        }
        if (ROWS > 4u) {
            s4 = sums_with(s4, line, 4u, rows, k, b);
            s5 = sums_with(s5, line, 5u, rows, k, b);
            s6 = sums_with(s6, line, 6u, rows, k, b);
            s7 = sums_with(s7, line, 7u, rows, k, b);
        }
        if (SWIGLU) {
            let u = rhs_block(true, up_at, column, k);
            s4 = sums_with(s4, line, 0u, rows, k, u);
            if (ROWS > 1u) {
                s5 = sums_with(s5, line, 1u, rows, k, u);
            }
            if (ROWS > 2u) {
                s6 = sums_with(s6, line, 2u, rows, k, u);
                s7 = sums_with(s7, line, 3u, rows, k, u);
            }
        }
    }
    if (SWIGLU) {
        s0 = gated(s0, s4);
        s1 = gated(s1, s5);
        s2 = gated(s2, s6);
        s3 = gated(s3, s7);
    }
    let at = sizes.result_offset + (batch * sizes.rows + first_row) * sizes.result_stride + column;
    let count = sizes.columns - column;
    store(at, s0, count);
    if (rows > 1u) {
        store(at + sizes.result_stride, s1, count);
    }
    if (rows > 2u) {
        store(at + 2u * sizes.result_stride, s2, count);
    }
    if (rows > 3u) {
        store(at + 3u * sizes.result_stride, s3, count);
    }
    if (rows > 4u) {
        store(at + 4u * sizes.result_stride, s4, count);
    }
    if (rows > 5u) {
        store(at + 5u * sizes.result_stride, s5, count);
    }
    if (rows > 6u) {
        store(at + 6u * sizes.result_stride, s6, count);
    }
    if (rows > 7u) {
        store(at + 7u * sizes.result_stride, s7, count);
    }
}
