//! The models of this repository.

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A directory under `tests/fixtures/models`.
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/models").join(name)
}

/// The trained model of the examples.
pub fn demo() -> PathBuf {
    root().join("examples/models/shakespeare-diffv2")
}

/// Every directory under `tests/fixtures/models`, and the trained model.
pub fn all() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/fixtures/models")).unwrap();
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories.push(demo());
    directories
}
