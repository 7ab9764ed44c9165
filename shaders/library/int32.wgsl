// 32-bit integers.

// Truncates towards zero; 0 for a division by zero, and the least integer divided by -1 wraps.
fn div_i32(a: i32, b: i32) -> i32 {
    let negated = bitcast<i32>(0u - bitcast<u32>(a));
    // The divisor is replaced where the quotient is not used.
    let quotient = a / select(b, 1, b == 0 || b == -1);
    return select(select(quotient, negated, b == -1), 0, b == 0);
}

// Truncates towards zero and saturates; 0 for NaN.
fn i32_of_f32(a: f32) -> i32 {
    let is_nan = (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u;
    let inside = select(select(a, 0.0, is_nan), 0.0, a >= 2147483648.0 || a < -2147483648.0);
    let limit = select(i32(inside), 2147483647, a >= 2147483648.0);
    return select(select(limit, -2147483647 - 1, a < -2147483648.0), 0, is_nan);
}
