//! Whole DIFF V2 language models as ONNX files, against the same weights run as a checkpoint.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use minuend::ir::DType;
use minuend::ir::ops::RopeLayout;
use minuend::{CompileOptions, LogitRows, Model, ModelConfig, TokenModel, fuse};
use minuend_interp::Tensor;
use minuend_onnx::{ImportOptions, OnnxModel};
use minuend_tests::onnx::language_model::{POSITIONS, config, language_model};
use minuend_tests::onnx::run::{Loaded, import, interpreted, interpreted_graph, relative_l2};
use minuend_tests::onnx::writer::{ints, reals};
use minuend_tests::random_values::RandomValues;
use minuend_tests::runners::cpu;

/// Relative L2 error that f32 leaves, as for checkpoints; the file's tables of cosines are of f32 too.
const TOLERANCE: f64 = 1e-5;
const VOCAB: usize = 61;
/// Sequences and tokens of each.
const SIZES: [(usize, usize); 5] = [(1, 1), (1, 7), (2, 5), (3, 16), (1, POSITIONS)];

fn config_of(tied_head: bool, layout: RopeLayout) -> ModelConfig {
    let mut config = config(2, tied_head, VOCAB);
    config.rope.layout = layout;
    config
}

fn configs() -> [ModelConfig; 3] {
    [
        config_of(true, RopeLayout::Interleaved),
        config_of(false, RopeLayout::HalfSplit),
        config_of(false, RopeLayout::Interleaved),
    ]
}

fn exported(model: &Model) -> OnnxModel {
    import(language_model(model.config(), model).bytes()).unwrap()
}

fn random_ids(batch: usize, tokens: usize) -> Vec<u32> {
    let mut random = RandomValues::new((batch * 100 + tokens) as u64);
    (0..batch * tokens).map(|_| random.below(VOCAB) as u32).collect()
}

fn input(ids: &[u32], batch: usize) -> Tensor {
    let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    ints(&[batch, ids.len() / batch], &values)
}

/// Logits of the checkpoint graph.
fn expected(model: &Model, ids: &[u32], batch: usize) -> Tensor {
    let logits = model.interpreted(LogitRows::All).unwrap().feed(ids, batch).unwrap();
    let values: Vec<f64> = logits.values.iter().map(|value| f64::from(*value)).collect();
    reals(&[batch, ids.len() / batch, VOCAB], &values)
}

#[test]
fn logits_are_those_of_the_checkpoint() {
    for (seed, config) in configs().into_iter().enumerate() {
        let model = Model::random(config, seed as u64);
        let onnx = exported(&model);
        assert_eq!((onnx.output_names(), onnx.opset()), (["logits".to_string()].as_slice(), 18));
        assert!(onnx.notes().is_empty(), "{:?}", onnx.notes());
        let loaded = Loaded::new(&onnx, cpu()).unwrap();
        for (batch, tokens) in SIZES {
            let ids = random_ids(batch, tokens);
            let expected = expected(&model, &ids, batch);
            let inputs = [input(&ids, batch)];
            let on_interpreter = &interpreted(&onnx, &inputs).unwrap()[0];
            let on_cpu = &loaded.run(&inputs)[0];
            for (place, found) in [("interpreter", on_interpreter), ("cpu", on_cpu)] {
                let error = relative_l2(found, &expected);
                assert!(error <= TOLERANCE, "{seed}, {batch} x {tokens}, {place}: {error}");
            }
        }
    }
}

/// Everything of a float type in another: the same numbers, for the interpreter rounds nothing.
#[test]
fn activations_of_sixteen_bits() {
    let model = Model::random(config_of(true, RopeLayout::Interleaved), 3);
    let bytes = language_model(model.config(), &model).bytes();
    let ids = random_ids(2, 6);
    let expected = expected(&model, &ids, 2);
    for dtype in [DType::F16, DType::Bf16] {
        let options = ImportOptions { activations: Some(dtype) };
        let onnx = OnnxModel::from_bytes(bytes.clone(), "model.onnx", &options).unwrap();
        let found = &interpreted(&onnx, &[input(&ids, 2)]).unwrap()[0];
        assert_eq!(found.dtype(), dtype);
        let error = relative_l2(found, &expected);
        assert!(error <= TOLERANCE, "{dtype}: {error}");
        let mut graph = onnx.graph().clone();
        fuse(&mut graph, &CompileOptions::default()).unwrap();
        let found = &interpreted_graph(&graph, &onnx, &[input(&ids, 2)]).unwrap()[0];
        assert!(relative_l2(found, &expected) <= TOLERANCE, "{dtype}, fused");
    }
}

/// The comparison sees what it should: one other weight is another result.
#[test]
fn other_weights_are_other_logits() {
    let model = Model::random(config_of(true, RopeLayout::Interleaved), 1);
    let other = exported(&Model::random(config_of(true, RopeLayout::Interleaved), 2));
    let ids = random_ids(1, 7);
    let found = &interpreted(&other, &[input(&ids, 1)]).unwrap()[0];
    assert!(relative_l2(found, &expected(&model, &ids, 1)) > 0.1);
}

/// What is left of the exporter's nodes: no shape arithmetic, and as much for each layer.
#[test]
fn ops_of_the_imported_graph() {
    let counts = |layers: usize| -> BTreeMap<&'static str, usize> {
        let model = Model::random(config(layers, true, VOCAB), 0);
        exported(&model).graph().op_counts()
    };
    let (one, two, four) = (counts(1), counts(2), counts(4));
    // The embedding alone gathers; pairs of features alone are joined, for queries and for keys.
    assert_eq!((two["gather"], two["concat"], two["softmax"]), (1, 4, 2));
    for (op, count) in &two {
        let before = one.get(op).copied().unwrap_or(0);
        assert_eq!(four[op] - count, 2 * (count - before), "{op}");
    }
    // No `dim`: what is left computes with no size as a number.
    let known = [
        "add",
        "broadcast",
        "cast",
        "concat",
        "constant",
        "cos",
        "div",
        "eq",
        "gather",
        "input",
        "iota",
        "le",
        "matmul",
        "mul",
        "pow",
        "reduce_mean",
        "reshape",
        "return",
        "select",
        "sigmoid",
        "sin",
        "slice",
        "softmax",
        "sqrt",
        "sub",
        "transpose",
        "weight",
    ];
    let others: Vec<_> = two.keys().filter(|op| !known.contains(op)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// How often an op is in the fused graph, and what the passes remark.
fn fused_counts(config: &ModelConfig) -> (impl Fn(&str) -> usize, Vec<String>) {
    let onnx = exported(&Model::random(config.clone(), 0));
    let mut graph = onnx.graph().clone();
    let report = fuse(&mut graph, &CompileOptions::default()).unwrap();
    let counts = graph.op_counts();
    let count = move |op: &str| counts.get(op).copied().unwrap_or(0);
    (count, report.remarks.iter().map(|remark| remark.to_string()).collect())
}

/// The passes find in the file what they find in a checkpoint.
#[test]
fn fused_norms_and_gates() {
    for config in configs() {
        let (count, remarks) = fused_counts(&config);
        assert_eq!(count("swiglu"), 2, "{remarks:#?}");
        assert_eq!(count("rms_norm") + count("add_rms_norm"), 5, "{remarks:#?}");
    }
}

#[test]
fn fused_rotations() {
    for config in configs() {
        let (count, remarks) = fused_counts(&config);
        assert_eq!(count("rope"), 4, "{remarks:#?}");
    }
}

#[test]
fn fused_attention() {
    for config in configs() {
        let (count, remarks) = fused_counts(&config);
        assert_eq!((count("diff_attention"), count("softmax")), (2, 0), "{remarks:#?}");
    }
}

/// A sequence longer than the file's tables is refused, by the range of its symbol.
#[test]
fn tables_bound_the_sequence() {
    let onnx = exported(&Model::random(config_of(true, RopeLayout::Interleaved), 0));
    let symbols = onnx.graph().symbols();
    let range = |name: &str| {
        let info = symbols.info(symbols.id(name).unwrap()).unwrap();
        (info.min, info.max)
    };
    assert_eq!(range("sequence"), (1, POSITIONS as u64));
    let ids = random_ids(1, POSITIONS + 1);
    assert!(interpreted(&onnx, &[input(&ids, 1)]).is_err());
}
