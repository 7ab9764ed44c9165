//! Differential attention, second version (DIFF V2).

use minuend_ir::ops::{DiffAttention, HeadPairing};

use crate::ops::attention::QueryHeads;
use crate::ops::elementwise::sigmoid;
use crate::ops::{Computed, reals};
use crate::tensor::{Data, Tensor};

/// `softmax(scale * q_2i k^T + mask) v - sigmoid(lambda_i) * softmax(scale * q_2i+1 k^T + mask) v` for
/// every output head `i`. Each softmax is normalised before the difference is taken.
pub(crate) fn diff_attention(
    op: DiffAttention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    lambda: &Tensor,
) -> Computed {
    let heads = QueryHeads::new(op.attention(), q, k, v)?;
    let lambda = reals(lambda)?;
    let output_heads = heads.heads / 2;
    let mut result = Vec::new();
    for batch in 0..heads.batches {
        for head in 0..output_heads {
            let (signal_head, noise_head) = match op.pairing {
                HeadPairing::Interleaved => (2 * head, 2 * head + 1),
            };
            for query in 0..heads.queries {
                let gate = sigmoid(lambda[(batch * output_heads + head) * heads.queries + query]);
                let signal = heads.context(batch, signal_head, query);
                let noise = heads.context(batch, noise_head, query);
                result.extend(signal.iter().zip(noise).map(|(s, n)| s - gate * n));
            }
        }
    }
    Ok(Data::Reals(result))
}
