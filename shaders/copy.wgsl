// Copies a strided tensor, element by element. An element is one or two words.

const RANK: u32 = 2u; //@param
alias Elem = u32; //@param

struct Sizes {
    first_group: u32,
    elements: u32,
    from_offset: u32,
    to_offset: u32,
    shape: array<vec4<u32>, 2>,
    from_strides: array<vec4<u32>, 2>,
    to_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> source: array<Elem>; //@access
@group(0) @binding(2) var<storage, read_write> destination: array<Elem>; //@access

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let element = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    if (element >= sizes.elements) {
        return;
    }
    var rest = element;
    var read_at = sizes.from_offset;
    var written_at = sizes.to_offset;
    for (var axis = i32(RANK) - 1; axis >= 0; axis = axis - 1) {
        let size = sizes.shape[axis / 4][axis % 4];
        let index = rest % size;
        rest = rest / size;
        read_at = read_at + index * sizes.from_strides[axis / 4][axis % 4];
        written_at = written_at + index * sizes.to_strides[axis / 4][axis % 4];
    }
    destination[written_at] = source[read_at];
}
