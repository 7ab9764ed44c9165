// Matrix product without workgroup memory, for adapters whose memory is a CPU's: an invocation computes
// ROWS rows of four neighbouring columns straight from memory. All invocations of a workgroup share the
// rows, so that what is read of the lhs is the same for all.
//
// result[row, column] = sum over k of lhs[row, k] * rhs[column, k], for every entry of a batch. The
// lhs has dense rows; the rhs has any strides, and K_INNER says which of its axes neighbours in memory
// lie along. With SWIGLU, `up` is a second rhs, and silu(lhs rhs) * (lhs up) is stored.

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

    var sums: array<vec4<f32>, ROWS>;
    var up_sums: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i = i + 1u) {
        sums[i] = vec4<f32>();
        up_sums[i] = vec4<f32>();
    }
    for (var k = 0u; k < sizes.k; k = k + 4u) {
        let b = rhs_block(false, rhs_at, column, k);
        var u = mat4x4<f32>();
        if (SWIGLU) {
            u = rhs_block(true, up_at, column, k);
        }
        for (var i = 0u; i < ROWS; i = i + 1u) {
            // Rows outside repeat the last one and are not stored.
            let row = min(first_row + i, sizes.rows - 1u);
            let a = lhs_values(lhs_at + row * sizes.k + k, sizes.k - k);
            sums[i] = sums[i] + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
            if (SWIGLU) {
                up_sums[i] = up_sums[i] + a.x * u[0] + a.y * u[1] + a.z * u[2] + a.w * u[3];
            }
        }
    }
    for (var i = 0u; i < ROWS; i = i + 1u) {
        let row = first_row + i;
        if (row < sizes.rows) {
            let line = sizes.result_offset + (batch * sizes.rows + row) * sizes.result_stride;
            var values = sums[i];
            if (SWIGLU) {
                values = values / (vec4<f32>(1.0) + exp(-values)) * up_sums[i];
            }
            store(line + column, values, sizes.columns - column);
        }
    }
}
