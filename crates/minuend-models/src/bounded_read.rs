//! Reading whole small files with an upper limit on their size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::ModelError;

/// Largest accepted `config.json` and `generation_config.json`.
pub(crate) const CONFIG_LIMIT: u64 = 16 << 20;
/// Largest accepted `model.safetensors.index.json`.
pub(crate) const INDEX_LIMIT: u64 = 64 << 20;
/// Largest accepted `tokenizer.json`; the largest public ones are a few tens of MiB.
pub(crate) const TOKENIZER_LIMIT: u64 = 256 << 20;

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let label = || path.display().to_string();
    let io = |source| ModelError::Io { path: label(), source };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(ModelError::NotAFile { path: label() });
    }
    let mut bytes = Vec::new();
    // The file may grow between the two calls, so the reader is limited as well.
    let file = File::open(path).map_err(io)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    let found = metadata.len().max(bytes.len() as u64);
    if found > limit {
        return Err(ModelError::TooLarge { path: label(), found, limit });
    }
    Ok(bytes)
}

/// Reads a JSON file of at most `limit` bytes.
pub(crate) fn read_json(path: &Path, limit: u64) -> Result<Value, ModelError> {
    let bytes = read_bounded(path, limit)?;
    serde_json::from_slice(&bytes)
        .map_err(|source| ModelError::Json { path: path.display().to_string(), source })
}
