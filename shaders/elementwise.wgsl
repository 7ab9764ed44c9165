// Functions of elements at the same index: one invocation computes one word or two of the result, which
// is one element, or four truth values. The function is generated.

const RANK: u32 = 1u; //@param
// One bit for each operand that is only read.
const READ_ONLY: u32 = 0u; //@param

//@region bindings
struct Sizes {
    first_group: u32,
    elements: u32,
    invocations: u32,
    result_offset: u32,
    offsets: array<vec4<u32>, 1>,
    shape: array<vec4<u32>, 1>,
    strides: array<vec4<u32>, 1>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x0: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
//@end

//@region value
fn value_at(element: u32) -> f32 {
    return x0[sizes.offsets[0].x + element * sizes.strides[0].x];
}
//@end

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let invocation = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    if (invocation >= sizes.invocations) {
        return;
    }
    //@region store
    result[sizes.result_offset + invocation] = value_at(invocation);
    //@end
}
