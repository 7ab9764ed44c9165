// Sine and cosine of radians. What is left of the turns is found in integers, for floats of any size.

// The fraction of a turn that a number of at least 1/2 in size makes, in units of 2^-64 turns (Payne and
// Hanek, 1983): the product of its 24 bits with those bits of 1/(2 pi) that are left modulo 1.
fn turn_of_radians(size: f32) -> vec2<u32> {
    var inverse = array<u32, 8>(
        0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau,
    );
    let bits = bitcast<u32>(size);
    // size = significand 2^(exponent - 32)
    let significand = (bits << 8u) | 0x80000000u;
    let exponent = min((bits >> 23u) - 126u, 128u);
    let word = exponent / 32u;
    let shift = exponent % 32u;
    var high = inverse[word];
    var middle = inverse[word + 1u];
    var low = inverse[word + 2u];
    if (shift != 0u) {
        high = (high << shift) | (middle >> (32u - shift));
        middle = (middle << shift) | (low >> (32u - shift));
        low = (low << shift) | (inverse[word + 3u] >> (32u - shift));
    }
    let lowest = wide_product(significand, low).y;
    let lower = wide_product(significand, middle);
    let sum = lower.x + lowest;
    return vec2<u32>(sum, significand * high + lower.y + select(0u, 1u, sum < lowest));
}

fn sin_cos_f32(x: f32) -> vec2<f32> {
    let size = abs(x);
    let bits = bitcast<u32>(size);
    if (bits >= 0x7f800000u) {
        return vec2<f32>(bitcast<f32>(bits | 0x7fc00000u));
    }
    if (size < 0.78) {
        return sin_cos_of_eighth(x);
    }
    let of_size = sin_cos_of_turn(turn_of_radians(size));
    return vec2<f32>(select(of_size.x, -of_size.x, x < 0.0), of_size.y);
}
