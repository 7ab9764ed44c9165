// Consecutive 64-bit integers, low word first: start, start + 1, ...

struct Sizes {
    first_group: u32,
    elements: u32,
    offset: u32,
    start_low: u32,
    start_high: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> result: array<vec2<u32>>; //@access

const GROUP_SIZE: u32 = 64u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let element = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    if (element >= sizes.elements) {
        return;
    }
    let low = sizes.start_low + element;
    let carry = select(0u, 1u, low < element);
    result[sizes.offset + element] = vec2<u32>(low, sizes.start_high + carry);
}
