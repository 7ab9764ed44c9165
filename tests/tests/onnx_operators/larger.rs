//! Operators of several steps: norms, rotations, attention.

use minuend_interp::Tensor;
use minuend_tests::onnx::writer::{int, real, reals, truths};

use crate::case::{Case, case, halves};

pub(crate) fn cases() -> Vec<Case> {
    [norms(), rotations(), attentions()].concat()
}

fn norms() -> Vec<Case> {
    // Rows of mean 2 and -1, variance 1 and 4.
    let x = || reals(&[2, 2], &[1., 3., -3., 1.]);
    let epsilon = 1e-5f64;
    let deviations = [(1.0 + epsilon).sqrt(), (4.0 + epsilon).sqrt()];
    let [d, e] = deviations;
    let rms = [(5.0 + epsilon).sqrt(), (5.0 + epsilon).sqrt()];
    let [r, s] = rms;
    let scale = || reals(&[2], &[2., 0.5]);
    let rms_of = |op, opset| {
        case(op, "the default epsilon")
            .opset(opset)
            .of(x())
            .of(scale())
            .gives(reals(&[2, 2], &[2. / r, 1.5 / r, -6. / s, 0.5 / s]))
    };
    // The mean of all four squares, and another epsilon.
    let root = (5f64 + 0.5).sqrt();
    vec![
        case("LayerNormalization", "with a bias, and its statistics")
            .of(x())
            .of(scale())
            .of(reals(&[2], &[10., 20.]))
            .gives(reals(&[2, 2], &[10. - 2. / d, 20. + 0.5 / d, 10. - 4. / e, 20. + 1. / e]))
            .gives(reals(&[2, 1], &[2., -1.]))
            .gives(reals(&[2, 1], &[1. / d, 1. / e])),
        case("LayerNormalization", "both axes, no bias, another epsilon")
            .of(reals(&[1, 2, 2], &[-1., 1., -1., 1.]))
            .of(reals(&[2, 2], &[1., 1., 2., 3.]))
            .with(int("axis", 1))
            .with(real("epsilon", 3.0))
            .gives(reals(&[1, 2, 2], &[-0.5, 0.5, -1., 1.5])),
        rms_of("RMSNormalization", 23),
        rms_of("SimplifiedLayerNormalization", 18),
        case("RMSNormalization", "both axes, another epsilon")
            .opset(23)
            .of(x())
            .of(reals(&[1, 1], &[3.]))
            .with(int("axis", -2))
            .with(real("epsilon", 0.5))
            .gives(reals(&[2, 2], &[1., 3., -3., 1.].map(|x| 3. * x / root))),
        case("RMSNormalization", "f16 comes back as f16")
            .opset(23)
            .of(halves(&[1, 2], &[3., -3.]))
            .of(halves(&[2], &[1., 2.]))
            .with(real("epsilon", 0.0))
            .gives(halves(&[1, 2], &[1., -2.])),
    ]
}

fn rotations() -> Vec<Case> {
    // Quarter turns and half turns: (a, b) becomes (-b, a) and (-a, -b).
    let cos = || reals(&[3, 2], &[1., 1., 0., -1., -1., 0.]);
    let sin = || reals(&[3, 2], &[0., 0., 1., 0., 0., 1.]);
    let x = |shape: &[usize]| reals(shape, &[1., 2., 3., 4., 5., 6., 7., 8.]);
    let positions =
        |case: Case, ids: &[i64]| case.of(minuend_tests::onnx::writer::ints(&[1, ids.len()], ids));
    let plain = |what| case("RotaryEmbedding", what).opset(23);
    vec![
        // One head of 4 features, 2 tokens at positions 0 and 1.
        positions(plain("halves").of(x(&[1, 1, 2, 4])).of(cos()).of(sin()), &[0, 1])
            .fixed()
            .gives(reals(&[1, 1, 2, 4], &[1., 2., 3., 4., -7., -6., 5., -8.])),
        positions(plain("neighbours").of(x(&[1, 1, 2, 4])).of(cos()).of(sin()), &[0, 1])
            .with(int("interleaved", 1))
            .fixed()
            .gives(reals(&[1, 1, 2, 4], &[1., 2., 3., 4., -6., 5., -7., -8.])),
        // Tables of the tokens themselves.
        plain("no positions")
            .of(x(&[1, 1, 2, 4]))
            .of(reals(&[1, 2, 2], &[1., 1., 0., -1.]))
            .of(reals(&[1, 2, 2], &[0., 0., 1., 0.]))
            .fixed()
            .gives(reals(&[1, 1, 2, 4], &[1., 2., 3., 4., -7., -6., 5., -8.])),
        // Two heads of 4 features in one axis, one token at position 2.
        positions(plain("heads in one axis").of(x(&[1, 1, 8])).of(cos()).of(sin()), &[2])
            .with(int("num_heads", 2))
            .fixed()
            .gives(reals(&[1, 1, 8], &[-1., -4., -3., 2., -5., -8., -7., 6.])),
        // The first 2 of 4 features turn.
        positions(
            plain("a part of the features")
                .of(x(&[1, 1, 2, 4]))
                .of(reals(&[2, 1], &[1., 0.]))
                .of(reals(&[2, 1], &[0., 1.])),
            &[1, 0],
        )
        .with(int("rotary_embedding_dim", 2))
        .fixed()
        .gives(reals(&[1, 1, 2, 4], &[-2., 1., 3., 4., 5., 6., 7., 8.])),
    ]
}

/// Two tokens that look at themselves `ln 3` more than at each other under the default scale.
fn keys(width: usize) -> Tensor {
    let large = 3f64.ln() * (width as f64).sqrt();
    let mut values = vec![0.0; 2 * width];
    (values[0], values[width + 1]) = (large, large);
    reals(&[1, 1, 2, width], &values)
}

fn attentions() -> Vec<Case> {
    let attention = |what| case("Attention", what).opset(23);
    let q = || reals(&[1, 1, 2, 4], &[1., 0., 0., 0., 0., 1., 0., 0.]);
    let v = || reals(&[1, 1, 2, 1], &[8., 16.]);
    let ln3 = 3f64.ln();
    vec![
        attention("the default scale")
            .of(q())
            .of(keys(4))
            .of(v())
            .fixed()
            .gives(reals(&[1, 1, 2, 1], &[10., 14.])),
        attention("another scale")
            .of(q())
            .of(keys(4))
            .of(v())
            .with(real("scale", 1.0))
            // Weights 9 : 1.
            .gives(reals(&[1, 1, 2, 1], &[8.8, 15.2])),
        attention("causal")
            .of(q())
            .of(keys(4))
            .of(v())
            .with(int("is_causal", 1))
            .with(real("scale", 0.5))
            .gives(reals(&[1, 1, 2, 1], &[8., 14.])),
        attention("a mask of truth values")
            .of(q())
            .of(keys(4))
            .of(v())
            .of(truths(&[2, 2], &[0, 1, 1, 1]))
            .with(real("scale", 0.5))
            .gives(reals(&[1, 1, 2, 1], &[16., 14.])),
        attention("a mask of numbers, and what the product was")
            .of(q())
            .of(keys(4))
            .of(v())
            .of(reals(&[1, 1, 2, 2], &[-ln3, 0., 0., 0.]))
            .with(real("scale", 0.5))
            .gives(reals(&[1, 1, 2, 1], &[12., 14.]))
            .gives_as(3, reals(&[1, 1, 2, 2], &[ln3, 0., 0., ln3])),
        attention("what the masked product was")
            .of(q())
            .of(keys(4))
            .of(v())
            .of(reals(&[1, 1, 2, 2], &[-ln3, 0., 0., 0.]))
            .with(int("qk_matmul_output_mode", 1))
            .with(real("scale", 0.5))
            .gives(reals(&[1, 1, 2, 1], &[12., 14.]))
            .gives_as(3, reals(&[1, 1, 2, 2], &[0., 0., 0., ln3])),
        attention("what softmax gave")
            .of(q())
            .of(keys(4))
            .of(v())
            .with(int("qk_matmul_output_mode", 3))
            .with(real("scale", 0.5))
            .gives(reals(&[1, 1, 2, 1], &[10., 14.]))
            .gives_as(3, reals(&[1, 1, 2, 2], &[0.75, 0.25, 0.25, 0.75])),
        attention("scores bent by softcap")
            .of(q())
            .of(keys(4))
            .of(v())
            .with(real("softcap", 0.5))
            .with(real("scale", 0.5))
            .gives({
                let score = 0.5 * (2.0 * ln3).tanh();
                let weight = score.exp() / (score.exp() + 1.0);
                reals(
                    &[1, 1, 2, 1],
                    &[8. * weight + 16. * (1. - weight), 16. * weight + 8. * (1. - weight)],
                )
            }),
        // Query heads 0 and 1 read group 0, heads 2 and 3 group 1.
        attention("grouped heads")
            .of(reals(&[1, 4, 1, 1], &[0., 0., 0., 0.]))
            .of(reals(&[1, 2, 1, 1], &[1., 1.]))
            .of(reals(&[1, 2, 1, 1], &[5., 7.]))
            .fixed()
            .gives(reals(&[1, 4, 1, 1], &[5., 5., 7., 7.])),
        // The same, heads in one axis.
        attention("heads in one axis")
            .of(reals(&[1, 1, 4], &[0., 0., 0., 0.]))
            .of(reals(&[1, 1, 2], &[1., 1.]))
            .of(reals(&[1, 1, 2], &[5., 7.]))
            .with(int("q_num_heads", 4))
            .with(int("kv_num_heads", 2))
            .fixed()
            .gives(reals(&[1, 1, 4], &[5., 5., 7., 7.]))
            .gives(reals(&[1, 2, 1, 1], &[1., 1.]))
            .gives(reals(&[1, 2, 1, 1], &[5., 7.])),
        attention("behind a cache, which the result is appended to")
            .of(reals(&[1, 1, 2, 1], &[0., 0.]))
            .of(reals(&[1, 1, 2, 1], &[2., 3.]))
            .of(reals(&[1, 1, 2, 1], &[5., 9.]))
            .nothing()
            .of(reals(&[1, 1, 1, 1], &[1.]))
            .of(reals(&[1, 1, 1, 1], &[1.]))
            .with(int("is_causal", 1))
            .gives(reals(&[1, 1, 2, 1], &[3., 5.]))
            .gives(reals(&[1, 1, 3, 1], &[1., 2., 3.]))
            .gives(reals(&[1, 1, 3, 1], &[1., 5., 9.])),
    ]
}
