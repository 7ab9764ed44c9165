//! `RotaryEmbedding` of opset 23, in primitive ops.

use minuend_ir::ops::Slice;
use minuend_ir::{Dim, Emit, ValueId};

use crate::node::{Node, Refusal, Results, one};

/// Rotates pairs of features of `[B, heads, S, d]` or `[B, S, heads d]` by cosines and sines, which
/// position ids choose out of tables `[positions, r/2]` or which are given as `[B, S, r/2]`.
pub(super) fn rotary_embedding(n: &mut Node<'_>) -> Results {
    let x = n.tensor(0)?;
    let own = n.graph().type_of(x).shape.clone();
    let heads = n.attr_int("num_heads", 0);
    // [B, heads, S, d]
    let split = match own.as_slice() {
        [_, _, _, _] => x,
        [batch, tokens, width] => {
            let head_dim = width.exact_div(&Dim::from(heads)).filter(|_| heads > 0);
            let head_dim = head_dim.ok_or_else(|| {
                Refusal::new(format!("num_heads = {heads} for an input of 3 axes"), "")
            })?;
            let apart = [batch.clone(), tokens.clone(), Dim::from(heads), head_dim];
            let apart = n.graph().reshape(x, &apart)?;
            n.graph().transpose(apart, &[0, 2, 1, 3])?
        }
        shape => {
            return Err(Refusal::new(
                format!("an input of {} axes", shape.len()),
                "expected 3 or 4",
            ));
        }
    };
    let width = n.graph().size(split, 3);
    let rotated = match n.attr_int("rotary_embedding_dim", 0) {
        0 => width.clone(),
        rotated => Dim::from(rotated),
    };
    let is_part = rotated != width;
    let half = rotated.exact_div(&Dim::from(2));
    let half = half.ok_or_else(|| Refusal::new("an odd number of features to rotate", ""))?;
    let (cos, sin) = (table(n, 1)?, table(n, 2)?);
    let is_interleaved = n.attr_int("interleaved", 0) != 0;
    let g = n.graph();
    let part = if is_part { g.slice(split, Slice::range(3, 0, rotated.clone()))? } else { split };
    let (first, second) = if is_interleaved {
        (Slice::strided(3, 0, 2), Slice::strided(3, 1, 2))
    } else {
        (Slice::range(3, 0, half.clone()), Slice::range(3, half, rotated.clone()))
    };
    let (a, b) = (g.slice(part, first)?, g.slice(part, second)?);
    let (a_cos, b_sin) = (g.mul(a, cos)?, g.mul(b, sin)?);
    let (a_sin, b_cos) = (g.mul(a, sin)?, g.mul(b, cos)?);
    let (a, b) = (g.sub(a_cos, b_sin)?, g.add_values(a_sin, b_cos)?);
    let mut turned = if is_interleaved {
        let shape = g.type_of(part).shape.clone();
        let mut pairs = g.type_of(a).shape.clone();
        pairs.push(Dim::one());
        let (a, b) = (g.reshape(a, &pairs)?, g.reshape(b, &pairs)?);
        let joined = g.concat(4, &[a, b])?;
        g.reshape(joined, &shape)?
    } else {
        g.concat(3, &[a, b])?
    };
    if is_part {
        let rest = g.slice(split, Slice::range(3, rotated, width))?;
        turned = g.concat(3, &[turned, rest])?;
    }
    if own.len() == 3 {
        turned = g.transpose(turned, &[0, 2, 1, 3])?;
    }
    one(g.reshape(turned, &own)?)
}

/// Cosines or sines `[B, 1, S, r/2]`.
fn table(n: &mut Node<'_>, input: usize) -> Result<ValueId, Refusal> {
    let mut table = n.tensor(input)?;
    if let Some(positions) = n.optional_tensor(3)? {
        table = n.graph().gather(0, table, positions)?;
    }
    let mut shape = n.graph().type_of(table).shape.clone();
    if shape.len() != 3 {
        return Err(Refusal::new(
            format!("tables of {} axes behind the choice of positions", shape.len()),
            "expected [B, S, d/2], or [positions, d/2] and position_ids",
        ));
    }
    shape.insert(1, Dim::one());
    Ok(n.graph().reshape(table, &shape)?)
}
