//! What the examples share.

use std::path::PathBuf;

/// The checkpoint that comes with the repository: a DIFF V2 model of 5.1 M parameters.
pub fn demo_model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/shakespeare-diffv2")
}
