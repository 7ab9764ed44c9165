//! Attention and differential attention, in the scale of attention over `|v|`.

use minuend::ir::ops::Mask;

use super::Problems;
use crate::diff_attention_problem::AttentionShape;

const SHAPE: AttentionShape = AttentionShape {
    batch: 2,
    heads: 4,
    group: 2,
    tokens: 7,
    past: 5,
    head_dim: 16,
    value_dim: 16,
    mask: Mask::Causal,
    lambda_reach: 4,
};

/// One change to [`SHAPE`] after the other; true for those that stand for the rest.
fn shapes() -> Vec<(bool, AttentionShape)> {
    let mut shapes = Vec::new();
    for mask in [Mask::Full, Mask::Causal, window(1), window(3), window(64), window(200)] {
        for (tokens, past) in [
            (1, 0),
            (1, 64),
            (2, 1),
            (7, 5),
            (15, 0),
            (16, 1),
            (17, 16),
            (63, 0),
            (64, 0),
            (65, 0),
            (5, 128),
            (65, 64),
        ] {
            let is_quick = match mask {
                Mask::Causal => matches!((tokens, past), (1, 64) | (7, 5) | (65, 0)),
                Mask::Full => (tokens, past) == (7, 5),
                Mask::SlidingWindow { window } => (tokens, past, window) == (17, 16, 3),
            };
            shapes.push((is_quick, AttentionShape { mask, tokens, past, ..SHAPE }));
        }
    }
    for (heads, group) in [(1, 1), (3, 1), (4, 4), (8, 8), (6, 2), (8, 1)] {
        shapes.push((heads == 6, AttentionShape { heads, group, batch: 3, ..SHAPE }));
    }
    for (head_dim, value_dim) in
        [(2, 2), (6, 10), (16, 32), (64, 16), (34, 1), (64, 64), (96, 96), (128, 128), (256, 256)]
    {
        shapes.push((head_dim == 64, AttentionShape { head_dim, value_dim, ..SHAPE }));
    }
    // Gates at both ends of the sigmoid.
    shapes.push((true, AttentionShape { lambda_reach: 100, ..SHAPE }));
    shapes
}

fn window(window: u32) -> Mask {
    Mask::SlidingWindow { window }
}

pub(super) fn list(problems: &mut Problems) {
    for (is_quick, shape) in shapes() {
        // Lambda is no part of plain attention.
        if shape.lambda_reach == SHAPE.lambda_reach {
            let of = shape.clone();
            problems.add(is_quick, format!("attention {shape}"), move |name| of.attention(name));
        }
        let name = format!("diff_attention {shape} lambda {}", shape.lambda_reach);
        problems.add(is_quick, name, move |name| shape.differential(name));
    }
}
