// The larger; NaN if either is NaN. Told from the bits: implementations may compare as if there were none.
fn larger(a: f32, b: f32) -> f32 {
    let b_is_nan = (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u;
    let a_is_nan = (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u;
    return select(select(select(b, a, a > b), b, b_is_nan), a, a_is_nan);
}
