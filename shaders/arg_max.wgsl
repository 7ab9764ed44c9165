// Index of the largest finite element along one axis, of equals the lowest; -1 if none is finite. One
// workgroup for each row along the axis.

struct Sizes {
    first_group: u32,
    rank: u32,
    length: u32,
    step: u32,
    x_offset: u32,
    result_offset: u32,
    unused_0: u32,
    unused_1: u32,
    shape: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<f32>; //@access
// Low word, high word.
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>; //@access

const GROUP_SIZE: u32 = 256u;
const NONE: u32 = 0xffffffffu;

var<workgroup> values: array<f32, GROUP_SIZE>;
var<workgroup> indices: array<u32, GROUP_SIZE>;

// True if a value comes before another with its index. NONE comes behind everything.
fn is_before(value: f32, index: u32, other: f32, other_index: u32) -> bool {
    if (index == NONE || other_index == NONE) {
        return index != NONE;
    }
    return value > other || (value == other && index < other_index);
}

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
    var most = 0.0;
    var best = NONE;
    for (var index = lane; index < sizes.length; index = index + GROUP_SIZE) {
        let value = x[x_at + index * sizes.step];
        let is_finite = (bitcast<u32>(value) & 0x7fffffffu) < 0x7f800000u;
        // Indices ascend: an equal value behind is not the lowest.
        if (is_finite && (best == NONE || value > most)) {
            most = value;
            best = index;
        }
    }
    values[lane] = most;
    indices[lane] = best;
    for (var half = GROUP_SIZE / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (lane < half) {
            let other = values[lane + half];
            let other_index = indices[lane + half];
            if (is_before(other, other_index, values[lane], indices[lane])) {
                values[lane] = other;
                indices[lane] = other_index;
            }
        }
    }
    if (lane == 0u) {
        let found = indices[0];
        result[sizes.result_offset + row] = vec2<u32>(found, select(0u, NONE, found == NONE));
    }
}
