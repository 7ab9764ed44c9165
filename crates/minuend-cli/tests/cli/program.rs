//! Running the program, and the models it is run on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The small fixture models, one directory each.
pub(crate) const FIXTURES: [&str; 3] = ["tiny-diffv2", "tiny-diffv2-gqa8-halfsplit", "tiny-llama"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn shakespeare() -> PathBuf {
    workspace().join("examples/models/shakespeare-diffv2")
}

pub(crate) fn config(name: &str) -> PathBuf {
    workspace().join("examples/configs").join(name)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/models").join(name)
}

pub(crate) fn onnx(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/onnx").join(name)
}

pub(crate) fn filetest(name: &str) -> PathBuf {
    workspace().join("tests/filetests").join(name)
}

/// Runs the program.
pub(crate) fn minuend(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minuend")).args(args).output().expect("the program starts")
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Standard output of a run that must succeed.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = minuend(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// The one JSON object that a run must print.
pub(crate) fn json(args: &[&str]) -> Value {
    let text = stdout(args);
    let value: Value = serde_json::from_str(&text).expect("stdout is one JSON value");
    assert!(value.is_object(), "{text}");
    value
}

/// The message of a run that must fail: exit code 2, nothing on stdout, one line `error: ...` and
/// nothing else on stderr.
pub(crate) fn error(args: &[&str]) -> String {
    let text = long_error(args);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// As [`error`], but other lines may follow.
pub(crate) fn long_error(args: &[&str]) -> String {
    let output = minuend(args);
    let text = String::from_utf8(output.stderr).expect("errors are UTF-8");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?} printed before it failed");
    assert!(text.starts_with("error: "), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("error:")).count(), 1, "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}
