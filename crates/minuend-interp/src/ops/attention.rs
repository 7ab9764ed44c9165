//! Scaled dot-product attention with grouped keys and values.

use std::ops::Range;

use minuend_ir::ops::{Attention, Mask};

use crate::error::Fault;
use crate::ops::matmul::dot;
use crate::ops::reduce::softmax_row;
use crate::ops::{Computed, reals, sizes};
use crate::tensor::{Data, Tensor};

/// `softmax(scale * q k^T + mask) v` for every query head.
pub(crate) fn attention(op: Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Computed {
    let heads = QueryHeads::new(op, q, k, v)?;
    let mut result = Vec::new();
    for batch in 0..heads.batches {
        for head in 0..heads.heads {
            for query in 0..heads.queries {
                result.extend(heads.context(batch, head, query));
            }
        }
    }
    Ok(Data::Reals(result))
}

/// The operands of an attention: `q [batches, heads, queries, d]`, `k [batches, kv_heads, keys, d]`,
/// `v [batches, kv_heads, keys, d_v]`.
pub(crate) struct QueryHeads<'a> {
    op: Attention,
    q: &'a [f64],
    k: &'a [f64],
    v: &'a [f64],
    pub(crate) batches: usize,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    kv_heads: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
}

impl<'a> QueryHeads<'a> {
    pub(crate) fn new(
        op: Attention,
        q: &'a Tensor,
        k: &'a Tensor,
        v: &'a Tensor,
    ) -> Result<QueryHeads<'a>, Fault> {
        let [batches, heads, queries, head_dim] = sizes(q)?;
        let [_, kv_heads, keys, value_dim] = sizes(v)?;
        let (q, k, v) = (reals(q)?, reals(k)?, reals(v)?);
        Ok(QueryHeads { op, q, k, v, batches, heads, queries, kv_heads, keys, head_dim, value_dim })
    }

    /// What one query reads from its keys: `sum over j of softmax(scale * q . k_j) v_j`. Zero if it
    /// sees no key.
    pub(crate) fn context(&self, batch: usize, head: usize, query: usize) -> Vec<f64> {
        let kv_head = head / (self.heads / self.kv_heads);
        let first_key = (batch * self.kv_heads + kv_head) * self.keys;
        let query_row = (batch * self.heads + head) * self.queries + query;
        let q = row(self.q, query_row, self.head_dim);
        let visible = visible_keys(self.op.mask, query, self.queries, self.keys);

        let scale = self.op.scale.get();
        let mut weights: Vec<f64> = visible
            .clone()
            .map(|key| scale * dot(q, row(self.k, first_key + key, self.head_dim)))
            .collect();
        softmax_row(&mut weights);

        let mut context = vec![0.0; self.value_dim];
        for (weight, key) in weights.iter().zip(visible) {
            let value = row(self.v, first_key + key, self.value_dim);
            for (sum, value) in context.iter_mut().zip(value) {
                *sum += weight * value;
            }
        }
        context
    }
}

/// The keys that a query sees. Query `i` of `S` stands at position `i + (T - S)` of `T` keys.
fn visible_keys(mask: Mask, query: usize, queries: usize, keys: usize) -> Range<usize> {
    // A masked attention has T >= S; the position does not matter to a full one.
    let position = query + keys.saturating_sub(queries);
    match mask {
        Mask::Full => 0..keys,
        Mask::Causal => 0..position + 1,
        Mask::SlidingWindow { window } => {
            (position + 1).saturating_sub(window as usize)..position + 1
        }
    }
}

fn row(values: &[f64], index: usize, width: usize) -> &[f64] {
    &values[index * width..(index + 1) * width]
}
