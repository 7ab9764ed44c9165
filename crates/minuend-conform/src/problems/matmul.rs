//! Matrix products, of activations and with stored weights.

use crate::accuracy::{DIVISION, EXP, EXP_BY_X, HALF_PRODUCT};
use crate::problem::{Built, Problem, Sizes};
use crate::problem_builder::ProblemBuilder;
use minuend::ir::ops::{Matmul, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, ValueId};

use super::{Problems, SIZES, SMALL_SIZES};

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// Rows of the left operand on both sides of the edges where kernels change: those of decode steps, of
/// halves of a tile, of a tile and of two.
const ROWS: [u64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129];

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    // A product takes activations of 16 bits with weights of that type alone.
    let stored = if t == DType::F32 { &STORED[..] } else { std::slice::from_ref(&t) };
    for (k, n) in
        [(0, 4), (1, 1), (7, 2), (15, 16), (16, 17), (17, 15), (64, 65), (65, 129), (130, 63)]
    {
        for dtype in stored.iter().copied() {
            let make = move |name: &str| stored_weights(name, t, k, n, dtype);
            problems.add(matches!(k, 7 | 65), format!("weight {k}x{n} {dtype}"), make);
        }
    }
    for dtype in stored.iter().copied() {
        problems.add(true, format!("packed {dtype}"), move |name| packed_weights(name, t, dtype));
        let make = move |name: &str| packed_by_the_passes(name, t, dtype);
        problems.add(true, format!("projections {dtype}"), make);
        for (k, inner) in [(48, 24), (40, 33), (256, 64)] {
            let name = format!("packed swiglu {k}x{inner} {dtype}");
            problems.add(k == 48, name, move |name| packed_swiglu(name, t, dtype, k, inner));
        }
        for (k, n) in [(64, 48), (72, 40), (80, 33), (33, 64), (256, 264)] {
            let make = move |name: &str| many_rows(name, t, dtype, (k, n), &ROWS);
            problems.add(k == 72, format!("rows of weight {k}x{n} {dtype}"), make);
        }
        for (k, n) in [(4096, 48), (4104, 17), (32, 14336), (48, 14343)] {
            let make =
                move |name: &str| many_rows(name, t, dtype, (k, n), &[1, 2, 4, 7, 9, 17, 65]);
            problems.add_large(format!("rows of large weight {k}x{n} {dtype}"), make);
        }
    }
    for (k, n) in [(1, 3), (16, 17), (65, 8)] {
        problems.add(k == 16, format!("batched {k}x{n}"), move |name| batched(name, t, k, n));
    }
    problems.add(true, "tokens by tokens", move |name| tokens_by_tokens(name, t));
    if t != DType::F32 {
        problems.add(true, "stored in f32", move |name| stored_in_f32(name, t));
    }
}

/// Units of a sum of k products, of the sum of magnitudes. In any order of f32 additions it is off by at
/// most k roundings. Products of 16-bit operands are exact in f32; the units that add them up cut off
/// what does not fit, and that is up to two roundings each time.
fn sum_units(b: &ProblemBuilder, k: usize) -> f64 {
    let cut = if b.activations() == DType::F32 { 1.0 } else { 2.0 };
    cut * k as f64 + 1.0
}

fn product(
    b: &mut ProblemBuilder,
    x: ValueId,
    y: ValueId,
    transpose_rhs: bool,
    k: usize,
) -> Built<()> {
    let op = Op::Matmul(Matmul { transpose_rhs });
    let value = b.graph.value(op, &[x, y])?;
    let magnitude = product_magnitude(b, x, y, transpose_rhs)?;
    b.within(value, sum_units(b, k), magnitude);
    b.half_products_slack(HALF_PRODUCT);
    Ok(())
}

/// The product of absolute values.
fn product_magnitude(
    b: &mut ProblemBuilder,
    x: ValueId,
    y: ValueId,
    transpose_rhs: bool,
) -> Built<ValueId> {
    // Of one type, as products must be: the interpreter rounds nothing.
    let dtype = b.graph.ty(x).dtype;
    let y = b.graph.cast(y, dtype)?;
    let (x, y) = (b.abs(x)?, b.abs(y)?);
    Ok(b.graph.value(Op::Matmul(Matmul { transpose_rhs }), &[x, y])?)
}

fn stored_weights(name: &str, t: DType, k: usize, n: usize, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", &format!("B S {k}"))?;
    let transposed = b.weight("t", dtype, &[n, k])?;
    product(&mut b, x, transposed, true, k)?;
    let plain = b.weight("w", dtype, &[k, n])?;
    product(&mut b, x, plain, false, k)?;
    // Rows that are not dense: the last of each sequence.
    let tokens = b.size("S")?;
    let last = Slice::range(1, &tokens + -1, tokens);
    let last = b.graph.slice(x, last)?;
    product(&mut b, last, transposed, true, k)?;
    b.finish(&SIZES)
}

/// A weight as linear layers have it, and activations of each of these numbers of rows.
fn many_rows(
    name: &str,
    t: DType,
    dtype: DType,
    (k, n): (usize, usize),
    rows: &[u64],
) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", &format!("B S {k}"))?;
    let w = b.weight("w", dtype, &[n, k])?;
    product(&mut b, x, w, true, k)?;
    let sizes: Vec<[(&str, u64); 2]> = rows.iter().map(|rows| [("B", 1), ("S", *rows)]).collect();
    let sizes: Vec<Sizes<'_>> = sizes.iter().map(|sizes| &sizes[..]).collect();
    b.finish(&sizes)
}

/// Logits: products of 16-bit operands, wanted in f32. Only a target that does not take the cast into the
/// kernel of the product rounds in between.
fn stored_in_f32(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    for (name, k, n) in [("a", 64, 129), ("b", 33, 16), ("c", 136, 64)] {
        let x = b.reals(name, &format!("B S {k}"))?;
        let w = b.weight(&format!("w.{name}"), t, &[n, k])?;
        let value = b.graph.matmul_transposed(x, w)?;
        let value = b.graph.cast(value, DType::F32)?;
        let magnitude = product_magnitude(&mut b, x, w, true)?;
        b.within(value, sum_units(&b, k), magnitude);
        b.narrowed(1.0, 1.0);
    }
    b.exact_tail("matmul", "cast");
    b.finish(&SIZES)
}

/// `silu(gate) * up` of a product with gate and up in one weight.
fn packed_swiglu(name: &str, t: DType, dtype: DType, k: usize, inner: usize) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", &format!("B S {k}"))?;
    let w = b.packed_weight(&["gate", "up"], dtype, &[inner, inner], &[k])?;
    let both = b.graph.matmul_transposed(x, w)?;
    let magnitudes = product_magnitude(&mut b, x, w, true)?;
    let (first, second) = (Slice::range(2, 0, inner), Slice::range(2, inner, 2 * inner));
    let (gate, up) = (b.graph.slice(both, first.clone())?, b.graph.slice(both, second.clone())?);
    let y = b.graph.value(Op::Swiglu, &[gate, up])?;
    // The slope of silu is at most 1.1: y moves by 1.1 |up| for each unit of the gate, and by |silu(gate)|
    // for each of up.
    let of_gate = b.graph.slice(magnitudes, first)?;
    let of_up = b.graph.slice(magnitudes, second)?;
    let (active, up) = (b.graph.unary(UnaryOp::Silu, gate)?, b.abs(up)?);
    let active = b.abs(active)?;
    let slope = b.graph.real(t, 1.1)?;
    let of_gate = b.graph.mul(of_gate, slope)?;
    let of_gate = b.graph.mul(of_gate, up)?;
    let of_up = b.graph.mul(active, of_up)?;
    let magnitude = b.graph.add_values(of_gate, of_up)?;
    // Both sums, and a sigmoid and two products of what is no more than the magnitude.
    b.within(y, sum_units(&b, k) + 10.0, magnitude);
    // Without the tail in the kernel of the product, gate and up are rounded; decomposed, silu too.
    b.narrowed(1.0, 2.0);
    // Gates are within 32: the sum of 256 products of reals in -2..2 and in -1..1 has a standard
    // deviation of 11.
    b.built_in_slack(EXP + 32.0 * EXP_BY_X + DIVISION + 2.0);
    b.half_products_slack(HALF_PRODUCT);
    b.finish(&SIZES)
}

fn packed_weights(name: &str, t: DType, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", "B S 48")?;
    // Parts end within tiles.
    let packed = b.packed_weight(&["q", "k", "v"], dtype, &[33, 1, 16], &[48])?;
    product(&mut b, x, packed, true, 48)?;
    // A user that is no transposed product makes the device stack the parts.
    let other = b.packed_weight(&["up", "down"], dtype, &[31, 17], &[10])?;
    product(&mut b, x, other, false, 48)?;
    b.finish(&SIZES)
}

fn packed_by_the_passes(name: &str, t: DType, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", "B S 40")?;
    for (name, rows) in [("q", 24), ("k", 5), ("v", 70)] {
        let w = b.weight(name, dtype, &[rows, 40])?;
        let wide = b.graph.cast(w, t)?;
        product(&mut b, x, wide, true, 40)?;
    }
    b.finish(&SIZES)
}

fn batched(name: &str, t: DType, k: usize, n: usize) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", &format!("B S 4 {k}"))?;
    let x = b.graph.transpose(x, &[0, 2, 1, 3])?;
    let shapes = [("full", "B 4"), ("heads", "4"), ("rows", "B 1"), ("ones", "1 1")];
    for (name, outer) in shapes {
        let y = b.reals(name, &format!("{outer} {k} {n}"))?;
        product(&mut b, x, y, false, k)?;
        let y = b.reals(&format!("{name} transposed"), &format!("{outer} {n} {k}"))?;
        product(&mut b, x, y, true, k)?;
        let y = b.graph.swap_last_axes(y)?;
        product(&mut b, x, y, false, k)?;
    }
    let shared = b.reals("shared", &format!("{k} {n}"))?;
    product(&mut b, x, shared, false, k)?;
    let one = b.reals("one", &format!("5 {k}"))?;
    let many = b.reals("many", &format!("B 4 {k} {n}"))?;
    product(&mut b, one, many, false, k)?;
    b.finish(&SIZES)
}

fn tokens_by_tokens(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let q = b.reals("q", "B S 4 18")?;
    let q = b.graph.transpose(q, &[0, 2, 1, 3])?;
    let k = b.reals("k", "B 4 S 18")?;
    product(&mut b, q, k, true, 18)?;
    b.finish(&SMALL_SIZES)
}
