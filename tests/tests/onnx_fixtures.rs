//! Files that exporters wrote, against the outputs that the exported modules gave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use minuend::ir::{DType, Graph};
use minuend::{CompileOptions, PipelineReport, fuse};
use minuend_interp::Tensor;
use minuend_onnx::{ImportOptions, OnnxModel};
use minuend_tests::onnx::run::{
    Loaded, fixtures, interpreted, interpreted_graph, random_reals, relative_l2,
};
use minuend_tests::runners::cpu;
use safetensors::SafeTensors;

/// Relative L2 error that f32 leaves after the some fifty operations of an attention block.
const TOLERANCE: f64 = 1e-5;

fn open(path: &Path) -> OnnxModel {
    OnnxModel::open(path, &ImportOptions::default()).unwrap()
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The stored input `x` and output `y`.
fn stored(path: &Path) -> (Tensor, Tensor) {
    let bytes = std::fs::read(path.with_extension("io.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| {
        let view = tensors.tensor(name).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        Tensor::from_bytes(DType::F32, view.shape(), view.data()).unwrap()
    };
    (tensor("x"), tensor("y"))
}

fn fused(model: &OnnxModel) -> (Graph, PipelineReport) {
    let mut graph = model.graph().clone();
    let report = fuse(&mut graph, &CompileOptions::default()).unwrap();
    (graph, report)
}

fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
    let error = relative_l2(found, expected);
    assert!(error <= TOLERANCE, "{what}: relative L2 error {error}");
}

#[test]
fn every_fixture_has_its_outputs() {
    let names: Vec<String> = fixtures().iter().map(|path| name(path)).collect();
    assert!(names.len() >= 7, "{names:?}");
    for path in fixtures() {
        let (x, y) = stored(&path);
        assert!(!x.is_empty() && !y.is_empty(), "{}", path.display());
    }
}

#[test]
fn stored_outputs_of_the_imported_graph() {
    for path in fixtures() {
        let (x, y) = stored(&path);
        let found = interpreted(&open(&path), &[x]).unwrap();
        assert_near(&found[0], &y, &name(&path));
    }
}

#[test]
fn stored_outputs_of_the_fused_graph() {
    for path in fixtures() {
        let (x, y) = stored(&path);
        let model = open(&path);
        let found = interpreted_graph(&fused(&model).0, &model, &[x]).unwrap();
        assert_near(&found[0], &y, &name(&path));
    }
}

#[test]
fn stored_outputs_on_the_cpu() {
    for path in fixtures() {
        let (x, y) = stored(&path);
        let found = Loaded::new(&open(&path), cpu()).unwrap().run(&[x]);
        assert_near(&found[0], &y, &name(&path));
    }
}

/// Sizes that the exporter did not run: the CPU against the imported graph.
#[test]
fn other_batches_and_sequences() {
    for path in fixtures() {
        let (x, _) = stored(&path);
        let model = open(&path);
        let loaded = Loaded::new(&model, cpu()).unwrap();
        let (fused, _) = fused(&model);
        let [_, _, width] = x.shape() else { panic!("{}: {:?}", path.display(), x.shape()) };
        let sizes = [(1, 1), (1, 2), (1, 13), (2, 3), (3, 9), (5, 16)];
        for (seed, (batch, tokens)) in (0u64..).zip(sizes) {
            let x = [random_reals(seed, &[batch, tokens, *width])];
            let what = format!("{}, {batch} x {tokens}", name(&path));
            let expected = &interpreted(&model, &x).unwrap()[0];
            assert_eq!(expected.shape(), [batch, tokens, *width], "{what}");
            assert_near(&loaded.run(&x)[0], expected, &format!("{what}, cpu"));
            let behind = &interpreted_graph(&fused, &model, &x).unwrap()[0];
            assert_near(behind, expected, &format!("{what}, fused"));
        }
    }
}

fn diff_attentions(model: &OnnxModel) -> usize {
    fused(model).0.op_counts().get("diff_attention").copied().unwrap_or(0)
}

#[test]
fn differential_attention_and_rotations_are_found_in_every_spelling() {
    let files: Vec<PathBuf> =
        fixtures().into_iter().filter(|path| name(path).starts_with("diffv2_")).collect();
    assert_eq!(files.len(), 6);
    for path in files {
        let (graph, report) = fused(&open(&path));
        let counts = graph.op_counts();
        let count = |op: &str| counts.get(op).copied().unwrap_or(0);
        let found = (count("diff_attention"), count("rope"), count("softmax"), count("attention"));
        assert_eq!(found, (1, 2, 0, 0), "{}: {:#?}", name(&path), report.remarks);
    }
}

/// Halves in place of neighbours: each pair's heads read different key/value groups, and the report
/// says so.
#[test]
fn wrong_pairs_are_not_differential_attention() {
    let path = fixtures().into_iter().find(|path| name(path) == "wrong_pairing_halves").unwrap();
    let model = open(&path);
    assert_eq!(diff_attentions(&model), 0);
}

#[test]
fn wrong_pairs_are_explained() {
    let path = fixtures().into_iter().find(|path| name(path) == "wrong_pairing_halves").unwrap();
    let (_, report) = fused(&open(&path));
    let remarks: Vec<String> = report.remarks.iter().map(|remark| remark.to_string()).collect();
    let words = "pair heads read different K/V groups: heads 0 and 4 read groups 0 and 1";
    assert!(remarks.iter().any(|remark| remark.contains(words)), "{remarks:#?}");
}
