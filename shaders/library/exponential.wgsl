// NaN is told from the bits: implementations may compare as if there were none.
fn is_nan_f32(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// e^x as 2^n e^r with |r| <= ln(2)/2. The polynomial is that of Cephes' expf.
fn exp_f32(x: f32) -> f32 {
    // Beyond these ends the result is 0 or infinite.
    let inside = clamp(x, -104.0, 89.0);
    let n = round(inside * 1.4426950);
    // ln 2 in two parts: n times the first is exact.
    let r = (inside - n * 0.693359375) + n * 2.12194440e-4;
    var sum = 1.9875691500e-4 * r + 1.3981999507e-3;
    sum = sum * r + 8.3334519073e-3;
    sum = sum * r + 4.1665795894e-2;
    sum = sum * r + 1.6666665459e-1;
    sum = sum * r + 5.0000001201e-1;
    sum = sum * r * r + r + 1.0;
    // 2^n may be outside the normal range, its two halves are not.
    let half = i32(n) / 2;
    let first = bitcast<f32>(u32(half + 127) << 23u);
    let second = bitcast<f32>(u32(i32(n) - half + 127) << 23u);
    return select(sum * first * second, x, is_nan_f32(x));
}
