// Matrix product of few rows with a matrix stored as [columns, k]: the matrix is read once, by lanes
// that stand side by side along k. A team of lanes computes the same columns for all rows and adds up
// what its lanes have.
//
// With SWIGLU, `up` is a second matrix; the second half of a team's columns are its columns, and
// silu(lhs rhs) * (lhs up) is stored.

// Rows, at least as many as there are.
const ROWS: u32 = 1u; //@param
// Lanes of a team, a power of two.
const LANES: u32 = 64u; //@param
// Quads of values of k that a lane reads in one step.
const QUADS: u32 = 1u; //@param
// Lanes of a subgroup; 0 where sums go through workgroup memory alone.
const SUBGROUP: u32 = 0u; //@param
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
    lhs_offset: u32,
    rhs_offset: u32,
    up_offset: u32,
    result_offset: u32,
    result_stride: u32,
    rhs_outer: u32,
    rhs_inner: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> lhs: array<LhsUnit>; //@access
@group(0) @binding(2) var<storage, read_write> rhs: array<RhsUnit>; //@access
@group(0) @binding(3) var<storage, read_write> up: array<RhsUnit>; //@access
@group(0) @binding(4) var<storage, read_write> result: array<f32>; //@access

const GROUP_SIZE: u32 = 256u;
const TEAMS: u32 = GROUP_SIZE / LANES;
// Columns whose products a team adds up.
const COLUMNS: u32 = 4u;
// Columns of the result that a team stores.
const RESULT_COLUMNS: u32 = select(COLUMNS, COLUMNS / 2u, SWIGLU);
const STEP: u32 = 4u * QUADS;
alias Quads = array<vec4<f32>, QUADS>;

//@region loads
// `count` of the values from an element on exist; the others are not read, or read as zero.
fn lhs_values(at: u32, count: u32) -> vec4<f32> {
    return lhs[at / 4u];
}

fn rhs_values(is_up: bool, at: u32, count: u32) -> vec4<f32> {
    if (SWIGLU && is_up) {
        return up[at / 4u];
    }
    return rhs[at / 4u];
}

fn rhs_quads(is_up: bool, at: u32, count: u32) -> Quads {
    return Quads(rhs_values(is_up, at, count));
}
//@end

//@region team
// Rows that are reduced at once.
const ROWS_AT_ONCE: u32 = min(ROWS, 4u);
const ROUNDS: u32 = ROWS / ROWS_AT_ONCE;
// Neighbouring lanes write to different banks.
var<workgroup> collected: array<array<vec4<f32>, GROUP_SIZE>, ROWS_AT_ONCE>;

// Sums over the lanes of a team, valid in its first lane. To be called in uniform control flow.
fn team_sums(lane: u32, own: array<vec4<f32>, ROWS>) -> array<vec4<f32>, ROWS> {
    var sums = own;
    for (var round = 0u; round < ROUNDS; round = round + 1u) { //@unroll
        for (var i = 0u; i < ROWS_AT_ONCE; i = i + 1u) { //@unroll
            collected[i][lane] = sums[round * ROWS_AT_ONCE + i];
        }
        for (var width = LANES / 2u; width > 0u; width = width / 2u) {
            workgroupBarrier();
            if (lane % LANES < width) {
                for (var i = 0u; i < ROWS_AT_ONCE; i = i + 1u) { //@unroll
                    collected[i][lane] = collected[i][lane] + collected[i][lane + width];
                }
            }
        }
        // A lane's own element: only the first lane of a team has the sum, which it wrote itself.
        for (var i = 0u; i < ROWS_AT_ONCE; i = i + 1u) { //@unroll
            sums[round * ROWS_AT_ONCE + i] = collected[i][lane];
        }
        workgroupBarrier();
    }
    return sums;
}

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
//@end
//@region body
    let team = (sizes.first_group + group.x) * TEAMS + lane / LANES;
    let column = team * RESULT_COLUMNS;
    var starts: array<u32, COLUMNS>;
    for (var c = 0u; c < COLUMNS; c = c + 1u) { //@unroll
        // Columns outside repeat the last one and are not stored.
        let own = min(column + c % RESULT_COLUMNS, sizes.columns - 1u);
        let base = select(sizes.rhs_offset, sizes.up_offset, c >= RESULT_COLUMNS);
        starts[c] = base + own * sizes.rhs_outer;
    }
    var sums: array<vec4<f32>, ROWS>;
    for (var row = 0u; row < ROWS; row = row + 1u) { //@unroll
        sums[row] = vec4<f32>();
    }
    for (var k = (lane % LANES) * STEP; k < sizes.k; k = k + LANES * STEP) {
        let count = sizes.k - k;
        let inner = k * sizes.rhs_inner;
        let b0 = rhs_quads(false, starts[0] + inner, count);
        let b1 = rhs_quads(false, starts[1] + inner, count);
        let b2 = rhs_quads(true, starts[2] + inner, count);
        let b3 = rhs_quads(true, starts[3] + inner, count);
        for (var row = 0u; row < ROWS; row = row + 1u) { //@unroll
            // Rows outside repeat the last one and are not stored.
            let line = sizes.lhs_offset + min(row, sizes.rows - 1u) * sizes.k + k;
            for (var quad = 0u; quad < QUADS; quad = quad + 1u) { //@unroll
                let a = lhs_values(line + 4u * quad, count - 4u * quad);
                let products = vec4<f32>(
                    dot(a, b0[quad]), dot(a, b1[quad]), dot(a, b2[quad]), dot(a, b3[quad]));
                sums[row] = sums[row] + products;
            }
        }
    }
    sums = team_sums(lane, sums);
    if (lane % LANES != 0u) {
        return;
    }
    for (var row = 0u; row < ROWS; row = row + 1u) { //@unroll
        let at = sizes.result_offset + row * sizes.result_stride + column;
        var values = sums[row];
        if (SWIGLU) {
            let gated = values.xy / (vec2<f32>(1.0) + exp(-values.xy)) * values.zw;
            values = vec4<f32>(gated, 0.0, 0.0);
        }
        for (var c = 0u; c < RESULT_COLUMNS; c = c + 1u) { //@unroll
            if (row < sizes.rows && column + c < sizes.columns) {
                result[at + c] = values[c];
            }
        }
    }
//@end
}
