//! Attention and differential attention, in the scale of attention over `|v|`.

use minuend::ir::DType;
use minuend::ir::ops::Mask;

use super::Problems;
use crate::diff_attention_problem::{AttentionShape, DECODE, Jumps, Operands};
use crate::problem::{Built, Problem};

const SHAPE: AttentionShape = AttentionShape {
    batch: 2,
    heads: 4,
    group: 2,
    tokens: 7,
    past: 5,
    head_dim: 16,
    value_dim: 16,
    ..DECODE
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

/// The shapes above that change how operands are read, not how they are cut into tiles.
fn is_of_every_type(shape: &AttentionShape) -> bool {
    shape.batch != SHAPE.batch
        || (shape.head_dim, shape.value_dim) != (SHAPE.head_dim, SHAPE.value_dim)
        || shape.lambda_reach != SHAPE.lambda_reach
        || (shape.mask == Mask::Causal && shape.tokens < 20)
}

/// Sizes on both sides of the tiles of GPU kernels, one sequence of two heads with one key/value head.
fn tiles() -> Vec<(Size, AttentionShape)> {
    let base = AttentionShape { heads: 2, group: 2, head_dim: 64, value_dim: 64, ..DECODE };
    let mut shapes = Vec::new();
    for (tokens, mask) in [
        (1, Mask::Full),
        (2, window(1)),
        (15, window(33)),
        (16, Mask::Causal),
        (17, Mask::Full),
        (63, window(64)),
        (64, Mask::Causal),
        (65, Mask::Causal),
        (65, Mask::Full),
        (77, window(33)),
        (127, Mask::Causal),
        (128, window(64)),
        (129, Mask::Causal),
        (129, Mask::Full),
        (191, window(33)),
        (192, Mask::Causal),
        (193, Mask::Causal),
        (193, Mask::Full),
    ] {
        let size = if tokens == 65 { Size::Quick } else { Size::Usual };
        shapes.push((size, AttentionShape { tokens, mask, ..base }));
    }
    let queries_before_keys = AttentionShape { tokens: 300, past: 200, mask: Mask::Full, ..base };
    shapes.push((Size::Large, queries_before_keys));
    shapes.push((Size::Large, AttentionShape { mask: Mask::Causal, ..queries_before_keys }));
    // More tiles than twice the multiprocessors of a GPU: thread blocks take one after the other, and go
    // round the buffers that they keep keys, values and queries in.
    for (d, group) in [(64, 4), (128, 1)] {
        let (head_dim, value_dim) = (d, d);
        let many = AttentionShape { batch: 96, heads: 8, group, head_dim, value_dim, ..base };
        shapes.push((Size::Large, AttentionShape { tokens: 17, past: 150, ..many }));
    }
    // Rows of heads that share keys and values fill a tile differently with each of these.
    for (heads, group) in [(1, 1), (2, 1), (4, 4), (8, 8), (8, 4), (3, 1)] {
        for (batch, tokens) in [(1, 17), (2, 1), (3, 33)] {
            let shape = AttentionShape { batch, heads, group, tokens, past: 40, ..base };
            shapes.push((Size::Usual, shape));
        }
    }
    for d in [16, 80, 128, 256] {
        for (tokens, past) in [(1, 128), (65, 0), (130, 3)] {
            let (head_dim, value_dim) = (d, d);
            let size = if tokens * d as u64 > 10_000 { Size::Large } else { Size::Usual };
            shapes.push((size, AttentionShape { tokens, past, head_dim, value_dim, ..base }));
        }
    }
    shapes
}

/// Few queries and many keys: kernels split the keys between blocks and merge what each of them has.
fn decode_steps() -> Vec<(Size, AttentionShape)> {
    let base = AttentionShape { heads: 4, group: 4, head_dim: 64, value_dim: 64, ..DECODE };
    let mut shapes = Vec::new();
    for keys in [1023, 1024, 1025, 4099] {
        for tokens in [1, 2, 4, 8] {
            let size = match (keys, tokens) {
                (1025, 1) => Size::Quick,
                (4099, 2..) => Size::Large,
                _ => Size::Usual,
            };
            shapes.push((size, AttentionShape { tokens, past: keys - tokens, ..base }));
        }
    }
    for (mask, keys) in [(window(64), 1025), (window(1), 1024), (Mask::Full, 4099)] {
        shapes.push((Size::Usual, AttentionShape { past: keys - 1, mask, ..base }));
    }
    let (batch, heads, group) = (3, 8, 8);
    shapes.push((Size::Usual, AttentionShape { batch, heads, group, past: 600, ..base }));
    let (head_dim, value_dim) = (128, 128);
    shapes.push((Size::Usual, AttentionShape { head_dim, value_dim, past: 1500, ..base }));
    shapes
}

/// Operands in the rows of one projection, and scores that are far from each other.
fn odd_operands() -> Vec<(Size, AttentionShape)> {
    let base = AttentionShape { heads: 4, group: 2, head_dim: 64, value_dim: 64, ..DECODE };
    let mut shapes = Vec::new();
    let operands = Operands::Packed;
    for (batch, tokens, d) in [(1, 1, 64), (2, 65, 64), (3, 17, 16), (1, 70, 80), (2, 40, 128)] {
        let (head_dim, value_dim) = (d, d);
        let shape = AttentionShape { batch, tokens, head_dim, value_dim, operands, ..base };
        shapes.push((if batch == 3 { Size::Quick } else { Size::Usual }, shape));
    }
    for (query, sink) in [(64, 1), (4, 128), (64, 128)] {
        let jumps = Some(Jumps { query, sink });
        for (tokens, past) in [(1, 1030), (65, 64), (17, 0)] {
            let size = if (tokens, sink) == (65, 128) { Size::Quick } else { Size::Usual };
            shapes.push((size, AttentionShape { tokens, past, jumps, ..base }));
        }
    }
    shapes
}

/// Where a problem runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// Everywhere.
    Quick,
    /// In tests and in whole runs.
    Usual,
    /// In whole runs.
    Large,
}

fn window(window: u32) -> Mask {
    Mask::SlidingWindow { window }
}

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    let sized = |(is_quick, shape)| (if is_quick { Size::Quick } else { Size::Usual }, shape);
    let is_wanted =
        |(_, shape): &(bool, AttentionShape)| t == DType::F32 || is_of_every_type(shape);
    let mut all: Vec<(Size, AttentionShape)> =
        shapes().into_iter().filter(is_wanted).map(sized).collect();
    all.extend(tiles());
    all.extend(decode_steps());
    all.extend(odd_operands());
    for (size, shape) in all {
        let shape = AttentionShape { activations: t, ..shape };
        // Lambda is no part of plain attention.
        if shape.lambda_reach == SHAPE.lambda_reach {
            add(problems, size, format!("attention {shape}"), move |name| shape.attention(name));
        }
        let name = format!("diff_attention {shape} lambda {}", shape.lambda_reach);
        add(problems, size, name, move |name| shape.differential(name));
    }
}

fn add(
    problems: &mut Problems,
    size: Size,
    name: String,
    make: impl Fn(&str) -> Built<Problem> + Send + Sync + 'static,
) {
    match size {
        Size::Large => problems.add_large(name, make),
        Size::Quick | Size::Usual => problems.add(size == Size::Quick, name, make),
    }
}
