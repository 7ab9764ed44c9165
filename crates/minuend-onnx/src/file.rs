//! From a path to a decoded model.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::error::OnnxError;
use crate::external::map;
use crate::proto::ModelProto;

/// Reads a file. Tensor data stays in the memory map.
pub(crate) fn read(path: &Path) -> Result<ModelProto, OnnxError> {
    let label = path.display().to_string();
    let io = |source| OnnxError::Io { path: label.clone(), source };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(OnnxError::NotAFile { path: label });
    }
    let bytes = File::open(path).and_then(|file| map(&file)).map_err(io)?;
    decode(bytes, &label)
}

/// Decodes a file's bytes.
pub(crate) fn decode(bytes: Bytes, label: &str) -> Result<ModelProto, OnnxError> {
    let failed = |reason: String| OnnxError::Decode { path: label.to_string(), reason };
    let model = ModelProto::decode(bytes).map_err(|error| failed(error.to_string()))?;
    if model.graph.is_none() {
        return Err(failed("it has no graph".into()));
    }
    Ok(model)
}
