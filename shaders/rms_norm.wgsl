// Rows divided by their root mean square, times a weight: one workgroup for each row.
//
// Offsets and strides count values, which are as wide as the widest loads that all tensors allow.
// Squares are summed in f32, so magnitudes must stay below 1e18.

const GROUP_SIZE: u32 = 64u; //@param
alias Value = f32; //@param
alias Stored = f32; //@param
const BF16: bool = false; //@param

struct Sizes {
    first_group: u32,
    rank: u32,
    values: u32,
    x_offset: u32,
    weight_offset: u32,
    result_offset: u32,
    inverse_length: f32,
    epsilon: f32,
    shape: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<Value>; //@access
@group(0) @binding(2) var<storage, read_write> weight: array<Stored>; //@access
@group(0) @binding(3) var<storage, read_write> result: array<Value>; //@access

//@region value
fn square(value: f32) -> f32 {
    return value * value;
}

fn weight_at(index: u32) -> f32 {
    return weight[sizes.weight_offset + index];
}
//@end

//@region group_sum
fn group_sum(lane: u32, value: f32) -> f32 {
    return value * f32(GROUP_SIZE);
}
//@end

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = sizes.first_group + group.x;
    var rest = row;
    var x_at = sizes.x_offset;
    for (var axis = i32(sizes.rank) - 1; axis >= 0; axis = axis - 1) {
        let size = sizes.shape[axis / 4][axis % 4];
        x_at = x_at + (rest % size) * sizes.x_strides[axis / 4][axis % 4];
        rest = rest / size;
    }
    var squares = 0.0;
    for (var index = lane; index < sizes.values; index = index + GROUP_SIZE) {
        squares = squares + square(x[x_at + index]);
    }
    let mean = group_sum(lane, squares) * sizes.inverse_length;
    let scale = 1.0 / sqrt(mean + sizes.epsilon);
    let result_at = sizes.result_offset + row * sizes.values;
    for (var index = lane; index < sizes.values; index = index + GROUP_SIZE) {
        result[result_at + index] = x[x_at + index] * scale * weight_at(index);
    }
}
