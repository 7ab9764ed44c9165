//! In which physical order a result is stored.

use minuend_ir::view::dense_strides;
use minuend_ir::{Dim, Op, Shape};

/// Strides of a fresh result. Attention and rope results `[B, heads, S, d]` are stored token by token,
/// so that joining the heads of a token, which always follows, is a view.
pub(crate) fn result_strides(op: &Op, shape: &[Dim]) -> Shape {
    let by_token = matches!(op, Op::Attention(_) | Op::DiffAttention(_) | Op::Rope(_));
    match shape {
        [batch, heads, tokens, features] if by_token => {
            let stored = [batch, tokens, heads, features].map(Dim::clone);
            let strides = dense_strides(&stored);
            match strides.as_slice() {
                [batch, token, head, feature] => {
                    [batch, head, token, feature].into_iter().cloned().collect()
                }
                _ => strides,
            }
        }
        _ => dense_strides(shape),
    }
}
