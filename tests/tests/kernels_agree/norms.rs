//! RMS norms, alone and behind a residual sum, and the gated linear unit.

use minuend::ir::ops::{RmsNorm, Slice};
use minuend::ir::{DType, Emit, Op, Real};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::ProblemBuilder;

use super::SIZES;

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

fn norm() -> RmsNorm {
    RmsNorm { epsilon: Real::new(1e-6) }
}

/// The mean of n squares is off by at most n + 1 roundings of itself, its root by half of that; the
/// root, two products and the quotient add theirs.
fn units(features: usize) -> f64 {
    features as f64 / 2.0 + 8.0
}

#[test]
fn rms_norm() {
    for features in [1, 7, 64, 65, 129] {
        for dtype in STORED {
            let mut b = ProblemBuilder::new(&format!("rms_norm {features} {dtype}"));
            let x = b.reals("x", &format!("B S {features}"));
            let w = b.weight("w", dtype, &[features]);
            let y = b.graph.value(Op::RmsNorm(norm()), &[x, w]).unwrap();
            b.relative(y, units(features));
            let packed = b.reals("packed", &format!("B S {}", 2 * features + 1));
            let part = Slice::range(2, features, 2 * features);
            let part = b.graph.slice(packed, part).unwrap();
            let y = b.graph.value(Op::RmsNorm(norm()), &[part, w]).unwrap();
            b.relative(y, units(features));
            let strided = b.reals("strided", &format!("{features} S B"));
            let strided = b.graph.transpose(strided, &[2, 1, 0]).unwrap();
            let y = b.graph.value(Op::RmsNorm(norm()), &[strided, w]).unwrap();
            b.relative(y, units(features));
            b.launches("rms_norm", 3);
            assert_agree(&b.finish(&SIZES));
        }
    }
}

#[test]
fn add_rms_norm() {
    for features in [2, 63, 64, 130] {
        for dtype in STORED {
            let mut b = ProblemBuilder::new(&format!("add_rms_norm {features} {dtype}"));
            let w = b.weight("w", dtype, &[features]);
            let (x, r) = (format!("B S {features}"), format!("S B {}", features + 3));
            let (x, r) = (b.reals("x", &x), b.reals("r", &r));
            let strided = b.graph.transpose(r, &[1, 0, 2]).unwrap();
            let strided = b.graph.slice(strided, Slice::range(2, 3, features + 3)).unwrap();
            for residual in [x, strided] {
                let node = b.graph.emit(Op::AddRmsNorm(norm()), &[x, residual, w]).unwrap();
                b.relative(node.result(0), 1.0);
                // The rounding of the sum reaches the norm through its element and its mean.
                b.relative(node.result(1), units(features) + 2.0);
            }
            b.launches("add_rms_norm", 2);
            assert_agree(&b.finish(&SIZES));
        }
    }
}

#[test]
fn swiglu() {
    for inner in [1, 7, 65] {
        let mut b = ProblemBuilder::new(&format!("swiglu {inner}"));
        let packed = b.reals("packed", &format!("B S {}", 2 * inner));
        let gate = b.graph.slice(packed, Slice::range(2, 0, inner)).unwrap();
        let up = b.graph.slice(packed, Slice::range(2, inner, 2 * inner)).unwrap();
        let strided = b.reals("strided", &format!("{inner} S B"));
        let strided = b.graph.transpose(strided, &[2, 1, 0]).unwrap();
        for (gate, up) in [(gate, up), (up, strided), (strided, gate)] {
            let y = b.graph.value(Op::Swiglu, &[gate, up]).unwrap();
            // As a sigmoid, and two products.
            b.relative(y, 10.0);
        }
        b.launches("swiglu", 3);
        assert_agree(&b.finish(&SIZES));
    }
}
