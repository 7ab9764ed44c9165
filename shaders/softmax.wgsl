// e^(x - max) / sum e^(x - max) along one axis. A row is what lies along the axis; LANES invocations
// share it, one or a whole workgroup. A row of nothing but -infinity gives NaN, by the difference.

const GROUP_SIZE: u32 = 64u; //@param
const LANES: u32 = 1u; //@param

struct Sizes {
    first_group: u32,
    rows: u32,
    rank: u32,
    length: u32,
    x_step: u32,
    result_step: u32,
    x_offset: u32,
    result_offset: u32,
    // -infinity, for which WGSL has no constant.
    least: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    shape: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
    result_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<f32>; //@access
@group(0) @binding(2) var<storage, read_write> result: array<f32>; //@access

//@region library
fn exp_f32(x: f32) -> f32 {
    return exp(x);
}

fn larger(a: f32, b: f32) -> f32 {
    return max(a, b);
}

fn lanes_max(lane: u32, value: f32) -> f32 {
    return value;
}

fn lanes_sum(lane: u32, value: f32) -> f32 {
    return value;
}
//@end

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (sizes.first_group + group.x) * (GROUP_SIZE / LANES) + lane / LANES;
    var rest = row;
    var x_at = sizes.x_offset;
    var result_at = sizes.result_offset;
    for (var axis = i32(sizes.rank) - 1; axis >= 0; axis = axis - 1) {
        let size = sizes.shape[axis / 4][axis % 4];
        let index = rest % size;
        rest = rest / size;
        x_at = x_at + index * sizes.x_strides[axis / 4][axis % 4];
        result_at = result_at + index * sizes.result_strides[axis / 4][axis % 4];
    }
    let first = lane % LANES;
    let end = select(0u, sizes.length, row < sizes.rows);
    var most = sizes.least;
    for (var index = first; index < end; index = index + LANES) {
        most = larger(most, x[x_at + index * sizes.x_step]);
    }
    most = lanes_max(lane, most);
    var sum = 0.0;
    for (var index = first; index < end; index = index + LANES) {
        sum = sum + exp_f32(x[x_at + index * sizes.x_step] - most);
    }
    sum = lanes_sum(lane, sum);
    for (var index = first; index < end; index = index + LANES) {
        let power = exp_f32(x[x_at + index * sizes.x_step] - most);
        result[result_at + index * sizes.result_step] = power / sum;
    }
}
