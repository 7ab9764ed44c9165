//! Products of few activation rows with weight rows, as in decoding, where the weight's bytes are
//! the cost: each weight row is read once, for all activation rows.

use pulp::{Simd, WithSimd};

use super::StridedRef;
use super::weight::{WeightElement, load_lanes};

/// Most activation rows that one pass over the weight takes.
pub(super) const MAX_ROWS: usize = 8;

/// Activation rows in the order in which the dot products read them: by blocks of two vectors, in
/// each block row by row, the elements of a block in the order of [`WeightElement::widen`], the
/// last block padded with zeros.
pub(super) struct Arranged {
    elements: Vec<f32>,
    rows: usize,
    cols: usize,
}

/// Arranges `x[m, k]` for weights whose `EVEN_ODD` is the given one.
pub(super) struct Arrange<'a, 'x> {
    pub(super) x: &'a StridedRef<'x, f32>,
    pub(super) even_odd: bool,
}

impl WithSimd for Arrange<'_, '_> {
    type Output = Arranged;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Arranged {
        let (lanes, block) = (S::F32_LANES, 2 * S::F32_LANES);
        let rows = self.x.shape().first().copied().unwrap_or(1);
        let cols = self.x.row_len();
        let mut elements = vec![0.0; cols.div_ceil(block) * rows * block];
        for row in 0..rows {
            for (b, from) in self.x.row(row).chunks(block).enumerate() {
                let to = &mut elements[(b * rows + row) * block..][..block];
                if self.even_odd {
                    for (i, value) in from.iter().enumerate() {
                        to[i / 2 + i % 2 * lanes] = *value;
                    }
                } else {
                    to[..from.len()].copy_from_slice(from);
                }
            }
        }
        Arranged { elements, rows, cols }
    }
}

/// Dot products of every weight row with every activation row; `store(x_row, weight_row, value)`
/// receives each one. At most [`MAX_ROWS`] activation rows.
pub(super) struct DotRows<'a, W, F> {
    pub(super) weight: &'a [W],
    pub(super) x: &'a Arranged,
    pub(super) store: F,
}

impl<W: WeightElement, F: FnMut(usize, usize, f32)> WithSimd for DotRows<'_, W, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weight, x, mut store } = self;
        let rows = weight.len() / x.cols.max(1);
        // Fewer weight rows at once where more activation rows need accumulators.
        match x.rows {
            1 => all::<S, W, 1, 4>(simd, weight, x, rows, &mut store),
            2 => all::<S, W, 2, 4>(simd, weight, x, rows, &mut store),
            3 => all::<S, W, 3, 2>(simd, weight, x, rows, &mut store),
            4 => all::<S, W, 4, 2>(simd, weight, x, rows, &mut store),
            5 => all::<S, W, 5, 2>(simd, weight, x, rows, &mut store),
            6 => all::<S, W, 6, 2>(simd, weight, x, rows, &mut store),
            7 => all::<S, W, 7, 2>(simd, weight, x, rows, &mut store),
            8 => all::<S, W, 8, 2>(simd, weight, x, rows, &mut store),
            _ => {}
        }
    }
}

#[inline(always)]
fn all<S: Simd, W: WeightElement, const M: usize, const N: usize>(
    simd: S,
    weight: &[W],
    x: &Arranged,
    rows: usize,
    store: &mut impl FnMut(usize, usize, f32),
) {
    let mut row = 0;
    while row + N <= rows {
        dots::<S, W, M, N>(simd, weight, x, row, store);
        row += N;
    }
    while row < rows {
        dots::<S, W, M, 1>(simd, weight, x, row, store);
        row += 1;
    }
}

/// `M` activation rows with weight rows `first..first + N`.
#[inline(always)]
fn dots<S: Simd, W: WeightElement, const M: usize, const N: usize>(
    simd: S,
    weight: &[W],
    x: &Arranged,
    first: usize,
    store: &mut impl FnMut(usize, usize, f32),
) {
    let block = 2 * S::F32_LANES;
    let mut rows = [&[] as &[W]; N];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = &weight[(first + n) * x.cols..][..x.cols];
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    let whole = x.cols / block;
    let mut x_blocks = x.elements.chunks_exact(M * block);
    for (b, x_block) in x_blocks.by_ref().take(whole).enumerate() {
        let mut chunks = [&[] as &[W]; N];
        for n in 0..N {
            chunks[n] = &rows[n][b * block..(b + 1) * block];
        }
        multiply::<S, W, M, N>(simd, chunks, x_block, &mut sums);
    }
    if let Some(x_block) = x_blocks.next() {
        // Weight columns past the last one meet the zeros that pad `x`; zeroed weights keep the
        // products zero. 2 * 16 elements hold the widest block.
        let mut padded = [[W::zeroed(); 32]; N];
        for n in 0..N {
            let tail = &rows[n][whole * block..];
            padded[n][..tail.len()].copy_from_slice(tail);
        }
        let mut chunks = [&[] as &[W]; N];
        for n in 0..N {
            chunks[n] = &padded[n][..block];
        }
        multiply::<S, W, M, N>(simd, chunks, x_block, &mut sums);
    }
    for (m, sums) in sums.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            store(m, first + n, simd.reduce_sum_f32s(*sum));
        }
    }
}

/// Adds the products of one block.
#[inline(always)]
fn multiply<S: Simd, W: WeightElement, const M: usize, const N: usize>(
    simd: S,
    chunks: [&[W]; N],
    x_block: &[f32],
    sums: &mut [[S::f32s; N]; M],
) {
    let zero = simd.splat_f32s(0.0);
    let mut wide = [(zero, zero); N];
    for n in 0..N {
        wide[n] = W::widen(simd, chunks[n]);
    }
    for m in 0..M {
        let low = load_lanes(simd, x_block, 2 * m);
        let high = load_lanes(simd, x_block, 2 * m + 1);
        for n in 0..N {
            let sum = simd.mul_add_e_f32s(wide[n].0, low, sums[m][n]);
            sums[m][n] = simd.mul_add_e_f32s(wide[n].1, high, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::on_every_simd;
    use super::super::test_values::Source;
    use super::*;
    use half::{bf16, f16};

    struct Both<'a, W> {
        weight: &'a [W],
        x: &'a StridedRef<'a, f32>,
    }

    impl<W: WeightElement> WithSimd for Both<'_, W> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let x = Arrange { x: self.x, even_odd: W::EVEN_ODD }.with_simd(simd);
            let n = self.weight.len() / x.cols;
            let mut out = vec![f32::NAN; x.rows * n];
            let store = |m: usize, row: usize, value| out[m * n + row] = value;
            DotRows { weight: self.weight, x: &x, store }.with_simd(simd);
            out
        }
    }

    fn check<W: WeightElement>(narrow: impl Fn(f32) -> W, wide: impl Fn(W) -> f32) {
        let mut source = Source::new(3);
        for k in [1, 15, 32, 33, 95] {
            for m in 1..=MAX_ROWS {
                for n in [1, 2, 4, 7] {
                    let x = source.floats(m * (k + 2), 1.0);
                    let weight: Vec<W> =
                        source.floats(n * k, 1.0).into_iter().map(&narrow).collect();
                    let view = StridedRef::new(&x, &[m, k], &[k + 2, 1]).unwrap();
                    on_every_simd(
                        || Both { weight: &weight, x: &view },
                        |found| {
                            for i in 0..m {
                                for j in 0..n {
                                    let product = |c: usize| {
                                        f64::from(x[i * (k + 2) + c])
                                            * f64::from(wide(weight[j * k + c]))
                                    };
                                    let exact: f64 = (0..k).map(product).sum();
                                    let size: f64 = (0..k).map(|c| product(c).abs()).sum();
                                    // A sum of k terms in f32 in any order.
                                    let bound = (k + 2) as f64 * f64::from(f32::EPSILON) * size;
                                    let error = (f64::from(found[i * n + j]) - exact).abs();
                                    assert!(error <= bound, "m {m} n {n} k {k} at ({i}, {j})");
                                }
                            }
                        },
                    );
                }
            }
        }
    }

    #[test]
    fn every_row_count_and_dtype() {
        check(|v| v, |v: f32| v);
        check(f16::from_f32, f16::to_f32);
        check(bf16::from_f32, bf16::to_f32);
    }
}
