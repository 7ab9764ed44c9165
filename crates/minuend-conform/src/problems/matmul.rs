//! Matrix products, of activations and with stored weights.

use crate::accuracy::HALF_PRODUCT;
use crate::problem::{Built, Problem, ProblemBuilder};
use minuend::ir::ops::{Matmul, Slice};
use minuend::ir::{DType, Emit, Op, ValueId};

use super::{Problems, SIZES, SMALL_SIZES};

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

pub(super) fn list(problems: &mut Problems) {
    for (k, n) in
        [(0, 4), (1, 1), (7, 2), (15, 16), (16, 17), (17, 15), (64, 65), (65, 129), (130, 63)]
    {
        for dtype in STORED {
            let make = move |name: &str| stored_weights(name, k, n, dtype);
            problems.add(matches!(k, 7 | 65), format!("weight {k}x{n} {dtype}"), make);
        }
    }
    for dtype in STORED {
        problems.add(true, format!("packed {dtype}"), move |name| packed_weights(name, dtype));
        let make = move |name: &str| packed_by_the_passes(name, dtype);
        problems.add(true, format!("projections {dtype}"), make);
    }
    for (k, n) in [(1, 3), (16, 17), (65, 8)] {
        problems.add(k == 16, format!("batched {k}x{n}"), move |name| batched(name, k, n));
    }
    problems.add(true, "tokens by tokens", tokens_by_tokens);
}

/// A sum of k products in any order is off by at most k roundings of the sum of magnitudes.
fn product(
    b: &mut ProblemBuilder,
    x: ValueId,
    y: ValueId,
    transpose_rhs: bool,
    k: f64,
) -> Built<()> {
    let op = Op::Matmul(Matmul { transpose_rhs });
    let value = b.graph.value(op.clone(), &[x, y])?;
    // The magnitude is the product of absolute values, in f32 as the interpreter holds them.
    let wide = b.graph.cast(y, DType::F32)?;
    let (x, y) = (b.abs(x)?, b.abs(wide)?);
    let magnitude = b.graph.value(op, &[x, y])?;
    b.within(value, k + 1.0, magnitude);
    b.half_products_slack(HALF_PRODUCT);
    Ok(())
}

fn stored_weights(name: &str, k: usize, n: usize, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.reals("x", &format!("B S {k}"))?;
    let transposed = b.weight("t", dtype, &[n, k])?;
    product(&mut b, x, transposed, true, k as f64)?;
    let plain = b.weight("w", dtype, &[k, n])?;
    product(&mut b, x, plain, false, k as f64)?;
    // Rows that are not dense: the last of each sequence.
    let tokens = b.size("S")?;
    let last = Slice::range(1, &tokens + -1, tokens);
    let last = b.graph.slice(x, last)?;
    product(&mut b, last, transposed, true, k as f64)?;
    b.finish(&SIZES)
}

fn packed_weights(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.reals("x", "B S 48")?;
    // Parts end within tiles.
    let packed = b.packed_weight(&["q", "k", "v"], dtype, &[33, 1, 16], &[48])?;
    product(&mut b, x, packed, true, 48.0)?;
    // A user that is no transposed product makes the device stack the parts.
    let other = b.packed_weight(&["up", "down"], dtype, &[31, 17], &[10])?;
    product(&mut b, x, other, false, 48.0)?;
    b.finish(&SIZES)
}

fn packed_by_the_passes(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.reals("x", "B S 40")?;
    for (name, rows) in [("q", 24), ("k", 5), ("v", 70)] {
        let w = b.weight(name, dtype, &[rows, 40])?;
        let wide = b.graph.cast(w, DType::F32)?;
        product(&mut b, x, wide, true, 40.0)?;
    }
    b.finish(&SIZES)
}

fn batched(name: &str, k: usize, n: usize) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.reals("x", &format!("B S 4 {k}"))?;
    let x = b.graph.transpose(x, &[0, 2, 1, 3])?;
    let shapes = [("full", "B 4"), ("heads", "4"), ("rows", "B 1"), ("ones", "1 1")];
    for (name, outer) in shapes {
        let y = b.reals(name, &format!("{outer} {k} {n}"))?;
        product(&mut b, x, y, false, k as f64)?;
        let y = b.reals(&format!("{name} transposed"), &format!("{outer} {n} {k}"))?;
        product(&mut b, x, y, true, k as f64)?;
        let y = b.graph.swap_last_axes(y)?;
        product(&mut b, x, y, false, k as f64)?;
    }
    let shared = b.reals("shared", &format!("{k} {n}"))?;
    product(&mut b, x, shared, false, k as f64)?;
    let one = b.reals("one", &format!("5 {k}"))?;
    let many = b.reals("many", &format!("B 4 {k} {n}"))?;
    product(&mut b, one, many, false, k as f64)?;
    b.finish(&SIZES)
}

fn tokens_by_tokens(name: &str) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let q = b.reals("q", "B S 4 18")?;
    let q = b.graph.transpose(q, &[0, 2, 1, 3])?;
    let k = b.reals("k", "B 4 S 18")?;
    product(&mut b, q, k, true, 18.0)?;
    b.finish(&SMALL_SIZES)
}
