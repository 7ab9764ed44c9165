// Rotary position embedding: one invocation rotates one pair of features of one head of one token.
//
// An angle is a position times a frequency. The frequency is a 64-bit fraction of a turn, so the product
// of integers modulo 2^64 is the fraction of a turn to go, however many turns there were.

const INTERLEAVED: bool = false; //@param

struct Sizes {
    first_group: u32,
    rotations: u32,
    pairs: u32,
    heads: u32,
    tokens: u32,
    x_offset: u32,
    x_batch: u32,
    x_head: u32,
    x_token: u32,
    positions_offset: u32,
    positions_batch: u32,
    result_offset: u32,
    result_batch: u32,
    result_head: u32,
    result_token: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<f32>; //@access
@group(0) @binding(2) var<storage, read_write> positions: array<vec2<u32>>; //@access
@group(0) @binding(3) var<storage, read_write> frequencies: array<vec2<u32>>; //@access
@group(0) @binding(4) var<storage, read_write> result: array<f32>; //@access

//@region library
fn mul_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return a * b;
}

fn sin_cos_of_turn(turn: vec2<u32>) -> vec2<f32> {
    let angle = f32(turn.y) * (6.2831855 / 4294967296.0);
    return vec2<f32>(sin(angle), cos(angle));
}
//@end

const GROUP_SIZE: u32 = 64u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rotation = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    if (rotation >= sizes.rotations) {
        return;
    }
    // Pairs, then heads, then tokens, then the batch: the order in which results are stored.
    let pair = rotation % sizes.pairs;
    var rest = rotation / sizes.pairs;
    let head = rest % sizes.heads;
    rest = rest / sizes.heads;
    let token = rest % sizes.tokens;
    let batch = rest / sizes.tokens;

    let position = positions[sizes.positions_offset + batch * sizes.positions_batch + token];
    let rotated = sin_cos_of_turn(mul_i64(position, frequencies[pair]));
    let first = select(pair, 2u * pair, INTERLEAVED);
    let second = select(pair + sizes.pairs, 2u * pair + 1u, INTERLEAVED);
    let x_at = sizes.x_offset + batch * sizes.x_batch + head * sizes.x_head + token * sizes.x_token;
    let a = x[x_at + first];
    let b = x[x_at + second];
    let result_at = sizes.result_offset + batch * sizes.result_batch + head * sizes.result_head
        + token * sizes.result_token;
    result[result_at + first] = a * rotated.y - b * rotated.x;
    result[result_at + second] = a * rotated.x + b * rotated.y;
}
