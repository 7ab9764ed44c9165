//! Rotary position embedding (Su et al., 2021).

use minuend_ir::decompose::rope_frequencies;
use minuend_ir::ops::RopeLayout;
use rayon::prelude::*;

use super::view::rows_per_task;
use super::{KernelError, StridedMut, StridedRef};

/// Rotates pair `i` of every head of `x: [B, H, S, d]` by the angle `position * theta^(-2 i / d)`
/// into `out` of the same shape. `positions` has length `S`, or `B * S` for positions of each batch
/// entry. Angles, cosines and sines are computed in f64, once per position.
///
/// # Errors
/// A shape that does not fit the others, an odd `d`, or a strided last axis.
pub fn rope(
    x: StridedRef<'_, f32>,
    positions: &[i64],
    theta: f64,
    layout: RopeLayout,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "rope";
    x.check_rank(KERNEL, "x", 4)?;
    x.check_dense_rows(KERNEL, "x")?;
    out.check_shape(KERNEL, "out", x.shape())?;
    out.check_dense_rows(KERNEL, "out")?;
    let &[batch, heads, queries, head_dim] = x.shape() else { return Ok(()) };
    let per_batch = positions.len() != queries;
    if per_batch && batch.checked_mul(queries) != Some(positions.len()) {
        return Err(KernelError::Shape {
            kernel: KERNEL,
            operand: "positions",
            found: vec![positions.len()],
            expected: vec![queries],
        });
    }
    if !head_dim.is_multiple_of(2) {
        return Err(KernelError::Multiple {
            kernel: KERNEL,
            what: "head_dim",
            found: head_dim,
            divisor: 2,
        });
    }
    if batch == 0 || heads == 0 || queries == 0 || head_dim == 0 {
        return Ok(());
    }
    let table = Table::new(positions, theta, head_dim);
    out.into_shared().for_each_row(rows_per_task(head_dim), |row, to| {
        let position =
            row % queries + if per_batch { row / (heads * queries) * queries } else { 0 };
        let (cos, sin) = table.row(position);
        match layout {
            RopeLayout::Interleaved => rotate_interleaved(x.row(row), cos, sin, to),
            RopeLayout::HalfSplit => rotate_halves(x.row(row), cos, sin, to),
        }
    });
    Ok(())
}

/// Cosines and sines `[positions, d / 2]`.
struct Table {
    cos: Vec<f32>,
    sin: Vec<f32>,
    pairs: usize,
}

impl Table {
    fn new(positions: &[i64], theta: f64, head_dim: usize) -> Self {
        let pairs = head_dim / 2;
        let frequencies: Vec<f64> = rope_frequencies(theta, head_dim).collect();
        let mut cos = vec![0.0; positions.len() * pairs];
        let mut sin = vec![0.0; positions.len() * pairs];
        cos.par_chunks_exact_mut(pairs)
            .zip(sin.par_chunks_exact_mut(pairs))
            .zip(positions)
            .with_min_len(rows_per_task(head_dim * 16))
            .for_each(|((cos, sin), position)| {
                for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&frequencies) {
                    let angle = *position as f64 * frequency;
                    *cos = angle.cos() as f32;
                    *sin = angle.sin() as f32;
                }
            });
        Self { cos, sin, pairs }
    }

    fn row(&self, position: usize) -> (&[f32], &[f32]) {
        let row = position * self.pairs..(position + 1) * self.pairs;
        (&self.cos[row.clone()], &self.sin[row])
    }
}

fn rotate_interleaved(x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
    let pairs = x.chunks_exact(2).zip(out.chunks_exact_mut(2));
    for ((x, out), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
        out[0] = x[0] * cos - x[1] * sin;
        out[1] = x[1] * cos + x[0] * sin;
    }
}

fn rotate_halves(x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
    let (x_low, x_high) = x.split_at(x.len() / 2);
    let (low, high) = out.split_at_mut(x.len() / 2);
    let x = x_low.iter().zip(x_high);
    for (((x_low, x_high), (low, high)), (cos, sin)) in
        x.zip(low.iter_mut().zip(high)).zip(cos.iter().zip(sin))
    {
        *low = x_low * cos - x_high * sin;
        *high = x_high * cos + x_low * sin;
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;

    fn check(
        [batch, heads, queries, head_dim]: [usize; 4],
        layout: RopeLayout,
        per_batch: bool,
        strided_out: bool,
    ) {
        let mut source = Source::new(8);
        let count = if per_batch { batch * queries } else { queries };
        let positions: Vec<i64> = (0..count).map(|_| (source.next() % 5000) as i64).collect();
        let theta = 10_000.0;
        // x as [B, S, H, d].
        let x = source.floats(batch * queries * heads * head_dim, 1.0);
        let x_strides = [queries * heads * head_dim, head_dim, heads * head_dim, 1];
        let out_strides = if strided_out {
            [heads * (queries + 2) * head_dim, (queries + 2) * head_dim, head_dim, 1]
        } else {
            [heads * queries * head_dim, queries * head_dim, head_dim, 1]
        };
        let mut out = vec![7.25f32; batch * out_strides[0]];
        let shape = [batch, heads, queries, head_dim];
        in_pool(2, || {
            let x = StridedRef::new(&x, &shape, &x_strides).unwrap();
            let out = StridedMut::new(&mut out, &shape, &out_strides).unwrap();
            rope(x, &positions, theta, layout, out).unwrap();
        });
        let mut written = vec![false; out.len()];
        for b in 0..batch {
            for h in 0..heads {
                for s in 0..queries {
                    let at = |strides: [usize; 4]| b * strides[0] + h * strides[1] + s * strides[2];
                    let (from, to) = (at(x_strides), at(out_strides));
                    let position = positions[if per_batch { b * queries + s } else { s }] as f64;
                    for i in 0..head_dim / 2 {
                        let angle = position * theta.powf(-2.0 * i as f64 / head_dim as f64);
                        let (first, second) = match layout {
                            RopeLayout::Interleaved => (2 * i, 2 * i + 1),
                            RopeLayout::HalfSplit => (i, i + head_dim / 2),
                        };
                        let (a, b) = (f64::from(x[from + first]), f64::from(x[from + second]));
                        let expected = [
                            (first, a * angle.cos() - b * angle.sin()),
                            (second, a * angle.sin() + b * angle.cos()),
                        ];
                        for (c, expected) in expected {
                            written[to + c] = true;
                            // Two products and a sum of numbers up to 1, each rounded.
                            let error = (f64::from(out[to + c]) - expected).abs();
                            assert!(error <= 4.0 * f64::from(f32::EPSILON), "{layout:?} {error}");
                        }
                    }
                }
            }
        }
        assert!(out.iter().zip(&written).all(|(v, written)| *written || *v == 7.25));
    }

    #[test]
    fn layouts_positions_and_strides() {
        for shape in [[1, 1, 1, 2], [2, 3, 5, 6], [2, 4, 33, 64], [2, 2, 0, 8], [2, 2, 3, 0]] {
            for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
                for per_batch in [false, true] {
                    check(shape, layout, per_batch, false);
                    check(shape, layout, per_batch, true);
                }
            }
        }
    }

    #[test]
    fn shapes_are_checked() {
        let x = [0.0f32; 24];
        let mut out = [0.0f32; 24];
        let mut run = |shape: &[usize], positions: &[i64]| {
            let x = StridedRef::dense(&x, shape).unwrap();
            let out = StridedMut::dense(&mut out, shape).unwrap();
            rope(x, positions, 1e4, RopeLayout::HalfSplit, out)
        };
        assert_eq!(run(&[2, 1, 3, 4], &[0, 1, 2]), Ok(()));
        assert_eq!(run(&[2, 1, 3, 4], &[0, 1, 2, 3, 4, 5]), Ok(()));
        assert!(run(&[2, 1, 3, 4], &[0, 1]).is_err());
        assert!(run(&[2, 1, 4, 3], &[0, 1, 2, 3]).is_err());
        assert!(run(&[6, 4], &[0, 1, 2, 3]).is_err());
    }
}
