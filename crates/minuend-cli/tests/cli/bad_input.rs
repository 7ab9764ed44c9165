//! Bad input: exit code 2, one line that says what is wrong, nothing on stdout.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::program::{arg, config, error, fixture, long_error, shakespeare};

/// A copy of a model that a test may damage.
fn copy_of(model: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

fn run_error(model: &Path, more: &[&str]) -> String {
    error(&[&["run", arg(model), "--prompt", "ROMEO:"][..], more].concat())
}

/// Asserts that a message names each of the parts.
fn names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} not in: {text}");
    }
}

#[test]
fn a_device_must_have_the_type_of_activations() {
    let model = shakespeare();
    let text = run_error(&model, &["--device", "cpu", "--dtype", "bf16"]);
    names(&text, &["target cpu", "activations in bf16", "expected one of auto, f32"]);
    let compile = ["compile", arg(&model), "--target", "wgsl", "--dtype", "f16"];
    names(&error(&compile), &["target wgsl", "f16"]);
    let text = run_error(&model, &["--dtype", "i64"]);
    names(&text, &["i64", "--dtype", "expected auto, f32, bf16 or f16"]);
}

#[test]
fn the_cpu_has_no_kernel_text() {
    let model = shakespeare();
    let text = error(&["compile", arg(&model), "--emit", "kernels", "--target", "cpu"]);
    names(&text, &["target cpu", "no kernel text", "expected wgsl or a cuda target"]);
    let text = error(&["compile", arg(&model), "--target", "cuda-sm75"]);
    names(&text, &["cuda-sm75", "cuda-sm80", "cuda-sm90a"]);
}

#[test]
fn cuda_says_what_is_missing() {
    let model = shakespeare();
    // On a machine that has it, one more than there are is still missing.
    let text = run_error(&model, &["--device", "cuda:1000"]);
    names(&text, &["device cuda"]);
    assert!(
        text.contains("the CUDA driver was not found") || text.contains("there is no GPU 1000"),
        "{text}"
    );
    names(&run_error(&model, &["--device", "cuda:first"]), &["cuda:first", "cuda:INDEX"]);
    names(&run_error(&model, &["--device", "cpu", "--variant", "wgmma"]), &["wgmma", "plain"]);
}

#[test]
fn a_model_type_must_be_known() {
    let model = copy_of(&fixture("tiny-diffv2"));
    let path = model.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"diff_v2\"", "\"diff_v9\"")).unwrap();
    let text = run_error(model.path(), &[]);
    names(&text, &["config.json", "model_type", "diff_v9", "diff_v2, llama, qwen3"]);
    names(&error(&["inspect", arg(model.path())]), &["diff_v9"]);
    names(&error(&["compile", "--config", arg(&path)]), &["diff_v9"]);
}

#[test]
fn text_needs_a_tokenizer() {
    names(&run_error(&fixture("tiny-diffv2"), &[]), &["tokenizer.json"]);
}

#[test]
fn a_prompt_must_fit_the_context() {
    let prompt = "to be or not to be ".repeat(400);
    let text = error(&["run", arg(&shakespeare()), "--prompt", &prompt]);
    names(&text, &["context of 1024", "shorten the prompt"]);
    names(&error(&["run", arg(&shakespeare()), "--prompt", ""]), &["prompt is empty"]);
}

#[test]
fn sampling_settings_have_ranges() {
    let model = shakespeare();
    names(&run_error(&model, &["--temperature", "-1"]), &["temperature is -1"]);
    names(&run_error(&model, &["--temperature", "nan"]), &["temperature is NaN"]);
    names(&run_error(&model, &["--top-k", "0"]), &["top-k is 0", "at least 1"]);
    names(&run_error(&model, &["--top-p", "1.5"]), &["top-p is 1.5", "at most 1"]);
    names(&run_error(&model, &["--device", "abacus"]), &["'abacus'", "auto, cpu"]);
    long_error(&["run", arg(&model), "--prompt", "x", "--temperature", "warm"]);
    long_error(&["run", arg(&model), "--prompt", "x", "--threads", "0"]);
}

#[test]
fn weights_must_be_whole() {
    let model = copy_of(&shakespeare());
    let path = model.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        names(&run_error(model.path(), &[]), &["model.safetensors"]);
    }
    // A header longer than any file.
    fs::write(&path, [0xFF; 64]).unwrap();
    names(&run_error(model.path(), &[]), &["model.safetensors"]);
    fs::remove_file(&path).unwrap();
    names(&run_error(model.path(), &[]), &["model.safetensors"]);
}

#[test]
fn weights_must_fit_the_config() {
    let model = copy_of(&fixture("tiny-diffv2"));
    let path = model.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let deeper = config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 9");
    fs::write(&path, deeper).unwrap();
    // Seven layers are missing, which still is one line.
    names(&error(&["inspect", arg(model.path())]), &["model.layers.2", "more"]);
    fs::write(&path, "{").unwrap();
    names(&error(&["inspect", arg(model.path())]), &["config.json", "invalid JSON"]);
}

#[test]
fn files_must_be_there() {
    names(&run_error(Path::new("/nonexistent/model"), &[]), &["/nonexistent/model"]);
    let missing = "/nonexistent/expected.safetensors";
    let model = fixture("tiny-diffv2");
    names(&error(&["verify", arg(&model), "--expected", missing]), &[missing]);
    names(&error(&["compile", "/nonexistent/graph.mnd"]), &["/nonexistent/graph.mnd"]);
    names(&error(&["bench", "--config", "/nonexistent/c.json", "--random-weights"]), &["c.json"]);
    let out = "/nonexistent/directory/out.mnd";
    names(&error(&["compile", arg(&model), "-o", out]), &[out]);
    long_error(&["inspect"]);
    long_error(&["frobnicate"]);
}

#[test]
fn every_error_of_a_text_graph_is_shown_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.mnd");
    let graph = "graph @g(%x: f32[4]) {\n  %y = sigmiod %x : f32[4]\n  %z = add %x, %w : f32[4]\n  \
                 return %z\n}\n";
    fs::write(&path, graph).unwrap();
    let text = long_error(&["compile", arg(&path)]);
    names(
        &text,
        &["bad.mnd: 2 errors", "bad.mnd:2:8: ", "sigmoid", "^^^^^^^", "bad.mnd:3:16: ", "%w"],
    );
    fs::write(&path, graph.replace("sigmiod", "sigmoid")).unwrap();
    let text = long_error(&["compile", arg(&path)]);
    assert!(text.starts_with(&format!("error: {}:3:16", arg(&path))), "{text}");
}

#[test]
fn sizes_of_a_plan_have_ranges() {
    let model = fixture("tiny-diffv2");
    let plan =
        |more: &[&str]| error(&[&["compile", arg(&model), "--emit", "plan"][..], more].concat());
    names(&plan(&["--batch", "0"]), &["symbol B is 0"]);
    names(&plan(&["--seq", "9", "--capacity", "8"]), &["9 positions", "holds 8"]);
    names(&plan(&["--disable", "fuse-everything"]), &["unknown pass 'fuse-everything'"]);
    names(&plan(&["--target", "abacus"]), &["unknown target 'abacus'", "cpu"]);
}

#[test]
fn measurements_must_fit_the_model() {
    let model = fixture("tiny-diffv2");
    let text = error(&["bench", arg(&model), "--prompt-tokens", "120", "--new-tokens", "60"]);
    names(&text, &["context of 128"]);
    let config = config("diffv2-8b.json");
    // Random weights must be asked for: a config has none.
    long_error(&["bench", "--config", arg(&config)]);
    let compile_only = ["bench", "--config", arg(&config), "--compile-only"];
    for unused in [["--device", "cpu"], ["--variant", "plain"], ["--threads", "1"]] {
        let text = long_error(&[&compile_only[..], &unused].concat());
        names(&text, &["--compile-only", unused[0], "cannot be used with"]);
    }
}
