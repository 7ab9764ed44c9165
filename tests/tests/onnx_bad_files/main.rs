//! Damaged and unsupported ONNX files: one clear error each, in words that say what was found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod external;
mod functions;
mod graphs;
mod tensors;

use minuend_onnx::proto::{Message, ModelProto, data_type};
use minuend_onnx::{OnnxError, Problem};
use minuend_tests::onnx::run::import;
use minuend_tests::onnx::writer::{Writer, int, reals};

/// `softmax(x w + b)`, of a few hundred bytes.
fn small() -> Writer {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 3");
    let weight = w.named("weight", &reals(&[3, 2], &[1., 2., 3., 4., 5., 6.]));
    let bias = w.named("bias", &reals(&[2], &[0.5, -0.5]));
    let product = w.node("MatMul", &[&x, &weight], &[]);
    let sum = w.node("Add", &[&product, &bias], &[]);
    let y = w.node("Softmax", &[&sum], &[int("axis", -1)]);
    w.output(&y);
    w
}

/// What is wrong with a model.
fn problems(model: &ModelProto) -> Vec<Problem> {
    match import(model.encode_to_vec()) {
        Err(OnnxError::Model { path, problems }) => {
            assert_eq!(path, "model.onnx");
            assert!(!problems.is_empty());
            problems
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it is imported"),
    }
}

/// The one problem of a model, in words that it must have.
#[track_caller]
fn assert_problem(model: &ModelProto, words: &[&str]) {
    let problems = problems(model);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let text = problems[0].to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.ends_with('.'), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn the_small_model_is_right() {
    assert!(import(small().bytes()).is_ok());
}

#[test]
fn truncation_at_every_length() {
    let bytes = small().bytes();
    let mut refused = 0;
    for length in 0..bytes.len() {
        let Err(error) = import(bytes[..length].to_vec()) else { continue };
        assert!(error.to_string().starts_with("model.onnx: "), "{length}: {error}");
        refused += 1;
    }
    // Behind the graph stand the versions of the operators, without which nothing is imported.
    assert_eq!(refused, bytes.len());
}

#[test]
fn bytes_that_are_no_model() {
    for (bytes, words) in [
        (Vec::new(), "it has no graph"),
        (b"not a protobuf at all".to_vec(), "not an ONNX model"),
        (vec![0xff; 100], "not an ONNX model"),
        (vec![0; 100], "not an ONNX model"),
        // A field that is longer than the file.
        (vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], "not an ONNX model"),
    ] {
        let error = import(bytes).unwrap_err();
        assert!(matches!(error, OnnxError::Decode { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("may be truncated"), "{error}");
    }
}

#[test]
fn versions_of_the_operators() {
    for (opset, found) in [(12, "opset 12"), (24, "opset 24"), (0, "opset 0"), (-1, "opset -1")] {
        let mut model = small().model();
        model.opset_import[0].version = opset;
        assert_problem(&model, &["the model", found, "expected 13 to 23", "opset_version=18"]);
    }
    for opset in [13, 23] {
        let mut model = small().model();
        model.opset_import[0].version = opset;
        assert_eq!(import(model.encode_to_vec()).unwrap().opset(), opset);
    }
    let mut model = small().model();
    model.opset_import.clear();
    assert_problem(&model, &["it names no version of the standard operators"]);
}

#[test]
fn no_file_and_no_file_there() {
    use minuend_onnx::{ImportOptions, OnnxModel};
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| OnnxModel::open(path, &ImportOptions::default());
    let missing = open(&folder.path().join("none.onnx")).unwrap_err();
    assert!(matches!(missing, OnnxError::Io { .. }) && missing.to_string().contains("none.onnx"));
    let is_folder = open(folder.path()).unwrap_err().to_string();
    assert!(is_folder.contains("not a file; expected an ONNX file"), "{is_folder}");
    let empty = folder.path().join("empty.onnx");
    std::fs::write(&empty, []).unwrap();
    assert!(open(&empty).unwrap_err().to_string().contains("it has no graph"));
}
