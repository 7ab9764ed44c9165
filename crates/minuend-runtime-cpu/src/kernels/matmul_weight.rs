//! Activations times a stored weight.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::few_rows::{Arrange, Arranged, DotRows};
use super::gemm_call::{Matrix, MatrixOut, gemm_into};
use super::scratch::Scratch;
use super::view::SharedOut;
use super::weight::WeightElement;
use super::{KernelError, StridedMut, StridedRef, WeightRef, WeightRows};

/// Up to this many activation rows, dot products cost less than the packing of a tiled product.
const FEW_ROWS: usize = 32;
/// Below this many multiplications a product runs on the calling thread.
const SEQUENTIAL_PRODUCTS: usize = 1 << 15;
/// Widened weight elements that a task holds at most, so that they stay in its core's caches.
const PANEL_ELEMENTS: usize = 1 << 17;
/// Weight rows (columns of the output) per task.
const MIN_PANEL: usize = 16;
const MAX_PANEL: usize = 256;

/// `out[m, n] = x[m, k] W[n, k]^T`, `W` given as blocks of rows stacked along axis 0, each in its
/// stored float type. The rows of `x` and `out` are dense and may have any row stride.
///
/// # Errors
/// A shape that does not fit the others, or a strided last axis.
pub fn matmul_weight(
    x: StridedRef<'_, f32>,
    weight: &[WeightRows<'_>],
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "matmul_weight";
    let (m, k) = check_x(KERNEL, &x)?;
    let mut n = 0usize;
    for block in weight {
        if block.cols() != k {
            return Err(KernelError::Shape {
                kernel: KERNEL,
                operand: "weight",
                found: vec![block.rows(), block.cols()],
                expected: vec![block.rows(), k],
            });
        }
        n = n.saturating_add(block.rows());
    }
    check_out(KERNEL, &out, m, n)?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let out = out.into_shared();
    if m <= FEW_ROWS && k > 0 {
        few_rows(&x, weight, n, &out);
    } else {
        many_rows(&x, weight, n, &out);
    }
    Ok(())
}

/// `out[m, n] = x[m, k] W[k, n]`, `W` dense row-major in its stored float type. The rows of `x` and
/// `out` are dense and may have any row stride.
///
/// # Errors
/// A shape that does not fit the others, or a strided last axis.
pub fn matmul_weight_kn(
    x: StridedRef<'_, f32>,
    weight: WeightRows<'_>,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "matmul_weight_kn";
    let (m, k) = check_x(KERNEL, &x)?;
    let n = weight.cols();
    if weight.rows() != k {
        return Err(KernelError::Shape {
            kernel: KERNEL,
            operand: "weight",
            found: vec![weight.rows(), n],
            expected: vec![k, n],
        });
    }
    check_out(KERNEL, &out, m, n)?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let out = out.into_shared();
    let panel = panel_width(n, k);
    let panels: Vec<usize> = (0..n).step_by(panel).collect();
    panels.par_iter().for_each_init(Scratch::default, |scratch, &first| {
        let width = panel.min(n - first);
        let rhs = match weight.data() {
            WeightRef::F32(data) => Matrix {
                // With k = 0 the weight has no elements.
                data: data.get(first..).unwrap_or(&[]),
                row_stride: n,
                col_stride: 1,
            },
            narrow => {
                let wide = scratch.take(k * width);
                for (row, wide) in wide.chunks_exact_mut(width).enumerate() {
                    narrow.widen_into(row * n + first, wide);
                }
                Matrix { data: wide, row_stride: width, col_stride: 1 }
            }
        };
        // SAFETY: panels are disjoint in columns and each is visited once.
        unsafe { gemm_into(out_columns(&out, 0, first), x_rows(&x, 0), rhs, [m, width, k]) };
    });
    Ok(())
}

/// The extents of `x`.
fn check_x(kernel: &'static str, x: &StridedRef<'_, f32>) -> Result<(usize, usize), KernelError> {
    x.check_rank(kernel, "x", 2)?;
    x.check_dense_rows(kernel, "x")?;
    Ok((x.shape()[0], x.shape()[1]))
}

fn check_out(
    kernel: &'static str,
    out: &StridedMut<'_, f32>,
    m: usize,
    n: usize,
) -> Result<(), KernelError> {
    out.check_rank(kernel, "out", 2)?;
    out.check_shape(kernel, "out", &[m, n])?;
    out.check_dense_rows(kernel, "out")
}

/// Rows of `x` from `first` on.
fn x_rows<'a>(x: &StridedRef<'a, f32>, first: usize) -> Matrix<'a> {
    let row_stride = x.strides()[0];
    Matrix {
        // Without columns `x` may have no elements.
        data: x.data().get(first * row_stride..).unwrap_or(&[]),
        row_stride,
        col_stride: 1,
    }
}

/// The output from a row and a column on.
fn out_columns(out: &SharedOut<'_, f32>, row: usize, col: usize) -> MatrixOut {
    let row_stride = out.strides()[0];
    MatrixOut { data: out.pointer(row * row_stride + col), row_stride, col_stride: 1 }
}

/// Weight rows per task: several tasks per thread, within the limits of a task's memory.
fn panel_width(n: usize, k: usize) -> usize {
    let even = n.div_ceil(4 * rayon::current_num_threads());
    let most = (PANEL_ELEMENTS / k.max(1)).clamp(MIN_PANEL, MAX_PANEL);
    even.next_multiple_of(MIN_PANEL).clamp(MIN_PANEL, most)
}

/// Ranges of at most `panel` rows of the blocks: block, rows in it, first output column.
fn panels(weight: &[WeightRows<'_>], panel: usize) -> Vec<(usize, Range<usize>, usize)> {
    let mut panels = Vec::new();
    let mut col = 0;
    for (index, block) in weight.iter().enumerate() {
        for first in (0..block.rows()).step_by(panel) {
            let rows = first..(first + panel).min(block.rows());
            panels.push((index, rows, col + first));
        }
        col += block.rows();
    }
    panels
}

/// The rows of a block in their own type.
fn rows_of<W>(data: &[W], rows: Range<usize>, k: usize) -> &[W] {
    &data[rows.start * k..rows.end * k]
}

fn few_rows(
    x: &StridedRef<'_, f32>,
    weight: &[WeightRows<'_>],
    n: usize,
    out: &SharedOut<'_, f32>,
) {
    let (m, k) = (x.shape()[0], x.shape()[1]);
    let arch = pulp::Arch::new();
    let arrange = |even_odd: bool| {
        let used = |block: &WeightRows<'_>| widens_even_odd(block.data()) == even_odd;
        weight.iter().any(used).then(|| arch.dispatch(Arrange { x, even_odd }))
    };
    let (in_order, even_odd) = (arrange(false), arrange(true));
    let task = |(index, rows, col): (usize, Range<usize>, usize)| {
        // SAFETY: panels are disjoint in output columns and each is visited once.
        unsafe {
            match (weight[index].data(), &in_order, &even_odd) {
                (WeightRef::F32(data), Some(x), _) => {
                    store_dots(rows_of(data, rows, k), x, out, col)
                }
                (WeightRef::F16(data), _, Some(x)) => {
                    store_dots(rows_of(data, rows, k), x, out, col)
                }
                (WeightRef::Bf16(data), _, Some(x)) => {
                    store_dots(rows_of(data, rows, k), x, out, col)
                }
                // `arrange` has made the order that each block's type asks for.
                _ => {}
            }
        }
    };
    if m.saturating_mul(n).saturating_mul(k) <= SEQUENTIAL_PRODUCTS {
        panels(weight, n).into_iter().for_each(task);
        return;
    }
    // Long runs of rows: each thread reads few sequential streams.
    let rows = n.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(16);
    panels(weight, rows).into_par_iter().with_max_len(1).for_each(task);
}

/// The order in which the widened lanes of a weight come.
fn widens_even_odd(weight: WeightRef<'_>) -> bool {
    match weight {
        WeightRef::F32(_) => f32::EVEN_ODD,
        WeightRef::F16(_) => f16::EVEN_ODD,
        WeightRef::Bf16(_) => bf16::EVEN_ODD,
    }
}

/// Writes the dot products with the given weight rows to the output's columns from `col` on.
///
/// # Safety
/// No other task writes these columns.
unsafe fn store_dots<W: WeightElement>(
    weight: &[W],
    groups: &[Arranged],
    out: &SharedOut<'_, f32>,
    col: usize,
) {
    let row_stride = out.strides()[0];
    let store = |m: usize, row: usize, value: f32| {
        // SAFETY: row `m` and column `col + row` are in the output's shape, so inside its slice,
        // and the column is this task's alone.
        unsafe { out.pointer(m * row_stride + col + row).write(value) };
    };
    pulp::Arch::new().dispatch(DotRows { weight, groups, store });
}

fn many_rows(
    x: &StridedRef<'_, f32>,
    weight: &[WeightRows<'_>],
    n: usize,
    out: &SharedOut<'_, f32>,
) {
    let (m, k) = (x.shape()[0], x.shape()[1]);
    let panels = panels(weight, panel_width(n, k));
    // Few panels, as of a narrow weight: split the rows of x as well.
    let row_parts = (2 * rayon::current_num_threads()).div_ceil(panels.len()).min(m.div_ceil(64));
    let rows_per_part = m.div_ceil(row_parts.max(1));
    let tasks = panels.len() * m.div_ceil(rows_per_part);
    (0..tasks).into_par_iter().with_max_len(1).for_each_init(Scratch::default, |scratch, task| {
        let (index, rows, col) = &panels[task % panels.len()];
        let first = task / panels.len() * rows_per_part;
        let x_count = rows_per_part.min(m - first);
        let width = rows.len();
        let rhs = match weight[*index].data() {
            WeightRef::F32(data) => rows_of(data, rows.clone(), k),
            narrow => {
                let wide = scratch.take(width * k);
                narrow.widen_into(rows.start * k, wide);
                wide
            }
        };
        let rhs = Matrix { data: rhs, row_stride: 1, col_stride: k };
        // SAFETY: tasks are disjoint in output rows or columns and each is visited once.
        unsafe {
            gemm_into(out_columns(out, first, *col), x_rows(x, first), rhs, [x_count, width, k]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Kind {
        F32,
        F16,
        Bf16,
    }

    enum Stored {
        F32(Vec<f32>),
        F16(Vec<f16>),
        Bf16(Vec<bf16>),
    }

    impl Stored {
        fn new(kind: Kind, values: &[f32]) -> Self {
            match kind {
                Kind::F32 => Self::F32(values.to_vec()),
                Kind::F16 => Self::F16(values.iter().map(|v| f16::from_f32(*v)).collect()),
                Kind::Bf16 => Self::Bf16(values.iter().map(|v| bf16::from_f32(*v)).collect()),
            }
        }
        fn view(&self) -> WeightRef<'_> {
            match self {
                Self::F32(data) => WeightRef::F32(data),
                Self::F16(data) => WeightRef::F16(data),
                Self::Bf16(data) => WeightRef::Bf16(data),
            }
        }
        fn at(&self, i: usize) -> f64 {
            match self {
                Self::F32(data) => f64::from(data[i]),
                Self::F16(data) => f64::from(data[i]),
                Self::Bf16(data) => f64::from(data[i]),
            }
        }
    }

    /// Checks `out[m, n]`, rows of stride `n + 3`, and that the gaps are untouched.
    fn check(
        m: usize,
        n: usize,
        k: usize,
        out: &[f32],
        x: impl Fn(usize, usize) -> f64,
        w: impl Fn(usize, usize) -> f64,
    ) {
        for i in 0..m {
            for j in 0..n {
                let exact: f64 = (0..k).map(|c| x(i, c) * w(j, c)).sum();
                let size: f64 = (0..k).map(|c| (x(i, c) * w(j, c)).abs()).sum();
                let error = (f64::from(out[i * (n + 3) + j]) - exact).abs();
                // A sum of k terms in f32 in any order.
                assert!(
                    error <= (k + 2) as f64 * f64::from(f32::EPSILON) * size,
                    "({i}, {j}) of {m} {n} {k}"
                );
            }
            assert!(out[i * (n + 3) + n..][..3].iter().all(|v| *v == 7.25));
        }
    }

    fn check_blocks(m: usize, k: usize, blocks: &[(Kind, usize)], threads: usize) {
        let mut source = Source::new(11);
        let x = source.floats(m * (k + 5), 1.0);
        let n: usize = blocks.iter().map(|(_, rows)| rows).sum();
        let stored: Vec<Stored> = blocks
            .iter()
            .map(|(kind, rows)| Stored::new(*kind, &source.floats(rows * k, 1.0)))
            .collect();
        let weight: Vec<WeightRows<'_>> = stored
            .iter()
            .zip(blocks)
            .map(|(data, (_, rows))| WeightRows::new(data.view(), *rows, k).unwrap())
            .collect();
        let mut out = vec![7.25; m * (n + 3)];
        in_pool(threads, || {
            let x = StridedRef::new(&x, &[m, k], &[k + 5, 1]).unwrap();
            let out = StridedMut::new(&mut out, &[m, n], &[n + 3, 1]).unwrap();
            matmul_weight(x, &weight, out).unwrap();
        });
        let place: Vec<(usize, usize)> = blocks
            .iter()
            .enumerate()
            .flat_map(|(b, (_, rows))| (0..*rows).map(move |r| (b, r)))
            .collect();
        check(
            m,
            n,
            k,
            &out,
            |i, c| f64::from(x[i * (k + 5) + c]),
            |j, c| stored[place[j].0].at(place[j].1 * k + c),
        );
    }

    #[test]
    fn packed_blocks_of_every_dtype() {
        for m in [1, 2, 7, 9, 32, 33, 130] {
            for k in [1, 64, 77] {
                for kind in [Kind::F32, Kind::F16, Kind::Bf16] {
                    check_blocks(m, k, &[(kind, 37)], 2);
                }
                check_blocks(
                    m,
                    k,
                    &[(Kind::Bf16, 19), (Kind::F32, 1), (Kind::F16, 0), (Kind::F16, 70)],
                    2,
                );
            }
        }
        check_blocks(3, 600, &[(Kind::Bf16, 300), (Kind::F32, 129)], 3);
        check_blocks(83, 600, &[(Kind::Bf16, 300), (Kind::F32, 129)], 3);
    }

    #[test]
    fn empty_axes() {
        check_blocks(0, 5, &[(Kind::F32, 4)], 1);
        check_blocks(3, 5, &[], 1);
        check_blocks(3, 5, &[(Kind::F16, 0)], 1);
        // A sum of no terms is zero.
        check_blocks(3, 0, &[(Kind::F16, 4)], 1);
        check_blocks(70, 0, &[(Kind::F32, 4)], 1);
    }

    #[test]
    fn weights_with_k_first() {
        let mut source = Source::new(5);
        for (m, n, k) in [(1, 37, 19), (5, 200, 64), (70, 33, 41), (3, 4, 0), (0, 4, 3), (2, 0, 3)]
        {
            for kind in [Kind::F32, Kind::F16, Kind::Bf16] {
                let x = source.floats(m * (k + 1), 1.0);
                let stored = Stored::new(kind, &source.floats(n * k, 1.0));
                let mut out = vec![7.25; m * (n + 3)];
                let view = StridedMut::new(&mut out, &[m, n], &[n + 3, 1]).unwrap();
                let rows = WeightRows::new(stored.view(), k, n).unwrap();
                matmul_weight_kn(StridedRef::new(&x, &[m, k], &[k + 1, 1]).unwrap(), rows, view)
                    .unwrap();
                check(
                    m,
                    n,
                    k,
                    &out,
                    |i, c| f64::from(x[i * (k + 1) + c]),
                    |j, c| stored.at(c * n + j),
                );
            }
        }
    }

    #[test]
    fn shapes_are_checked() {
        let data = [0.0f32; 12];
        let rows = WeightRows::new(WeightRef::F32(&data), 3, 4).unwrap();
        assert!(WeightRows::new(WeightRef::F32(&data), 3, 5).is_err());
        let mut out = [0.0f32; 12];
        let mut run = |x: &[usize], n: usize| {
            let out = StridedMut::dense(&mut out, &[2, n]).unwrap();
            matmul_weight(StridedRef::dense(&data, x).unwrap(), &[rows], out)
        };
        assert_eq!(run(&[2, 4], 3), Ok(()));
        assert!(run(&[2, 3], 3).is_err());
        assert!(run(&[2, 4], 4).is_err());
        assert!(run(&[8], 3).is_err());
    }
}
