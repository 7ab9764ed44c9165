//! `exp` on SIMD lanes.

use pulp::Simd;

/// Below this argument the result is flushed to 0: `exp` of it is about the smallest normal f32.
const FLUSH_BELOW: f32 = -87.3;
/// Adding this to `|n| < 2^21` rounds `n` to an integer and leaves `n + 127` in the low mantissa
/// bits: 1.5 * 2^23 + 127, 127 the exponent bias.
const ROUND_AND_BIAS: f32 = 12_583_039.0;
/// ln 2 in two parts; the high one has few enough bits for its product with `n` to be exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// `exp(r) = 1 + r + r^2 p(r)` for `|r| <= ln 2 / 2`: the Cephes `expf` polynomial, highest first,
/// rounded to f32.
const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `exp(x)` for `x <= 88`, relative error about 1e-7. `-inf` and every `x` below -87.3 give 0, NaN
/// gives NaN.
#[inline(always)]
pub(super) fn exp_lanes<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let biased = simd.mul_add_e_f32s(
        x,
        simd.splat_f32s(std::f32::consts::LOG2_E),
        simd.splat_f32s(ROUND_AND_BIAS),
    );
    let n = simd.sub_f32s(biased, simd.splat_f32s(ROUND_AND_BIAS));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_LOW), r);
    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(*coefficient));
    }
    let p = simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), r);
    let p = simd.add_f32s(p, simd.splat_f32s(1.0));
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(biased), simd.splat_u32s(23));
    let value = simd.mul_f32s(p, simd.transmute_f32s_u32s(exponent));
    let flush = simd.less_than_f32s(x, simd.splat_f32s(FLUSH_BELOW));
    simd.select_f32s(flush, simd.splat_f32s(0.0), value)
}

/// [`exp_lanes`] of one number.
#[inline(always)]
pub(super) fn exp_scalar<S: Simd>(simd: S, x: f32) -> f32 {
    let lanes = exp_lanes(simd, simd.splat_f32s(x));
    bytemuck::cast_slice::<S::f32s, f32>(std::slice::from_ref(&lanes))[0]
}

/// The logistic function `1 / (1 + exp(-x))`, without overflow for any `x`.
#[inline(always)]
pub(super) fn sigmoid_lanes<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let small = exp_lanes(simd, simd.neg_f32s(simd.abs_f32s(x)));
    let positive = simd.greater_than_or_equal_f32s(x, simd.splat_f32s(0.0));
    simd.div_f32s(simd.select_f32s(positive, one, small), simd.add_f32s(one, small))
}

#[cfg(test)]
mod tests {
    use super::super::on_every_simd;
    use super::*;
    use pulp::WithSimd;

    struct Exp(f32);
    impl WithSimd for Exp {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            exp_scalar(simd, self.0)
        }
    }

    struct Sigmoid(f32);
    impl WithSimd for Sigmoid {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let lanes = sigmoid_lanes(simd, simd.splat_f32s(self.0));
            bytemuck::cast_slice::<S::f32s, f32>(std::slice::from_ref(&lanes))[0]
        }
    }

    #[test]
    fn relative_error_is_small() {
        for i in 0..200_000 {
            let x = -87.2 + i as f32 * (175.0 / 200_000.0);
            let exact = f64::from(x).exp();
            on_every_simd(
                || Exp(x),
                |found| {
                    let error = (f64::from(found) / exact - 1.0).abs();
                    assert!(error <= 2.0e-7, "exp({x}) = {found}, error {error}");
                },
            );
        }
    }

    #[test]
    fn limits() {
        let nan_with_payload = f32::from_bits(0x7fc0_0001);
        on_every_simd(|| Exp(f32::NEG_INFINITY), |v| assert_eq!(v, 0.0));
        on_every_simd(|| Exp(f32::MIN), |v| assert_eq!(v, 0.0));
        on_every_simd(|| Exp(-100.0), |v| assert_eq!(v, 0.0));
        on_every_simd(|| Exp(0.0), |v| assert_eq!(v, 1.0));
        on_every_simd(|| Exp(f32::NAN), |v| assert!(v.is_nan()));
        on_every_simd(|| Exp(nan_with_payload), |v| assert!(v.is_nan()));
        on_every_simd(|| Sigmoid(f32::INFINITY), |v| assert_eq!(v, 1.0));
        on_every_simd(|| Sigmoid(f32::NEG_INFINITY), |v| assert_eq!(v, 0.0));
        on_every_simd(|| Sigmoid(f32::NAN), |v| assert!(v.is_nan()));
    }

    #[test]
    fn sigmoid_is_exact_to_rounding() {
        for i in -800..800 {
            let x = i as f32 / 20.0;
            let exact = 1.0 / (1.0 + f64::from(-x).exp());
            on_every_simd(
                || Sigmoid(x),
                |found| {
                    assert!(
                        (f64::from(found) / exact - 1.0).abs() <= 4.0e-7,
                        "sigmoid({x}) = {found}"
                    );
                },
            );
        }
    }
}
