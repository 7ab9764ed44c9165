//! One safetensors file as a memory map and slices of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde::Deserialize;

use crate::{ModelError, SafetensorsProblem};

/// Longest header that the format allows, in bytes.
const HEADER_LIMIT: u64 = 100_000_000;
/// Bytes of the header length, a little-endian `u64` at the start of the file.
const LENGTH_BYTES: usize = 8;

/// One tensor of a file, of any dtype that the format knows.
#[derive(Debug, Clone)]
pub(crate) struct StoredTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Bytes,
}

/// The header's JSON: `__metadata__` of free strings, and one entry per tensor.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Option<HashMap<String, String>>,
    #[serde(flatten)]
    tensors: BTreeMap<String, TensorInfo>,
}

/// Maps the file and returns its tensors by name.
pub(crate) fn open(path: &Path) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let label = || path.display().to_string();
    let io = |source| ModelError::Io { path: label(), source };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(ModelError::NotAFile { path: label() });
    }
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length < LENGTH_BYTES as u64 {
        let problem = SafetensorsProblem::TooShort { found: length };
        return Err(ModelError::Safetensors { path: label(), problem });
    }
    // SAFETY: the map is private and read-only, and only ever seen as `&[u8]`. Its bytes stay
    // unchanged as long as no process writes to or truncates the file while it is mapped, which is
    // the documented condition on checkpoint files (see `Checkpoint::open`).
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    parse(&Bytes::from_owner(map))
        .map_err(|problem| ModelError::Safetensors { path: label(), problem })
}

/// Slices `bytes`, the content of a safetensors file, into its tensors.
///
/// `SafeTensors::deserialize` is not used: it adds the end of the last tensor, as the header gives
/// it, to the header length without an overflow check.
fn parse(bytes: &Bytes) -> Result<BTreeMap<String, StoredTensor>, SafetensorsProblem> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(SafetensorsProblem::TooShort { found: bytes.len() as u64 });
    };
    let header = u64::from_le_bytes(*length);
    let available = rest.len() as u64;
    if header > available {
        return Err(SafetensorsProblem::HeaderPastEnd { header, available });
    }
    if header > HEADER_LIMIT {
        return Err(SafetensorsProblem::HeaderTooLarge { header, limit: HEADER_LIMIT });
    }
    // No truncation: at most the length of a slice.
    let (header, data) = rest.split_at(header as usize);
    let data_start = LENGTH_BYTES + header.len();

    let header: Header = serde_json::from_slice(header).map_err(SafetensorsProblem::HeaderJson)?;
    let mut tensors: Vec<(String, TensorInfo)> = header.tensors.into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // Checks that the ranges are contiguous from 0 and fit shape and dtype, without overflow.
    let layout = Metadata::new(header.metadata, tensors).map_err(|error| match error {
        SafeTensorError::InvalidOffset(tensor) => SafetensorsProblem::Range { tensor },
        other => SafetensorsProblem::Layout(other),
    })?;
    if layout.data_len() != data.len() {
        return Err(SafetensorsProblem::DataLength {
            expected: layout.data_len() as u64,
            found: data.len() as u64,
        });
    }
    Ok(layout
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            // In bounds: the ranges are contiguous and the last one ends with the file.
            let (start, end) = info.data_offsets;
            let data = bytes.slice(data_start + start..data_start + end);
            (name, StoredTensor { dtype: info.dtype, shape: info.shape.clone(), data })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Bytes {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        Bytes::from(bytes)
    }

    fn problem(bytes: &Bytes) -> String {
        parse(bytes).expect_err("malformed").to_string()
    }

    #[test]
    fn slices_follow_the_offsets() {
        let header = r#"{"b":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
            "a":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"__metadata__":{"format":"pt"}}"#;
        let tensors = parse(&file(header, 12)).unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((tensors["a"].dtype, tensors["a"].data.len()), (Dtype::I64, 8));
        assert_eq!((tensors["b"].dtype, tensors["b"].shape.clone()), (Dtype::F16, vec![2]));
    }

    #[test]
    fn scalars_and_empty_tensors_are_legal() {
        let header = r#"{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
            "e":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}"#;
        let tensors = parse(&file(header, 4)).unwrap();
        assert_eq!((tensors["s"].data.len(), tensors["e"].data.len()), (4, 0));
    }

    #[test]
    fn lengths_are_checked_before_use() {
        assert!(problem(&Bytes::from_static(b"1234567")).contains("7 bytes"));
        let huge = Bytes::from([u64::MAX.to_le_bytes().as_slice(), b"{}"].concat());
        assert!(problem(&huge).contains("only 2 bytes follow"));
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(problem(&file(header, 7)).contains("describes 8 bytes of tensors, found 7"));
        assert!(problem(&file(header, 9)).contains("describes 8 bytes of tensors, found 9"));
    }

    #[test]
    fn ranges_and_sizes_are_checked() {
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(problem(&file(overlap, 12)).contains("tensor `b`: its byte range overlaps"));
        let gap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(problem(&file(gap, 12)).contains("tensor `a`"));
        let backwards = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#;
        assert!(problem(&file(backwards, 8)).contains("tensor `a`"));
        let overflow =
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
        assert!(problem(&file(overflow, 8)).contains("overflow"));
        let mismatch = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        assert!(problem(&file(mismatch, 8)).contains("invalid shape"));
    }

    #[test]
    fn an_end_near_the_address_limit_does_not_wrap() {
        // Eight contiguous tensors of 2^61 - 1 bytes: the last end plus the header length wraps.
        let size = (1u64 << 61) - 1;
        let entries: Vec<String> = (0..8)
            .map(|i| {
                let (start, end) = (i * size, (i + 1) * size);
                format!(
                    r#""t{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#
                )
            })
            .collect();
        let header = format!("{{{}}}", entries.join(","));
        assert!(problem(&file(&header, 0)).contains("found 0"));
    }

    #[test]
    fn a_header_that_is_not_an_object_is_named() {
        assert!(problem(&file("[1]", 0)).starts_with("invalid header"));
        assert!(problem(&file("{\"a\":", 0)).starts_with("invalid header"));
        assert!(problem(&file("\u{7f}\u{0}", 0)).starts_with("invalid header"));
    }
}
