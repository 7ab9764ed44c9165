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
    let [pairs, kv_heads, tokens, past, head_dim] =
        [args.pairs, args.kv_heads, args.tokens, args.past, args.head_dim]
            .map(|size| size as usize);
    if !pairs.is_multiple_of(kv_heads) {
        return Err(Failure::BenchHeads { pairs, kv_heads });
    }
    let keys = past + tokens;
    let tensor = |name, heads, rows, width| OpTensor {
        name,
        shape: vec![1, heads, rows, width],
        dtype,
        is_weight: false,
    };
    // Row i of the queries sees past + i + 1 keys.
    let seen = tokens as f64 * (past as f64 + (tokens as f64 + 1.0) / 2.0);
    Ok(OneOp {
        op: "diff_attention",
        description: format!(
            "{pairs} pairs, {kv_heads} key/value heads, {tokens} tokens, {keys} keys, head width \
             {head_dim}, causal, {dtype}"
        ),
        tensors: vec![
            tensor("q", 2 * pairs, tokens, head_dim),
            tensor("k", kv_heads, keys, head_dim),
            tensor("v", kv_heads, keys, head_dim),
            tensor("lambda", pairs, tokens, 1),
        ],
        emit: Box::new(move |graph, values| emit(graph, values, head_dim)),
        flops: 2.0 * 2.0 * 2.0 * pairs as f64 * seen * head_dim as f64,
    })
}

/// Differential attention as front ends write it: attention, strided slices, gate, difference.
fn emit(graph: &mut Graph, values: &[ValueId], head_dim: usize) -> Result<ValueId, TypeError> {
    let [q, k, v, lambda] = [values[0], values[1], values[2], values[3]];
    let scale = Real::new((head_dim as f64).powf(-0.5));
    let attended = graph.attention(Attention { mask: Mask::Causal, scale }, q, k, v)?;
    let even = graph.slice(attended, Slice::strided(1, 0, 2))?;
    let odd = graph.slice(attended, Slice::strided(1, 1, 2))?;
    let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = graph.mul(gate, odd)?;
    graph.sub(even, gated)
}
