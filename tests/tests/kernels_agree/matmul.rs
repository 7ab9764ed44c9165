//! Matrix products, of activations and with stored weights.

use minuend::ir::ops::{Matmul, Slice};
use minuend::ir::{DType, Emit, Op, ValueId};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::ProblemBuilder;

use super::{SIZES, SMALL_SIZES};

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// A sum of k products in any order is off by at most k roundings of the sum of magnitudes.
fn product(b: &mut ProblemBuilder, x: ValueId, y: ValueId, transpose_rhs: bool, k: f64) {
    let op = Op::Matmul(Matmul { transpose_rhs });
    let value = b.graph.value(op.clone(), &[x, y]).unwrap();
    // The magnitude is the product of absolute values, in f32 as the interpreter holds them.
    let wide = b.graph.cast(y, DType::F32).unwrap();
    let (x, y) = (b.abs(x), b.abs(wide));
    let magnitude = b.graph.value(op, &[x, y]).unwrap();
    b.within(value, k + 1.0, magnitude);
}

#[test]
fn stored_weights() {
    for (k, n) in [(0, 4), (1, 1), (7, 2), (64, 65), (65, 129), (130, 63)] {
        for dtype in STORED {
            let mut b = ProblemBuilder::new(&format!("weight {k}x{n} {dtype}"));
            let x = b.reals("x", &format!("B S {k}"));
            let transposed = b.weight("t", dtype, &[n, k]);
            product(&mut b, x, transposed, true, k as f64);
            let plain = b.weight("w", dtype, &[k, n]);
            product(&mut b, x, plain, false, k as f64);
            // Rows that are not dense: the last of each sequence.
            let tokens = b.shape("S")[0].clone();
            let last = Slice::range(1, &tokens + -1, tokens);
            let last = b.graph.slice(x, last).unwrap();
            product(&mut b, last, transposed, true, k as f64);
            assert_agree(&b.finish(&SIZES));
        }
    }
}

#[test]
fn packed_weights() {
    for dtype in STORED {
        let mut b = ProblemBuilder::new(&format!("packed {dtype}"));
        let x = b.reals("x", "B S 48");
        // Parts end within tiles.
        let packed = b.packed_weight(&["q", "k", "v"], dtype, &[33, 1, 16], &[48]);
        product(&mut b, x, packed, true, 48.0);
        // A user that is no transposed product makes the device stack the parts.
        let other = b.packed_weight(&["up", "down"], dtype, &[31, 17], &[10]);
        product(&mut b, x, other, false, 48.0);
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn packed_by_the_passes() {
    for dtype in STORED {
        let mut b = ProblemBuilder::new(&format!("projections {dtype}"));
        let x = b.reals("x", "B S 40");
        for (name, rows) in [("q", 24), ("k", 5), ("v", 70)] {
            let w = b.weight(name, dtype, &[rows, 40]);
            let wide = b.graph.cast(w, DType::F32).unwrap();
            product(&mut b, x, wide, true, 40.0);
        }
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn batched() {
    for (k, n) in [(1, 3), (16, 17), (65, 8)] {
        let mut b = ProblemBuilder::new(&format!("batched {k}x{n}"));
        let x = b.reals("x", &format!("B S 4 {k}"));
        let x = b.graph.transpose(x, &[0, 2, 1, 3]).unwrap();
        let shapes = [("full", "B 4"), ("heads", "4"), ("rows", "B 1"), ("ones", "1 1")];
        for (name, outer) in shapes {
            let y = b.reals(name, &format!("{outer} {k} {n}"));
            product(&mut b, x, y, false, k as f64);
            let y = b.reals(&format!("{name} transposed"), &format!("{outer} {n} {k}"));
            product(&mut b, x, y, true, k as f64);
            let y = b.graph.swap_last_axes(y).unwrap();
            product(&mut b, x, y, false, k as f64);
        }
        let shared = b.reals("shared", &format!("{k} {n}"));
        product(&mut b, x, shared, false, k as f64);
        let one = b.reals("one", &format!("5 {k}"));
        let many = b.reals("many", &format!("B 4 {k} {n}"));
        product(&mut b, one, many, false, k as f64);
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn of_tokens_by_tokens() {
    let mut b = ProblemBuilder::new("scores");
    let q = b.reals("q", "B S 4 18");
    let q = b.graph.transpose(q, &[0, 2, 1, 3]).unwrap();
    let k = b.reals("k", "B 4 S 18");
    product(&mut b, q, k, true, 18.0);
    assert_agree(&b.finish(&SMALL_SIZES));
}
