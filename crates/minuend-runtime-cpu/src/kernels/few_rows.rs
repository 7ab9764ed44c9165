//! Products of few activation rows with weight rows, as in decoding, where the weight's bytes are
//! the cost: each weight row is read once, for all activation rows.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::StridedRef;
use super::weight::{WeightElement, load_lanes};

/// Activation rows whose dot products with a weight row are accumulated in registers together.
pub(super) const GROUP_ROWS: usize = 8;

/// At most [`GROUP_ROWS`] activation rows in the order in which the dot products read them: by blocks of two vectors, in
/// each block row by row, the elements of a block in the order of [`WeightElement::widen`], the
/// last block padded with zeros.
pub(super) struct Arranged {
    elements: Vec<f32>,
    rows: usize,
    cols: usize,
}

/// Arranges the rows of `x[m, k]` in groups for weights whose `EVEN_ODD` is the given one.
pub(super) struct Arrange<'a, 'x> {
    pub(super) x: &'a StridedRef<'x, f32>,
    pub(super) even_odd: bool,
}

impl WithSimd for Arrange<'_, '_> {
    type Output = Vec<Arranged>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<Arranged> {
        let (lanes, block) = (S::F32_LANES, 2 * S::F32_LANES);
        let count = self.x.shape().first().copied().unwrap_or(0);
        let cols = self.x.row_len();
        let group = |first: usize| {
            let rows = GROUP_ROWS.min(count - first);
            let mut elements = vec![0.0; cols.div_ceil(block) * rows * block];
            for row in 0..rows {
                for (b, from) in self.x.row(first + row).chunks(block).enumerate() {
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
        };
        (0..count).step_by(GROUP_ROWS).map(group).collect()
    }
}

/// Weight rows whose dot products are taken together, one piece of the inner axis at a time.
const ROW_TILE: usize = 16;
/// Activation elements of a group in such a piece: they stay in the first-level cache while the
/// rows of a tile pass over them.
const PIECE_ELEMENTS: usize = 4096;

/// Dot products of every weight row with every activation row of the groups;
/// `store(x_row, weight_row, value)` receives each one, `x_row` counted over the groups, each of
/// which but the last has [`GROUP_ROWS`] rows.
pub(super) struct DotRows<'a, W, F> {
    pub(super) weight: &'a [W],
    pub(super) groups: &'a [Arranged],
    pub(super) store: F,
}

impl<W: WeightElement, F: FnMut(usize, usize, f32)> WithSimd for DotRows<'_, W, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weight, groups, mut store } = self;
        let Some(first_group) = groups.first() else { return };
        let (cols, block) = (first_group.cols, 2 * S::F32_LANES);
        let rows = weight.len() / cols.max(1);
        let blocks = cols.div_ceil(block);
        let piece = (PIECE_ELEMENTS / (first_group.rows.max(1) * block)).max(1);
        let mut sums = vec![simd.splat_f32s(0.0); groups.len() * ROW_TILE * GROUP_ROWS];
        for first_row in (0..rows).step_by(ROW_TILE) {
            let tile_rows = ROW_TILE.min(rows - first_row);
            let tile = &weight[first_row * cols..(first_row + tile_rows) * cols];
            sums.fill(simd.splat_f32s(0.0));
            for first in (0..blocks).step_by(piece) {
                let range = first..(first + piece).min(blocks);
                for (x, sums) in groups.iter().zip(sums.chunks_exact_mut(ROW_TILE * GROUP_ROWS)) {
                    let range = range.clone();
                    // Fewer weight rows at once where accumulators would run out of registers.
                    match (x.rows, S::REGISTER_COUNT >= 32) {
                        (1, _) => add_piece::<S, W, 1, 4>(simd, tile, x, range, sums),
                        (2, true) => add_piece::<S, W, 2, 4>(simd, tile, x, range, sums),
                        (3, true) => add_piece::<S, W, 3, 4>(simd, tile, x, range, sums),
                        (4, true) => add_piece::<S, W, 4, 4>(simd, tile, x, range, sums),
                        (5, true) => add_piece::<S, W, 5, 2>(simd, tile, x, range, sums),
                        (6, true) => add_piece::<S, W, 6, 2>(simd, tile, x, range, sums),
                        (7, true) => add_piece::<S, W, 7, 2>(simd, tile, x, range, sums),
                        (_, true) => add_piece::<S, W, GROUP_ROWS, 2>(simd, tile, x, range, sums),
                        (2, _) => add_piece::<S, W, 2, 2>(simd, tile, x, range, sums),
                        (3, _) => add_piece::<S, W, 3, 2>(simd, tile, x, range, sums),
                        (4, _) => add_piece::<S, W, 4, 2>(simd, tile, x, range, sums),
                        (5, _) => add_piece::<S, W, 5, 1>(simd, tile, x, range, sums),
                        (6, _) => add_piece::<S, W, 6, 1>(simd, tile, x, range, sums),
                        (7, _) => add_piece::<S, W, 7, 1>(simd, tile, x, range, sums),
                        _ => add_piece::<S, W, GROUP_ROWS, 1>(simd, tile, x, range, sums),
                    }
                }
            }
            for (g, x) in groups.iter().enumerate() {
                for row in 0..tile_rows {
                    let sums = &sums[(g * ROW_TILE + row) * GROUP_ROWS..][..x.rows];
                    for (m, sum) in sums.iter().enumerate() {
                        store(g * GROUP_ROWS + m, first_row + row, simd.reduce_sum_f32s(*sum));
                    }
                }
            }
        }
    }
}

/// Adds the products of the tile's rows with a group's `M` rows over a range of blocks.
#[inline(always)]
fn add_piece<S: Simd, W: WeightElement, const M: usize, const N: usize>(
    simd: S,
    tile: &[W],
    x: &Arranged,
    blocks: Range<usize>,
    sums: &mut [S::f32s],
) {
    let rows = tile.len() / x.cols;
    let mut row = 0;
    while row + N <= rows {
        add_rows::<S, W, M, N>(
            simd,
            &tile[row * x.cols..],
            x,
            blocks.clone(),
            &mut sums[row * GROUP_ROWS..],
        );
        row += N;
    }
    while row < rows {
        add_rows::<S, W, M, 1>(
            simd,
            &tile[row * x.cols..],
            x,
            blocks.clone(),
            &mut sums[row * GROUP_ROWS..],
        );
        row += 1;
    }
}

/// As [`add_piece`], for the first `N` weight rows.
#[inline(always)]
fn add_rows<S: Simd, W: WeightElement, const M: usize, const N: usize>(
    simd: S,
    weight: &[W],
    x: &Arranged,
    blocks: Range<usize>,
    stored: &mut [S::f32s],
) {
    let block = 2 * S::F32_LANES;
    let mut rows = [&[] as &[W]; N];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = &weight[n * x.cols..][..x.cols];
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    for m in 0..M {
        for n in 0..N {
            sums[m][n] = stored[n * GROUP_ROWS + m];
        }
    }
    let whole = x.cols / block;
    let x_piece = &x.elements[blocks.start * M * block..blocks.end * M * block];
    let mut x_blocks = x_piece.chunks_exact(M * block);
    for b in blocks.start..blocks.end.min(whole) {
        let Some(x_block) = x_blocks.next() else { break };
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
    for m in 0..M {
        for n in 0..N {
            stored[n * GROUP_ROWS + m] = sums[m][n];
        }
    }
}

/// Adds the products of one block.
#[allow(clippy::needless_range_loop, reason = "one index for sums and lanes of x")]
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
            let n = self.weight.len() / self.x.row_len();
            let mut out = vec![f32::NAN; self.x.shape()[0] * n];
            let store = |m: usize, row: usize, value| out[m * n + row] = value;
            DotRows { weight: self.weight, groups: &x, store }.with_simd(simd);
            out
        }
    }

    fn check<W: WeightElement>(narrow: impl Fn(f32) -> W, wide: impl Fn(W) -> f32) {
        let mut source = Source::new(3);
        for k in [1, 15, 32, 33, 95, 1100] {
            for m in (1..=GROUP_ROWS).chain([13, 24]) {
                for n in [1, 4, 7, 19] {
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
