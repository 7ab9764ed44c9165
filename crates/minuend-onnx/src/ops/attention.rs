//! `Attention` of opset 23, in primitive ops.

use minuend_ir::decompose::visible_keys;
use minuend_ir::ops::{Mask, UnaryOp};
use minuend_ir::{DType, Dim, Emit, ValueId};

use crate::node::{Node, Refusal, Results};
use crate::value::Value;

/// `softmax(scale q k^T + mask) v` with grouped heads, an optional cache, and the results `Y`, `present_key`,
/// `present_value`, `qk_matmul_output`.
pub(super) fn attention(n: &mut Node<'_>) -> Results {
    let is_packed = n.shape(0)?.len() == 3;
    let query_heads = n.attr_int("q_num_heads", 0);
    let kv_heads = n.attr_int("kv_num_heads", 0);
    let q = heads(n, 0, query_heads)?;
    let mut k = heads(n, 1, kv_heads)?;
    let mut v = heads(n, 2, kv_heads)?;
    if let (Some(past_k), Some(past_v)) = (n.optional_tensor(4)?, n.optional_tensor(5)?) {
        k = n.graph().concat(2, &[past_k, k])?;
        v = n.graph().concat(2, &[past_v, v])?;
    }
    let (present_k, present_v) = (k, v);
    let dtype = n.graph().type_of(q).dtype;
    let g = n.graph();
    let head_dim = g.size(q, 3);
    let (queries, keys) = (g.size(q, 2), g.size(k, 2));
    let groups = g.size(k, 1);
    let repeat = g.size(q, 1).exact_div(&groups);
    let repeat =
        repeat.ok_or_else(|| Refusal::new("query heads are no multiple of key heads", ""))?;
    let k = g.repeat_interleaved(k, 1, &repeat)?;
    let v = g.repeat_interleaved(v, 1, &repeat)?;
    let scores = g.matmul_transposed(q, k)?;
    let scores = g.cast(scores, DType::F32)?;
    let scale = match (n.has_attribute("scale"), head_dim.as_const()) {
        (true, _) => n.attr_float("scale", 1.0),
        (false, Some(size)) => 1.0 / (size.max(1) as f64).sqrt(),
        (false, None) => {
            let found = format!("heads of {} features", head_dim.display(n.symbols()));
            return Err(Refusal::new(found, "give scale, or heads of a fixed size"));
        }
    };
    let scale = n.graph().real(DType::F32, scale)?;
    let mut scores = n.graph().mul(scores, scale)?;
    let raw = scores;
    let mut masked = None;
    if let Some(mask) = n.optional_tensor(3)? {
        scores = given_mask(n, scores, mask)?;
        masked = Some(scores);
    }
    if n.attr_int("is_causal", 0) != 0 {
        // The operator counts positions of queries from 0, also behind a cache, unless that is given.
        let visible = if n.has(4) {
            visible_keys(Mask::Causal, &queries, &keys, n.graph())?
        } else {
            from_the_start(n, &queries, &keys)?
        };
        if let Some(visible) = visible {
            let hidden = n.graph().real(DType::F32, f64::NEG_INFINITY)?;
            scores = n.graph().select(visible, scores, hidden)?;
            masked = Some(scores);
        }
    }
    let softcap = n.attr_float("softcap", 0.0);
    if softcap != 0.0 {
        if masked.is_some() {
            return Err(Refusal::new(
                "softcap beside a mask",
                "write the attention with other operators",
            ));
        }
        let cap = n.graph().real(DType::F32, softcap)?;
        let g = n.graph();
        let scaled = g.binary(minuend_ir::ops::BinaryOp::Div, scores, cap)?;
        let bent = g.unary(UnaryOp::Tanh, scaled)?;
        scores = g.mul(bent, cap)?;
    }
    let g = n.graph();
    let weights = g.softmax(3, scores)?;
    let weights = g.cast(weights, dtype)?;
    let mut y = g.matmul(weights, v)?;
    if is_packed {
        let [batch, heads, tokens, width] = [0, 1, 2, 3].map(|axis| g.size(y, axis));
        y = g.transpose(y, &[0, 2, 1, 3])?;
        y = g.reshape(y, &[batch, tokens, &heads * &width])?;
    }
    let mut results = vec![Value::Tensor(y), Value::Tensor(present_k), Value::Tensor(present_v)];
    if n.has_output(3) {
        let shown = match n.attr_int("qk_matmul_output_mode", 0) {
            0 => raw,
            1 => masked.unwrap_or(raw),
            3 => weights,
            mode => {
                let found = format!("qk_matmul_output_mode = {mode}");
                return Err(Refusal::new(found, "0, 1 and 3 are supported"));
            }
        };
        let shown = n.graph().cast(shown, dtype)?;
        results.push(Value::Tensor(shown));
    }
    Ok(results)
}

/// `[B, heads, S, d]` of an input of that shape or of `[B, S, heads d]`.
fn heads(n: &mut Node<'_>, input: usize, heads: i64) -> Result<ValueId, Refusal> {
    let x = n.tensor(input)?;
    let shape = n.graph().type_of(x).shape.clone();
    match shape.as_slice() {
        [_, _, _, _] => Ok(x),
        [batch, tokens, width] => {
            let head_dim = width.exact_div(&Dim::from(heads)).filter(|_| heads > 0);
            let head_dim = head_dim.ok_or_else(|| {
                let found = format!("{heads} heads for input {input} of 3 axes");
                Refusal::new(found, "give q_num_heads and kv_num_heads")
            })?;
            let g = n.graph();
            let apart =
                g.reshape(x, &[batch.clone(), tokens.clone(), Dim::from(heads), head_dim])?;
            Ok(g.transpose(apart, &[0, 2, 1, 3])?)
        }
        shape => {
            let found = format!("input {input} has {} axes", shape.len());
            Err(Refusal::new(found, "expected 3 or 4"))
        }
    }
}

/// Adds a mask of numbers, or hides where a mask of truth values is false.
fn given_mask(n: &mut Node<'_>, scores: ValueId, mask: ValueId) -> Result<ValueId, Refusal> {
    let g = n.graph();
    if g.type_of(mask).dtype == DType::Bool {
        let hidden = g.real(DType::F32, f64::NEG_INFINITY)?;
        return Ok(g.select(mask, scores, hidden)?);
    }
    let mask = g.cast(mask, DType::F32)?;
    Ok(g.add_values(scores, mask)?)
}

/// Query `i` sees keys `j <= i`.
fn from_the_start(n: &mut Node<'_>, queries: &Dim, keys: &Dim) -> Result<Option<ValueId>, Refusal> {
    let g = n.graph();
    let row = g.iota(queries.clone())?;
    let row = g.reshape(row, &[queries.clone(), Dim::one()])?;
    let column = g.iota(keys.clone())?;
    Ok(Some(g.compare(minuend_ir::ops::CompareOp::Le, column, row)?))
}
