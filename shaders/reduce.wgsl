// Sum, mean or largest element along one axis. A row is what lies along the axis; LANES invocations share
// it, one or a whole workgroup.

const GROUP_SIZE: u32 = 64u; //@param
const LANES: u32 = 1u; //@param
const IS_MAX: bool = false; //@param

struct Sizes {
    first_group: u32,
    rows: u32,
    rank: u32,
    length: u32,
    step: u32,
    x_offset: u32,
    result_offset: u32,
    // What a sum is divided by.
    divisor: f32,
    // The result of nothing, before the division.
    start: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    shape: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<f32>; //@access
@group(0) @binding(2) var<storage, read_write> result: array<f32>; //@access

//@region combine
fn combine(a: f32, b: f32) -> f32 {
    return a + b;
}

fn combine_lanes(lane: u32, value: f32) -> f32 {
    return value;
}
//@end

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (sizes.first_group + group.x) * (GROUP_SIZE / LANES) + lane / LANES;
    let is_row = row < sizes.rows;
    var rest = row;
    var x_at = sizes.x_offset;
    for (var axis = i32(sizes.rank) - 1; axis >= 0; axis = axis - 1) {
        let size = sizes.shape[axis / 4][axis % 4];
        x_at = x_at + (rest % size) * sizes.x_strides[axis / 4][axis % 4];
        rest = rest / size;
    }
    var value = sizes.start;
    let end = select(0u, sizes.length, is_row);
    for (var index = lane % LANES; index < end; index = index + LANES) {
        value = combine(value, x[x_at + index * sizes.step]);
    }
    value = combine_lanes(lane, value);
    if (is_row && lane % LANES == 0u) {
        result[sizes.result_offset + row] = select(value / sizes.divisor, value, IS_MAX);
    }
}
