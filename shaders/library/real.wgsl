// Functions of 32-bit floats, good to a few units in the last place. What is NaN is told from the bits:
// implementations may compare as if there were none.

// Infinity is made of a value that is known at run time only: WGSL has no constant for it.
fn infinity_like(x: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | 0x7f800000u);
}

fn nan_like(x: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | 0x7fc00000u);
}

// a / b. WGSL promises a quotient for divisors up to 2^126 alone: a larger one is made smaller, and a
// with it.
fn div_f32(a: f32, b: f32) -> f32 {
    let scale = select(1.0, 0.0625, abs(b) > 8.507059e37);
    return (a * scale) / (b * scale);
}

// The larger; NaN if either is NaN, and 0 of 0 and -0.
fn max_f32(a: f32, b: f32) -> f32 {
    let is_first = a > b || (a == b && (bitcast<u32>(b) >> 31u) != 0u);
    return select(select(select(b, a, is_first), b, is_nan_f32(b)), a, is_nan_f32(a));
}

fn min_f32(a: f32, b: f32) -> f32 {
    return -max_f32(-a, -b);
}

// A positive finite number as 2^n (1 + z), z from sqrt(1/2) - 1 to sqrt(2) - 1: (n, z).
fn exponent_and_rest(x: f32) -> vec2<f32> {
    var bits = bitcast<u32>(x);
    var exponent = -127;
    if (bits < 0x800000u) {
        // Below the normal range the bits count units of 2^-149.
        bits = bitcast<u32>(f32(bits));
        exponent = -127 - 149;
    }
    exponent = exponent + i32(bits >> 23u);
    var mantissa = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
    if (mantissa > 1.4142135) {
        mantissa = mantissa * 0.5;
        exponent = exponent + 1;
    }
    return vec2<f32>(f32(exponent), mantissa - 1.0);
}

// (ln(1 + z) - z + z^2/2) / z^3, as in Cephes' logf.
fn log_tail(z: f32) -> f32 {
    var sum = 7.0376836292e-2 * z - 1.1514610310e-1;
    sum = sum * z + 1.1676998740e-1;
    sum = sum * z - 1.2420140846e-1;
    sum = sum * z + 1.4249322787e-1;
    sum = sum * z - 1.6668057665e-1;
    sum = sum * z + 2.0000714765e-1;
    sum = sum * z - 2.4999993993e-1;
    return sum * z + 3.3333331174e-1;
}

fn log_f32(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if ((bits & 0x7fffffffu) == 0u) {
        return -infinity_like(abs(x));
    }
    if (bits >= 0x7f800000u) {
        // Infinity and NaN stay; what is below 0 has no logarithm.
        return select(x, nan_like(x), (bits >> 31u) != 0u);
    }
    let parts = exponent_and_rest(x);
    let n = parts.x;
    let z = parts.y;
    let tail = z * z * z * log_tail(z) - 2.12194440e-4 * n - 0.5 * z * z;
    return (z + tail) + 0.693359375 * n;
}

// The upper 12 bits of the significand: products of two such numbers are exact.
fn upper_part(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// The product of two floats as its upper part and what that is short of. Taking the upper part keeps an
// implementation that reorders sums from finding that the rest is zero.
fn exact_product(a: f32, b: f32) -> vec2<f32> {
    let a_upper = upper_part(a);
    let b_upper = upper_part(b);
    let a_lower = a - a_upper;
    let b_lower = b - b_upper;
    let product = upper_part(a * b);
    let rest = ((a_upper * b_upper - product) + a_upper * b_lower + a_lower * b_upper)
        + a_lower * b_lower;
    return vec2<f32>(product, rest);
}

// The sum of two floats as its upper part and what that is short of.
fn exact_sum(a: f32, b: f32) -> vec2<f32> {
    let sum = upper_part(a + b);
    return vec2<f32>(sum, select((b - sum) + a, (a - sum) + b, abs(a) > abs(b)));
}

// x^y for a positive finite x other than 1 and a finite y. The logarithm is kept as a sum of two floats,
// since y multiplies its error.
fn pow_of_positive(x: f32, y: f32) -> f32 {
    let parts = exponent_and_rest(x);
    let n = parts.x;
    let z = parts.y;
    let square = exact_product(z, z);
    let first = exact_sum(0.693359375 * n, z);
    let second = exact_sum(first.x, -0.5 * square.x);
    let rest = first.y + second.y - 0.5 * square.y - 2.12194440e-4 * n
        + z * z * z * log_tail(z);
    let logarithm = exact_sum(second.x, rest);
    let estimate = y * logarithm.x;
    if (abs(estimate) > 200.0) {
        return exp_f32(estimate);
    }
    let product = exact_product(y, logarithm.x);
    // At most 2^-11 of the product.
    let small = product.y + y * logarithm.y;
    return exp_f32(product.x) * (1.0 + small * (1.0 + small * (0.5 + small * 0.16666667)));
}

// As C's powf.
fn pow_f32(x: f32, y: f32) -> f32 {
    if (y == 0.0 || (x == 1.0 && !is_nan_f32(x))) {
        return 1.0;
    }
    if (is_nan_f32(x) || is_nan_f32(y)) {
        return nan_like(x);
    }
    let size = abs(x);
    let x_is_infinite = bitcast<u32>(size) == 0x7f800000u;
    let y_is_infinite = bitcast<u32>(abs(y)) == 0x7f800000u;
    // Floats of 2^24 and above are even.
    let is_integer = abs(y) >= 16777216.0 || trunc(y) == y;
    let is_odd = is_integer && abs(y) < 16777216.0 && (i32(y) & 1) == 1;
    var power = 1.0;
    if (size == 0.0 || x_is_infinite || (y_is_infinite && size != 1.0)) {
        let is_large = (size > 1.0) == (y > 0.0);
        power = select(0.0, infinity_like(size), is_large);
    } else if (size != 1.0) {
        power = pow_of_positive(size, y);
    }
    if ((bitcast<u32>(x) >> 31u) == 0u) {
        return power;
    }
    if (!is_integer && size != 0.0 && !x_is_infinite) {
        return nan_like(x);
    }
    return select(power, -power, is_odd);
}

// Of the two forms 1 / (1 + e^-x) and e^x / (1 + e^x) the one that does not overflow.
fn sigmoid_f32(x: f32) -> f32 {
    let power = exp_f32(-abs(x));
    return select(1.0, power, x < 0.0) / (1.0 + power);
}

fn silu_f32(x: f32) -> f32 {
    return x * sigmoid_f32(x);
}

// The polynomial is that of Cephes' tanhf.
fn tanh_f32(x: f32) -> f32 {
    let size = abs(x);
    if (size < 0.625) {
        let square = x * x;
        var sum = -5.70498872745e-3 * square + 2.06390887954e-2;
        sum = sum * square - 5.37397155531e-2;
        sum = sum * square + 1.33314422036e-1;
        sum = sum * square - 3.33332819422e-1;
        return x + x * square * sum;
    }
    let value = 1.0 - 2.0 / (exp_f32(2.0 * size) + 1.0);
    return select(value, -value, x < 0.0);
}

// The error function. Both polynomials are interpolations at Chebyshev nodes: of erf(x)/x - 1 in x^2, and of
// -ln(1 - erf(x)), which behind 4 leaves nothing of a float next to 1.
fn erf_f32(x: f32) -> f32 {
    let size = abs(x);
    if (size < 0.9486) {
        let square = x * x;
        var sum = 8.212780533e-5;
        sum = sum * square - 0.0008105054511;
        sum = sum * square + 0.005197684914;
        sum = sum * square - 0.02685804248;
        sum = sum * square + 0.1128367104;
        sum = sum * square - 0.3761263215;
        sum = sum * square + 0.1283791665;
        // The product alone may be below the normal range where the result is not.
        return select(x + x * sum, x * (1.0 + sum), size < 1e-30);
    }
    let t = min(size, 4.0);
    var sum = -1.643188503e-6;
    sum = sum * t + 4.617359212e-5;
    sum = sum * t - 0.0005977387719;
    sum = sum * t + 0.004763726759;
    sum = sum * t - 0.02643202139;
    sum = sum * t + 0.1100974143;
    sum = sum * t + 0.6318099787;
    sum = sum * t + 1.130241215;
    sum = sum * t - 0.0003215876866;
    let value = 1.0 - exp_f32(-sum);
    return select(select(value, -value, x < 0.0), x, is_nan_f32(x));
}
