// Copies a strided tensor whose elements are half a word or a quarter of one. Invocations that write
// parts of one word meet there, so the word is changed by atomic operations.

const RANK: u32 = 2u; //@param
const BITS: u32 = 16u; //@param

const_assert BITS == 8u || BITS == 16u;
const PER_WORD: u32 = 32u / BITS;
const MASK: u32 = (1u << BITS) - 1u;

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
@group(0) @binding(1) var<storage, read_write> source: array<u32>; //@access
@group(0) @binding(2) var<storage, read_write> destination: array<atomic<u32>>;

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
    let value = (source[read_at / PER_WORD] >> ((read_at % PER_WORD) * BITS)) & MASK;
    let shift = (written_at % PER_WORD) * BITS;
    atomicAnd(&destination[written_at / PER_WORD], ~(MASK << shift));
    atomicOr(&destination[written_at / PER_WORD], value << shift);
}
