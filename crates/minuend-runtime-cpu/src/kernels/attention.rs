//! Attention and differential attention: checks, the division into tasks, and the choice between
//! one pass over the keys and several merged ones.

use rayon::prelude::*;

use super::flash::{Attend, KEY_TILE, Problem, RowState, RowTile};
use super::{KernelError, Mask, StridedMut, StridedRef};

/// Query positions of a row tile: few enough to leave out most masked keys.
const POSITIONS_PER_TILE: usize = 64;
/// Rows (heads times streams times positions) that a tile aims for.
const ROWS_PER_TILE: usize = 128;
/// Keys that a part of a split row tile has at least.
const KEYS_PER_PART: usize = 4 * KEY_TILE;

/// Differential attention (DIFF V2) of `h` pairs of query heads:
///
/// `out_i = softmax(q_{2i} k^T * scale) v - sigmoid(lambda_i) * softmax(q_{2i+1} k^T * scale) v`
///
/// with `q: [B, 2h, S, d]`, `k: [B, g, T, d]`, `v: [B, g, T, dv]`, `lambda: [B, h, S, 1]` (logits)
/// and `out: [B, h, S, dv]`. Query head `j` reads key/value head `j / (2h / g)`. The last axes of
/// all but `lambda` must be dense. A softmax over no visible key counts as 0. The difference is
/// taken of the normalised outputs, in f32.
///
/// # Errors
/// A shape that does not fit the others, `h` not a multiple of `g`, or a strided last axis.
pub fn diff_attention(
    q: StridedRef<'_, f32>,
    k: StridedRef<'_, f32>,
    v: StridedRef<'_, f32>,
    lambda: StridedRef<'_, f32>,
    scale: f32,
    mask: Mask,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    run("diff_attention", q, k, v, Some(lambda), scale, mask, out)
}

/// Attention of `h` query heads: `out_i = softmax(q_i k^T * scale) v` with `q: [B, h, S, d]`,
/// `k: [B, g, T, d]`, `v: [B, g, T, dv]`, `out: [B, h, S, dv]`. Query head `i` reads key/value
/// head `i / (h / g)`. Otherwise as [`diff_attention`].
///
/// # Errors
/// As [`diff_attention`].
pub fn attention(
    q: StridedRef<'_, f32>,
    k: StridedRef<'_, f32>,
    v: StridedRef<'_, f32>,
    scale: f32,
    mask: Mask,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    run("attention", q, k, v, None, scale, mask, out)
}

#[allow(clippy::too_many_arguments)]
fn run(
    kernel: &'static str,
    q: StridedRef<'_, f32>,
    k: StridedRef<'_, f32>,
    v: StridedRef<'_, f32>,
    lambda: Option<StridedRef<'_, f32>>,
    scale: f32,
    mask: Mask,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    for (operand, view) in [("q", &q), ("k", &k), ("v", &v)] {
        view.check_rank(kernel, operand, 4)?;
        view.check_dense_rows(kernel, operand)?;
    }
    out.check_rank(kernel, "out", 4)?;
    out.check_dense_rows(kernel, "out")?;
    let &[batch, heads, queries, value_dim] = out.shape() else { return Ok(()) };
    let &[_, kv_heads, keys, head_dim] = k.shape() else { return Ok(()) };
    let streams = if lambda.is_some() { 2 } else { 1 };
    q.check_shape(kernel, "q", &[batch, heads.saturating_mul(streams), queries, head_dim])?;
    k.check_shape(kernel, "k", &[batch, kv_heads, keys, head_dim])?;
    v.check_shape(kernel, "v", &[batch, kv_heads, keys, value_dim])?;
    if let Some(lambda) = &lambda {
        lambda.check_shape(kernel, "lambda", &[batch, heads, queries, 1])?;
    }
    if batch == 0 || heads == 0 || queries == 0 || value_dim == 0 {
        return Ok(());
    }
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(KernelError::Multiple {
            kernel,
            what: "the number of output heads",
            found: heads,
            divisor: kv_heads,
        });
    }
    let problem = Problem {
        q,
        k,
        v,
        lambda,
        scale,
        mask,
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        head_dim,
        value_dim,
    };
    let tiles = row_tiles(&problem);
    let parts = parts_per_tile(&problem, &tiles, rayon::current_num_threads());
    let out = out.into_shared();
    let arch = pulp::Arch::new();
    if parts == 1 {
        tiles.par_iter().with_max_len(1).for_each_init(RowState::default, |state, tile| {
            let keys = problem.visible(tile);
            arch.dispatch(Attend { problem: &problem, tile, keys, state });
            // SAFETY: tiles are disjoint in heads or positions, and each is visited once.
            unsafe { state.store(&problem, tile, &out) };
        });
        return Ok(());
    }
    let mut states: Vec<RowState> = (0..tiles.len() * parts).map(|_| RowState::default()).collect();
    states.par_iter_mut().with_max_len(1).enumerate().for_each(|(index, state)| {
        let tile = &tiles[index / parts];
        let visible = problem.visible(tile);
        let part = index % parts;
        let bound = |part: usize| visible.start + visible.len() * part / parts;
        let keys = bound(part)..bound(part + 1);
        arch.dispatch(Attend { problem: &problem, tile, keys, state });
    });
    for (tile, states) in tiles.iter().zip(states.chunks_exact_mut(parts)) {
        if let Some((first, rest)) = states.split_first_mut() {
            rest.iter_mut().for_each(|other| first.merge(&problem, tile, other));
            // SAFETY: tiles are disjoint in heads or positions, and this loop is sequential.
            unsafe { first.store(&problem, tile, &out) };
        }
    }
    Ok(())
}

/// The row tiles of a problem, those that see most keys first.
fn row_tiles(problem: &Problem<'_>) -> Vec<RowTile> {
    let group = problem.heads / problem.kv_heads;
    let positions = problem.queries.min(POSITIONS_PER_TILE);
    let heads = (ROWS_PER_TILE / (positions * problem.streams())).clamp(1, group);
    let mut tiles = Vec::new();
    for start in (0..problem.queries).step_by(positions).rev() {
        for batch in 0..problem.batch {
            for kv_head in 0..problem.kv_heads {
                for first in (0..group).step_by(heads) {
                    let first_head = kv_head * group + first;
                    tiles.push(RowTile {
                        batch,
                        kv_head,
                        heads: first_head..first_head + heads.min(group - first),
                        positions: start..(start + positions).min(problem.queries),
                    });
                }
            }
        }
    }
    tiles
}

/// Into how many ranges of keys each tile is split: more than one where there are fewer tiles than
/// threads and enough keys, as when decoding.
fn parts_per_tile(problem: &Problem<'_>, tiles: &[RowTile], threads: usize) -> usize {
    if tiles.len() >= threads {
        return 1;
    }
    let visible = tiles.iter().map(|tile| problem.visible(tile).len()).max().unwrap_or(0);
    (2 * threads).div_ceil(tiles.len().max(1)).min(visible / KEYS_PER_PART).max(1)
}

#[cfg(test)]
mod tests;
