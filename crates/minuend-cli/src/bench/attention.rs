//! One fused differential attention.

use minuend::ir::ops::{Attention, Mask, Slice, UnaryOp};
use minuend::ir::{Emit, Graph, Real, TypeError, ValueId};
use minuend::{StoredDtype, Target};

use super::BenchArgs;
use super::one_op::{OneOp, OpTensor};
use crate::failure::Failure;

/// The attention that the arguments describe, on a target.
pub(super) fn one_op(args: &BenchArgs, target: &dyn Target) -> Result<OneOp, Failure> {
    let activations = args.activations.dtype;
    let dtype = activations.dtype(target, StoredDtype::F32).map_err(minuend::Error::from)?;
    let sizes = [args.batch, args.pairs, args.kv_heads, args.tokens, args.past, args.head_dim];
    let [batch, pairs, kv_heads, tokens, past, head_dim] = sizes.map(|size| size as usize);
    if !pairs.is_multiple_of(kv_heads) {
        return Err(Failure::BenchHeads { pairs, kv_heads });
    }
    let keys = past + tokens;
    let tensor = |name, heads, rows, width| OpTensor {
        name,
        shape: vec![batch, heads, rows, width],
        dtype,
        is_weight: false,
    };
    let (mask, mask_name) = if args.full { (Mask::Full, "full") } else { (Mask::Causal, "causal") };
    let seen = match mask {
        Mask::Full => tokens as f64 * keys as f64,
        // Row i of the queries sees past + i + 1 keys.
        _ => tokens as f64 * (past as f64 + (tokens as f64 + 1.0) / 2.0),
    };
    Ok(OneOp {
        op: "diff_attention",
        description: format!(
            "batch {batch}, {pairs} pairs, {kv_heads} key/value heads, {tokens} tokens, {keys} keys, \
             head width {head_dim}, {mask_name}, {dtype}"
        ),
        tensors: vec![
            tensor("q", 2 * pairs, tokens, head_dim),
            tensor("k", kv_heads, keys, head_dim),
            tensor("v", kv_heads, keys, head_dim),
            tensor("lambda", pairs, tokens, 1),
        ],
        emit: Box::new(move |graph, values| emit(graph, values, mask, head_dim)),
        flops: 2.0 * 2.0 * 2.0 * (batch * pairs) as f64 * seen * head_dim as f64,
    })
}

/// Differential attention as front ends write it: attention, strided slices, gate, difference.
fn emit(
    graph: &mut Graph,
    values: &[ValueId],
    mask: Mask,
    head_dim: usize,
) -> Result<ValueId, TypeError> {
    let [q, k, v, lambda] = [values[0], values[1], values[2], values[3]];
    let scale = Real::new((head_dim as f64).powf(-0.5));
    let attended = graph.attention(Attention { mask, scale }, q, k, v)?;
    let even = graph.slice(attended, Slice::strided(1, 0, 2))?;
    let odd = graph.slice(attended, Slice::strided(1, 1, 2))?;
    let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = graph.mul(gate, odd)?;
    graph.sub(even, gated)
}
