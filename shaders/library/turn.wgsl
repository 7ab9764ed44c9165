// Sine and cosine of an angle of at most an eighth of a turn, in radians. Polynomials of Cephes' sinf
// and cosf.
fn sin_cos_of_eighth(angle: f32) -> vec2<f32> {
    let square = angle * angle;
    let s = ((-1.9515295891e-4 * square + 8.3321608736e-3) * square - 1.6666654611e-1) * square;
    let c = ((2.443315711809948e-5 * square - 1.388731625493765e-3) * square + 4.166664568298827e-2);
    return vec2<f32>(angle + angle * s, 1.0 - (0.5 * square - c * square * square));
}

// Sine and cosine of a quarter turns further.
fn quarters_further(sin_cos: vec2<f32>, quarters: u32) -> vec2<f32> {
    let swapped = select(sin_cos, sin_cos.yx, (quarters & 1u) != 0u);
    let sine = select(swapped.x, -swapped.x, (quarters & 2u) != 0u);
    let cosine = select(swapped.y, -swapped.y, ((quarters + 1u) & 2u) != 0u);
    return vec2<f32>(sine, cosine);
}

// Sine and cosine of a turn's fraction in units of 2^-64 turns: low word, high word.
fn sin_cos_of_turn(turn: vec2<u32>) -> vec2<f32> {
    let quarters = (turn.y + 0x20000000u) >> 30u;
    // What is left is within an eighth of a turn on either side.
    var high = turn.y - (quarters << 30u);
    var low = turn.x;
    let is_negative = (high & 0x80000000u) != 0u;
    if (is_negative) {
        high = ~high + select(0u, 1u, low == 0u);
        low = ~low + 1u;
    }
    // The leading 32 bits, so that small fractions keep their precision; high has two leading zeros at
    // least.
    var zeros = 32u;
    var leading = low;
    if (high != 0u) {
        zeros = countLeadingZeros(high);
        leading = (high << zeros) | (low >> (32u - zeros));
    }
    // 2 pi 2^-32, then 2^-zeros.
    let size = f32(leading) * 1.4629180792671596e-9 * bitcast<f32>((127u - zeros) << 23u);
    let angle = select(size, -size, is_negative);
    return quarters_further(sin_cos_of_eighth(angle), quarters);
}
