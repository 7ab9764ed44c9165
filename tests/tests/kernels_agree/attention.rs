//! Attention and differential attention: first the fusion, then the numbers, in the scale of attention
//! over `|v|`.

use minuend::ir::ops::Mask;
use minuend_tests::agreement::assert_agree;
use minuend_tests::diff_attention_problem::{AttentionShape, DiffAttentionProblem};
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

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

/// One change to [`SHAPE`] after the other.
fn shapes() -> Vec<AttentionShape> {
    let mut shapes = Vec::new();
    for mask in [Mask::Full, Mask::Causal, window(1), window(3), window(64), window(200)] {
        for (tokens, past) in
            [(1, 0), (1, 64), (2, 1), (7, 5), (63, 0), (64, 0), (65, 0), (5, 128), (65, 64)]
        {
            shapes.push(AttentionShape { mask, tokens, past, ..SHAPE });
        }
    }
    for (heads, group) in [(1, 1), (3, 1), (4, 4), (8, 8), (6, 2), (8, 1)] {
        shapes.push(AttentionShape { heads, group, batch: 3, ..SHAPE });
    }
    for (head_dim, value_dim) in [(2, 2), (6, 10), (16, 32), (64, 16), (34, 1), (128, 128)] {
        shapes.push(AttentionShape { head_dim, value_dim, ..SHAPE });
    }
    // Gates at both ends of the sigmoid.
    shapes.push(AttentionShape { lambda_reach: 100, ..SHAPE });
    shapes
}

fn window(window: u32) -> Mask {
    Mask::SlidingWindow { window }
}

#[test]
fn attention() {
    for shape in shapes() {
        assert_agree(&shape.attention());
    }
}

#[test]
fn differential_attention() {
    for shape in shapes() {
        assert_agree(&shape.differential());
    }
}

#[test]
fn random_differential_attention() {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&any::<DiffAttentionProblem>(), |problem| {
        assert_agree(&problem.0.differential());
        Ok(())
    });
    outcome.unwrap();
}
