//! Attention over tiles of keys with the online softmax (Dao et al., FlashAttention, 2022).
//!
//! A task owns a tile of rows: some query positions of some output heads of one key/value head,
//! once per stream. A plain head has one stream; a differential head has two, query heads `2i` and
//! `2i + 1`, which therefore read every key and value tile together. Each row keeps its running
//! maximum, its sum of exponentials and its unnormalised output; the difference of two streams is
//! taken of the normalised outputs.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::exponential::{exp_lanes, exp_scalar};
use super::scratch::Scratch;
use super::tile_product::{Extents, Tile, dot_products, tile_product};
use super::view::SharedOut;
use super::{Mask, StridedRef};

/// Keys per step, a multiple of every vector width.
pub(super) const KEY_TILE: usize = 64;
/// Rows whose scores are computed, exponentiated and multiplied with the values in one go, so that
/// they stay in the first-level cache.
const ROW_BLOCK: usize = 8;
/// Up to this many rows, dot products with the keys as stored cost less than transposing the keys.
const ROWS_WITHOUT_TRANSPOSE: usize = 4;

/// The operands of an attention call and their extents, checked by the entry points.
pub(super) struct Problem<'a> {
    /// `[batch, heads * streams, queries, head_dim]`, last axis dense.
    pub(super) q: StridedRef<'a, f32>,
    /// `[batch, kv_heads, keys, head_dim]`, last axis dense.
    pub(super) k: StridedRef<'a, f32>,
    /// `[batch, kv_heads, keys, value_dim]`, last axis dense.
    pub(super) v: StridedRef<'a, f32>,
    /// `[batch, heads, queries, 1]`: the logit of each subtracted stream's factor. Present exactly
    /// if there are two streams.
    pub(super) lambda: Option<StridedRef<'a, f32>>,
    pub(super) scale: f32,
    pub(super) mask: Mask,
    pub(super) batch: usize,
    /// Output heads.
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
    pub(super) value_dim: usize,
}

impl Problem<'_> {
    pub(super) fn streams(&self) -> usize {
        if self.lambda.is_some() { 2 } else { 1 }
    }

    /// The keys that some row of the tile sees.
    pub(super) fn visible(&self, tile: &RowTile) -> Range<usize> {
        let first = self.mask.visible(tile.positions.start, self.queries, self.keys);
        let last = self.mask.visible(tile.positions.end - 1, self.queries, self.keys);
        first.start..last.end
    }
}

/// The rows of one task. Row numbers count heads first, then streams, then positions.
#[derive(Debug, Clone)]
pub(super) struct RowTile {
    pub(super) batch: usize,
    pub(super) kv_head: usize,
    /// Output heads, all of them reading `kv_head`. Not empty.
    pub(super) heads: Range<usize>,
    /// Query positions. Not empty.
    pub(super) positions: Range<usize>,
}

impl RowTile {
    fn rows(&self, streams: usize) -> usize {
        self.heads.len() * streams * self.positions.len()
    }

    fn position(&self, row: usize) -> usize {
        self.positions.start + row % self.positions.len()
    }
}

/// The state of a task's rows, and its working memory.
#[derive(Default)]
pub(super) struct RowState {
    /// Queries times the scale, `[rows, head_dim]`.
    queries: Scratch,
    /// A key tile transposed, `[head_dim, KEY_TILE]`.
    keys: Scratch,
    /// A value tile with its rows padded to whole vectors, where `value_dim` is not.
    values: Scratch,
    /// Scores, then probabilities, `[ROW_BLOCK, KEY_TILE]`.
    scores: Scratch,
    /// Largest score of each row so far, `[rows]`.
    max: Scratch,
    /// Sum of `exp(score - max)` of each row so far, `[rows]`.
    sum: Scratch,
    /// Sum of `exp(score - max) * value` of each row so far, `[rows, acc_stride]`.
    acc: Scratch,
    acc_stride: usize,
}

/// Runs the rows of a tile over the given keys, starting from an empty state.
pub(super) struct Attend<'a, 'p> {
    pub(super) problem: &'a Problem<'p>,
    pub(super) tile: &'a RowTile,
    pub(super) keys: Range<usize>,
    pub(super) state: &'a mut RowState,
}

impl WithSimd for Attend<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { problem, tile, keys, state } = self;
        let rows = tile.rows(problem.streams());
        let head_dim = problem.head_dim;
        state.acc_stride = problem.value_dim.next_multiple_of(S::F32_LANES);
        let acc_stride = state.acc_stride;

        let queries = state.queries.take(rows * head_dim);
        load_queries(problem, tile, queries);
        let queries = Tile { data: queries, stride: head_dim };
        let max = state.max.take(rows);
        max.fill(f32::NEG_INFINITY);
        let sum = state.sum.zeroed(rows);
        let acc = state.acc.zeroed(rows * acc_stride);
        let scores = state.scores.take(ROW_BLOCK * KEY_TILE);
        let transposed = state.keys.take(head_dim * KEY_TILE);
        let transpose = rows > ROWS_WITHOUT_TRANSPOSE;

        let (k_strides, v_strides) = (problem.k.strides(), problem.v.strides());
        let k_head = tile.batch * k_strides[0] + tile.kv_head * k_strides[1];
        let v_head = tile.batch * v_strides[0] + tile.kv_head * v_strides[1];

        let mut first = keys.start;
        while first < keys.end {
            let tile_keys = KEY_TILE.min(keys.end - first);
            let k_rows = if head_dim == 0 {
                // Keys without elements: every score is 0, and there may be nothing to slice.
                Tile { data: &[], stride: 0 }
            } else {
                let from = k_head + first * k_strides[2];
                Tile { data: &problem.k.data()[from..], stride: k_strides[2] }
            };
            if transpose {
                transpose_keys(k_rows, tile_keys, head_dim, transposed);
            }
            let v_rows = Tile {
                data: &problem.v.data()[v_head + first * v_strides[2]..],
                stride: v_strides[2],
            };
            let v_rows = if acc_stride == problem.value_dim {
                v_rows
            } else {
                pad_values(v_rows, tile_keys, problem.value_dim, acc_stride, &mut state.values)
            };

            for block in (0..rows).step_by(ROW_BLOCK) {
                let block_rows = ROW_BLOCK.min(rows - block);
                let seen = |row: usize| {
                    let seen =
                        problem.mask.visible(tile.position(row), problem.queries, problem.keys);
                    let start = seen.start.max(first).min(first + tile_keys) - first;
                    let end = seen.end.max(first).min(first + tile_keys) - first;
                    start..end.max(start)
                };
                let mut lowest = tile_keys;
                let mut highest = 0;
                for row in block..block + block_rows {
                    let seen = seen(row);
                    if !seen.is_empty() {
                        lowest = lowest.min(seen.start);
                        highest = highest.max(seen.end);
                    }
                }
                if lowest >= highest {
                    continue;
                }
                let cols = highest.next_multiple_of(S::F32_LANES);
                let q_rows = Tile { data: &queries.data[block * head_dim..], stride: head_dim };
                if transpose {
                    tile_product::<S, false>(
                        simd,
                        q_rows,
                        Tile { data: transposed, stride: KEY_TILE },
                        scores,
                        KEY_TILE,
                        Extents { rows: block_rows, cols, depth: head_dim },
                    );
                } else {
                    let extents = Extents { rows: block_rows, cols: highest, depth: head_dim };
                    dot_products(simd, q_rows, k_rows, scores, KEY_TILE, extents);
                }
                for i in 0..block_rows {
                    let row = block + i;
                    let scores = &mut scores[i * KEY_TILE..][..cols];
                    let rescale =
                        softmax_step(simd, scores, seen(row), &mut max[row], &mut sum[row]);
                    if rescale != 1.0 {
                        scale_row(simd, &mut acc[row * acc_stride..][..acc_stride], rescale);
                    }
                }
                tile_product::<S, true>(
                    simd,
                    Tile { data: &scores[lowest..], stride: KEY_TILE },
                    Tile { data: &v_rows.data[lowest * v_rows.stride..], stride: v_rows.stride },
                    &mut acc[block * acc_stride..],
                    acc_stride,
                    Extents { rows: block_rows, cols: acc_stride, depth: highest - lowest },
                );
            }
            first += tile_keys;
        }
    }
}

/// Copies the rows of the tile from `q`, times the scale.
#[inline(always)]
fn load_queries(problem: &Problem<'_>, tile: &RowTile, queries: &mut [f32]) {
    let (streams, positions) = (problem.streams(), tile.positions.len());
    let strides = problem.q.strides();
    if problem.head_dim == 0 {
        return;
    }
    for (row, to) in queries.chunks_exact_mut(problem.head_dim).enumerate() {
        let head = tile.heads.start * streams + row / positions;
        let from = tile.batch * strides[0] + head * strides[1] + tile.position(row) * strides[2];
        for (to, from) in to.iter_mut().zip(&problem.q.data()[from..from + problem.head_dim]) {
            *to = from * problem.scale;
        }
    }
}

/// `transposed[c, j] = keys[j, c]`. Columns from `count` on keep old values; they belong to no key
/// and their scores are masked.
#[inline(always)]
fn transpose_keys(keys: Tile<'_>, count: usize, head_dim: usize, transposed: &mut [f32]) {
    const KEYS_AT_ONCE: usize = 8;
    let mut j = 0;
    while j + KEYS_AT_ONCE <= count {
        let mut rows = [&[] as &[f32]; KEYS_AT_ONCE];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &keys.data[(j + i) * keys.stride..][..head_dim];
        }
        for (c, line) in transposed.chunks_exact_mut(KEY_TILE).enumerate().take(head_dim) {
            for (to, row) in line[j..j + KEYS_AT_ONCE].iter_mut().zip(&rows) {
                *to = row[c];
            }
        }
        j += KEYS_AT_ONCE;
    }
    for j in j..count {
        let row = &keys.data[j * keys.stride..][..head_dim];
        for (line, value) in transposed.chunks_exact_mut(KEY_TILE).zip(row) {
            line[j] = *value;
        }
    }
}

/// The value rows copied to rows of `stride` elements, zero beyond `value_dim`.
#[inline(always)]
fn pad_values<'s>(
    values: Tile<'_>,
    count: usize,
    value_dim: usize,
    stride: usize,
    scratch: &'s mut Scratch,
) -> Tile<'s> {
    let padded = scratch.zeroed(count * stride);
    if value_dim > 0 {
        for (j, to) in padded.chunks_exact_mut(stride).enumerate() {
            to[..value_dim].copy_from_slice(&values.data[j * values.stride..][..value_dim]);
        }
    }
    Tile { data: padded, stride }
}

/// Turns a row's scores of one key tile into `exp(score - max)` under the row's new maximum and
/// adds them to its sum. Returns the factor by which the earlier output and sum shrink. Scores
/// outside `seen` give 0.
#[inline(always)]
fn softmax_step<S: Simd>(
    simd: S,
    scores: &mut [f32],
    seen: Range<usize>,
    max: &mut f32,
    sum: &mut f32,
) -> f32 {
    if seen.is_empty() {
        scores.fill(0.0);
        return 1.0;
    }
    scores[..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..].fill(f32::NEG_INFINITY);
    let (vectors, _) = S::as_mut_simd_f32s(scores);
    let mut tile_max = simd.splat_f32s(*max);
    for vector in vectors.iter() {
        tile_max = simd.max_f32s(tile_max, *vector);
    }
    let updated = simd.reduce_max_f32s(tile_max);
    // With no finite score yet, any finite reference makes every exponential 0.
    let reference = if updated == f32::NEG_INFINITY { 0.0 } else { updated };
    let rescale = if updated == *max { 1.0 } else { exp_scalar(simd, *max - reference) };
    let shift = simd.splat_f32s(reference);
    let mut total = simd.splat_f32s(0.0);
    for vector in vectors {
        *vector = exp_lanes(simd, simd.sub_f32s(*vector, shift));
        total = simd.add_f32s(total, *vector);
    }
    *sum = *sum * rescale + simd.reduce_sum_f32s(total);
    *max = updated;
    rescale
}

#[inline(always)]
fn scale_row<S: Simd>(simd: S, row: &mut [f32], factor: f32) {
    let factor = simd.splat_f32s(factor);
    let (vectors, _) = S::as_mut_simd_f32s(row);
    for vector in vectors {
        *vector = simd.mul_f32s(*vector, factor);
    }
}

impl RowState {
    /// Adds the rows of `other`, the same tile over other keys: each row's two parts are brought
    /// to their common maximum.
    pub(super) fn merge(&mut self, problem: &Problem<'_>, tile: &RowTile, other: &mut Self) {
        let rows = tile.rows(problem.streams());
        let stride = self.acc_stride;
        let (max, other_max) = (self.max.take(rows), other.max.take(rows));
        let (sum, other_sum) = (self.sum.take(rows), other.sum.take(rows));
        let (acc, other_acc) = (self.acc.take(rows * stride), other.acc.take(rows * stride));
        for row in 0..rows {
            if other_max[row] == f32::NEG_INFINITY {
                continue;
            }
            // `f32::max` returns the other number for NaN; the sums keep the NaN.
            let common = max[row].max(other_max[row]);
            let weight = (max[row] - common).exp();
            let other_weight = (other_max[row] - common).exp();
            sum[row] = sum[row] * weight + other_sum[row] * other_weight;
            let from = &other_acc[row * stride..][..stride];
            for (to, from) in acc[row * stride..][..stride].iter_mut().zip(from) {
                *to = *to * weight + from * other_weight;
            }
            max[row] = common;
        }
    }

    /// Normalises the rows and writes the tile's output, `[batch, heads, queries, value_dim]`.
    ///
    /// # Safety
    /// No other task writes the output of this tile's heads and positions.
    pub(super) unsafe fn store(
        &mut self,
        problem: &Problem<'_>,
        tile: &RowTile,
        out: &SharedOut<'_, f32>,
    ) {
        let (streams, positions) = (problem.streams(), tile.positions.len());
        let rows = tile.rows(streams);
        let (stride, value_dim) = (self.acc_stride, problem.value_dim);
        let sum = self.sum.take(rows);
        let acc = self.acc.take(rows * stride);
        let inverse = |row: usize| if sum[row] == 0.0 { 0.0 } else { 1.0 / sum[row] };
        for (h, head) in tile.heads.clone().enumerate() {
            for (p, position) in tile.positions.clone().enumerate() {
                let out_row = (tile.batch * problem.heads + head) * problem.queries + position;
                // SAFETY: a row of this tile, which is the caller's alone; rows are checked to be
                // dense by the entry points.
                let to = unsafe { out.row_mut(out_row) };
                let row = h * streams * positions + p;
                let norm = inverse(row);
                let kept = &acc[row * stride..][..value_dim];
                let Some(lambda) = &problem.lambda else {
                    to.iter_mut().zip(kept).for_each(|(to, a)| *to = a * norm);
                    continue;
                };
                let strides = lambda.strides();
                let logit = lambda.data()
                    [tile.batch * strides[0] + head * strides[1] + position * strides[2]];
                let gate = 1.0 / (1.0 + (-logit).exp());
                let subtracted_row = row + positions;
                let subtracted_norm = inverse(subtracted_row);
                let subtracted = &acc[subtracted_row * stride..][..value_dim];
                for ((to, a), b) in to.iter_mut().zip(kept).zip(subtracted) {
                    *to = a * norm - gate * (b * subtracted_norm);
                }
            }
        }
    }
}
