//! Register-blocked product of small f32 tiles that fit in the first-level cache.

use pulp::Simd;

/// `rows[i] = data[i * stride..]`, at least `cols` of them readable.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) data: &'a [f32],
    /// Elements from one row to the next.
    pub(super) stride: usize,
}

/// Extents of a product `c[rows, cols] = a[rows, depth] b[depth, cols]`. `cols` is a multiple of
/// the number of lanes.
#[derive(Clone, Copy)]
pub(super) struct Extents {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) depth: usize,
}

/// Elements that `rows` rows of `cols` elements span.
fn span(rows: usize, stride: usize, cols: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols }
}

/// `c = a b`, or `c += a b` with `ACCUMULATE`. At most 8 rows are computed at a time, each element
/// of `a` broadcast against vectors of `b`.
#[inline(always)]
pub(super) fn tile_product<S: Simd, const ACCUMULATE: bool>(
    simd: S,
    a: Tile<'_>,
    b: Tile<'_>,
    c: &mut [f32],
    c_stride: usize,
    extents: Extents,
) {
    let Extents { rows, cols, depth } = extents;
    assert!(cols.is_multiple_of(S::F32_LANES));
    assert!(a.data.len() >= span(rows, a.stride, depth));
    assert!(b.data.len() >= span(depth, b.stride, cols));
    assert!(c.len() >= span(rows, c_stride, cols));
    let mut row = 0;
    while row < rows {
        let operands = Operands {
            a: a.data.as_ptr().wrapping_add(row * a.stride),
            a_stride: a.stride,
            b: b.data.as_ptr(),
            b_stride: b.stride,
            c: c.as_mut_ptr().wrapping_add(row * c_stride),
            c_stride,
            cols,
            depth,
        };
        // SAFETY: rows `row..row + taken` and all columns are inside the slices, as asserted.
        row += unsafe {
            match rows - row {
                8.. if S::REGISTER_COUNT >= 32 => row_block::<S, ACCUMULATE, 8, 2>(simd, operands),
                4.. if S::REGISTER_COUNT >= 32 => row_block::<S, ACCUMULATE, 4, 4>(simd, operands),
                4.. => row_block::<S, ACCUMULATE, 4, 2>(simd, operands),
                2.. => row_block::<S, ACCUMULATE, 2, 4>(simd, operands),
                _ => row_block::<S, ACCUMULATE, 1, 4>(simd, operands),
            }
        };
    }
}

#[derive(Clone, Copy)]
struct Operands {
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    cols: usize,
    depth: usize,
}

/// `ROWS` rows of the product, `VECTORS` vectors of columns at a time. Returns `ROWS`.
///
/// # Safety
/// `ROWS` rows of `a` and `c`, `depth` rows of `b` are inside their slices over `depth`, `cols` and
/// `cols` elements, and `c` overlaps neither.
#[inline(always)]
unsafe fn row_block<S: Simd, const ACCUMULATE: bool, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    operands: Operands,
) -> usize {
    let lanes = S::F32_LANES;
    let mut col = 0;
    while col + VECTORS * lanes <= operands.cols {
        // SAFETY: as of this function, for these columns.
        unsafe { register_block::<S, ACCUMULATE, ROWS, VECTORS>(simd, operands, col) };
        col += VECTORS * lanes;
    }
    while col < operands.cols {
        // SAFETY: `cols` is a multiple of `lanes`, so one more vector of columns is inside.
        unsafe { register_block::<S, ACCUMULATE, ROWS, 1>(simd, operands, col) };
        col += lanes;
    }
    ROWS
}

/// `ROWS x VECTORS` vectors of the product, held in registers over the whole depth.
///
/// # Safety
/// As of [`row_block`], with `col + VECTORS * lanes <= cols`.
#[allow(clippy::needless_range_loop, reason = "the indices address memory as well as registers")]
#[inline(always)]
unsafe fn register_block<
    S: Simd,
    const ACCUMULATE: bool,
    const ROWS: usize,
    const VECTORS: usize,
>(
    simd: S,
    operands: Operands,
    col: usize,
) {
    let Operands { a, a_stride, b, b_stride, c, c_stride, depth, .. } = operands;
    let lanes = S::F32_LANES;
    // SAFETY: the caller guarantees that every element named here lies in its slice; vectors are
    // read and written unaligned, and an f32 vector is plain data.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        if ACCUMULATE {
            for i in 0..ROWS {
                for v in 0..VECTORS {
                    let from = c.add(i * c_stride + col + v * lanes);
                    sums[i][v] = from.cast::<S::f32s>().read_unaligned();
                }
            }
        }
        for k in 0..depth {
            let mut vectors = [simd.splat_f32s(0.0); VECTORS];
            for v in 0..VECTORS {
                let from = b.add(k * b_stride + col + v * lanes);
                vectors[v] = from.cast::<S::f32s>().read_unaligned();
            }
            for i in 0..ROWS {
                let scalar = simd.splat_f32s(*a.add(i * a_stride + k));
                for v in 0..VECTORS {
                    sums[i][v] = simd.mul_add_e_f32s(scalar, vectors[v], sums[i][v]);
                }
            }
        }
        for i in 0..ROWS {
            for v in 0..VECTORS {
                let to = c.add(i * c_stride + col + v * lanes);
                to.cast::<S::f32s>().write_unaligned(sums[i][v]);
            }
        }
    }
}

/// `c[i, j] = a[i, ..] . b[j, ..]` over `depth`: the product with a transposed right side, for too
/// few rows of `a` to be worth transposing `b`. `extents.cols` is any number.
#[inline(always)]
pub(super) fn dot_products<S: Simd>(
    simd: S,
    a: Tile<'_>,
    b: Tile<'_>,
    c: &mut [f32],
    c_stride: usize,
    extents: Extents,
) {
    let mut row = 0;
    while row < extents.rows {
        row += match extents.rows - row {
            4.. => dot_rows::<S, 4>(simd, a, b, c, c_stride, extents, row),
            2.. => dot_rows::<S, 2>(simd, a, b, c, c_stride, extents, row),
            _ => dot_rows::<S, 1>(simd, a, b, c, c_stride, extents, row),
        };
    }
}

/// Rows `row..row + ROWS` of [`dot_products`]. Returns `ROWS`.
#[inline(always)]
fn dot_rows<S: Simd, const ROWS: usize>(
    simd: S,
    a: Tile<'_>,
    b: Tile<'_>,
    c: &mut [f32],
    c_stride: usize,
    extents: Extents,
    row: usize,
) -> usize {
    let depth = extents.depth;
    let mut a_rows = [(&[] as &[S::f32s], &[] as &[f32]); ROWS];
    for (i, parts) in a_rows.iter_mut().enumerate() {
        *parts = S::as_simd_f32s(&a.data[(row + i) * a.stride..][..depth]);
    }
    for j in 0..extents.cols {
        let (b_vectors, b_tail) = S::as_simd_f32s(&b.data[j * b.stride..][..depth]);
        let mut sums = [simd.splat_f32s(0.0); ROWS];
        for (k, vector) in b_vectors.iter().enumerate() {
            for i in 0..ROWS {
                sums[i] = simd.mul_add_e_f32s(a_rows[i].0[k], *vector, sums[i]);
            }
        }
        if !b_tail.is_empty() {
            let vector = simd.partial_load_f32s(b_tail);
            for i in 0..ROWS {
                let tail = simd.partial_load_f32s(a_rows[i].1);
                sums[i] = simd.mul_add_e_f32s(tail, vector, sums[i]);
            }
        }
        for i in 0..ROWS {
            c[(row + i) * c_stride + j] = simd.reduce_sum_f32s(sums[i]);
        }
    }
    ROWS
}

#[cfg(test)]
mod tests {
    use super::super::on_every_simd;
    use super::*;
    use pulp::WithSimd;

    const C_STRIDE: usize = 70;

    struct Product<'a> {
        a: Tile<'a>,
        b: Tile<'a>,
        extents: Extents,
        accumulate: bool,
        transposed: bool,
    }

    impl WithSimd for Product<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let Self { a, b, extents, accumulate, transposed } = self;
            let mut c = vec![0.5; 32 * C_STRIDE];
            match (transposed, accumulate) {
                (true, _) => dot_products(simd, a, b, &mut c, C_STRIDE, extents),
                (_, true) => tile_product::<S, true>(simd, a, b, &mut c, C_STRIDE, extents),
                (_, false) => tile_product::<S, false>(simd, a, b, &mut c, C_STRIDE, extents),
            }
            c
        }
    }

    #[test]
    fn every_number_of_rows_and_vectors() {
        // Small integers: sums are exact in f32 in any order.
        let values: Vec<f32> = (0..8000).map(|i| ((i * 37) % 17) as f32 - 8.0).collect();
        for rows in 0..=19 {
            for (cols, depth) in [(16, 5), (48, 33), (64, 1), (64, 64), (0, 3), (32, 0)] {
                let extents = Extents { rows, cols, depth };
                let a = Tile { data: &values, stride: 67 };
                let b = Tile { data: &values[100..], stride: 71 };
                for accumulate in [false, true] {
                    for transposed in [false, true] {
                        let check = |found: Vec<f32>| {
                            for i in 0..32 {
                                for j in 0..C_STRIDE {
                                    let expected = if i >= rows || j >= cols {
                                        0.5
                                    } else {
                                        let start =
                                            if accumulate && !transposed { 0.5 } else { 0.0 };
                                        (0..depth).fold(start, |sum, k| {
                                            let at = if transposed { (j, k) } else { (k, j) };
                                            sum + a.data[i * 67 + k] * b.data[at.0 * 71 + at.1]
                                        })
                                    };
                                    assert_eq!(found[i * C_STRIDE + j], expected);
                                }
                            }
                        };
                        on_every_simd(|| Product { a, b, extents, accumulate, transposed }, check);
                    }
                }
            }
        }
    }
}
