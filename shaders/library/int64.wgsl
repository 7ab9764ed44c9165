// 64-bit integers: low word, high word, in two's complement. Arithmetic wraps.

fn add_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn neg_i64(a: vec2<u32>) -> vec2<u32> {
    return sub_i64(vec2<u32>(0u, 0u), a);
}

fn is_negative_i64(a: vec2<u32>) -> bool {
    return (a.y >> 31u) != 0u;
}

fn abs_i64(a: vec2<u32>) -> vec2<u32> {
    return select(a, neg_i64(a), is_negative_i64(a));
}

fn equal_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x == b.x && a.y == b.y;
}

fn less_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return select(bitcast<i32>(a.y) < bitcast<i32>(b.y), a.x < b.x, a.y == b.y);
}

fn max_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, less_i64(a, b));
}

fn min_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(b, a, less_i64(a, b));
}

// Truncates towards zero; 0 for a division by zero.
fn div_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if ((b.x | b.y) == 0u) {
        return vec2<u32>(0u, 0u);
    }
    let divisor = abs_i64(b);
    var rest = vec2<u32>(0u, 0u);
    // The dividend leaves at the upper end bit by bit while the quotient enters at the lower.
    var quotient = abs_i64(a);
    for (var bit = 0u; bit < 64u; bit = bit + 1u) {
        rest = vec2<u32>((rest.x << 1u) | (quotient.y >> 31u), (rest.y << 1u) | (rest.x >> 31u));
        quotient = vec2<u32>(quotient.x << 1u, (quotient.y << 1u) | (quotient.x >> 31u));
        // The divisor is at most 2^63, so the doubled rest is below 2^64.
        if (rest.y > divisor.y || (rest.y == divisor.y && rest.x >= divisor.x)) {
            rest = sub_i64(rest, divisor);
            quotient.x = quotient.x | 1u;
        }
    }
    return select(quotient, neg_i64(quotient), is_negative_i64(a) != is_negative_i64(b));
}

fn i64_of_i32(a: i32) -> vec2<u32> {
    return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u));
}

// Truncates towards zero and saturates; 0 for NaN.
fn i64_of_f32(a: f32) -> vec2<u32> {
    let bits = bitcast<u32>(a);
    let exponent = i32((bits >> 23u) & 0xffu) - 127;
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let is_negative = (bits >> 31u) != 0u;
    if ((bits & 0x7fffffffu) > 0x7f800000u || exponent < 0) {
        return vec2<u32>(0u, 0u);
    }
    if (exponent >= 63) {
        return select(vec2<u32>(0xffffffffu, 0x7fffffffu), vec2<u32>(0u, 0x80000000u), is_negative);
    }
    var size = vec2<u32>(0u, 0u);
    if (exponent < 32) {
        // 24 bits at the upper end of a word of 32 move down by 0 to 31.
        size.x = (mantissa << 8u) >> (31u - u32(exponent));
    } else {
        let shift = u32(exponent) - 31u;
        size = vec2<u32>((mantissa << 8u) << (shift & 31u), (mantissa << 8u) >> (32u - shift));
        if (shift == 32u) {
            size = vec2<u32>(0u, mantissa << 8u);
        }
    }
    return select(size, neg_i64(size), is_negative);
}

// Rounded once.
fn f32_of_i64(a: vec2<u32>) -> f32 {
    let size = abs_i64(a);
    var value = f32(size.x);
    if (size.y != 0u) {
        let zeros = countLeadingZeros(size.y);
        var leading = size.y;
        var cut_off = size.x;
        if (zeros != 0u) {
            leading = (size.y << zeros) | (size.x >> (32u - zeros));
            cut_off = size.x << zeros;
        }
        // Its last bit stands for all that is cut off: it lies far below the 24 bits that are kept.
        leading = leading | select(0u, 1u, cut_off != 0u);
        value = f32(leading) * bitcast<f32>((127u + 32u - zeros) << 23u);
    }
    return select(value, -value, is_negative_i64(a));
}
