//! Activation functions.

use std::f64::consts::{E, PI};

use minuend_tests::onnx::writer::{real, reals, text};

use crate::case::{Case, case};

const X: [f64; 4] = [-2.0, -0.5, 0.0, 3.0];

fn of(op: &'static str, what: &'static str, f: impl Fn(f64) -> f64) -> Case {
    case(op, what).of(reals(&[2, 2], &X)).gives(reals(&[2, 2], &X.map(f)))
}

/// `(1 + erf(x / sqrt 2)) / 2` at [`X`]: the normal distribution, from tables.
const NORMAL: [f64; 4] = [0.022750131948, 0.308537538726, 0.5, 0.998650101968];

pub(crate) fn cases() -> Vec<Case> {
    let sigmoid = |x: f64| 1.0 / (1.0 + E.powf(-x));
    let gelu = [0, 1, 2, 3].map(|at| X[at] * NORMAL[at]);
    let tanh_gelu =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh());
    vec![
        of("Relu", "each element", |x| if x > 0.0 { x } else { 0.0 }),
        of("LeakyRelu", "the default slope", |x| if x < 0.0 { 0.01 * x } else { x }),
        of("LeakyRelu", "another slope", |x| if x < 0.0 { 0.25 * x } else { x })
            .with(real("alpha", 0.25)),
        case("Gelu", "exact").opset(20).of(reals(&[2, 2], &X)).gives(reals(&[2, 2], &gelu)),
        of("Gelu", "by a hyperbolic tangent", tanh_gelu)
            .opset(20)
            .with(text("approximate", "tanh")),
        of("Softplus", "each element", |x| (1.0 + E.powf(x)).ln()),
        case("Softplus", "of large numbers")
            .of(reals(&[2], &[800.0, -800.0]))
            .gives(reals(&[2], &[800.0, 0.0])),
        of("HardSigmoid", "the default line", |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        of("HardSigmoid", "another line", |x| (0.5 * x + 0.25).clamp(0.0, 1.0))
            .with(real("alpha", 0.5))
            .with(real("beta", 0.25)),
        of("Swish", "the default factor", |x| x * sigmoid(x)).opset(23),
        of("Swish", "another factor", |x| x * sigmoid(1.5 * x)).opset(23).with(real("alpha", 1.5)),
    ]
}
