//! Tensor data in files beside the model.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;

use crate::proto::StringStringEntryProto;

/// The files that a model's tensors lie in, each mapped once. Nothing outside of the model's folder is
/// opened.
pub(crate) struct ExternalFiles {
    /// The model's folder; `None` for a model that comes from no file.
    folder: Option<PathBuf>,
    mapped: HashMap<String, Bytes>,
}

impl ExternalFiles {
    pub(crate) fn beside(folder: Option<&Path>) -> ExternalFiles {
        ExternalFiles { folder: folder.map(Path::to_path_buf), mapped: HashMap::new() }
    }

    /// The bytes that the entries `location`, `offset` and `length` name, or what is wrong with them.
    pub(crate) fn read(
        &mut self,
        entries: &[StringStringEntryProto],
        expected: usize,
    ) -> Result<Bytes, String> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|e| &e.value);
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                format!("external data has {key} {text:?}, expected a number of bytes")
            }),
        };
        let location = entry("location").ok_or("external data without a location")?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(expected);
        let file = self.file(location)?;
        let end = offset.checked_add(length).filter(|end| *end <= file.len());
        let Some(end) = end else {
            return Err(format!(
                "external data from byte {offset} on, {length} bytes, but {location:?} has {}",
                file.len()
            ));
        };
        Ok(file.slice(offset..end))
    }

    fn file(&mut self, location: &str) -> Result<Bytes, String> {
        if let Some(bytes) = self.mapped.get(location) {
            return Ok(bytes.clone());
        }
        let path = self.path_of(location)?;
        let failed = |error: std::io::Error| format!("external data {location:?}: {error}");
        let file = File::open(path).map_err(failed)?;
        let bytes = map(&file).map_err(failed)?;
        self.mapped.insert(location.to_string(), bytes.clone());
        Ok(bytes)
    }

    /// The file's path, if it lies in the model's folder.
    fn path_of(&self, location: &str) -> Result<PathBuf, String> {
        let outside = || {
            format!(
                "external data {location:?} lies outside of the model's folder, expected inside"
            )
        };
        let folder = self.folder.as_ref().ok_or("external data of a model that is no file")?;
        let relative = Path::new(location);
        let is_inside = relative.components().all(|component| match component {
            Component::Normal(_) | Component::CurDir => true,
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => false,
        });
        // A backslash separates folders on some systems and not on others.
        if !is_inside || location.is_empty() || location.contains('\\') {
            return Err(outside());
        }
        let failed = |error: std::io::Error| format!("external data {location:?}: {error}");
        let folder = folder.canonicalize().map_err(failed)?;
        let path = folder.join(relative).canonicalize().map_err(failed)?;
        // A link may lead out.
        if !path.starts_with(&folder) {
            return Err(outside());
        }
        if !path.is_file() {
            return Err(format!("external data {location:?} is no file"));
        }
        Ok(path)
    }
}

/// A file's content, mapped and not read.
pub(crate) fn map(file: &File) -> std::io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and read-only, and only ever seen as `&[u8]`. Its bytes stay unchanged as
    // long as no process writes to or truncates the file while it is mapped, which is the documented
    // condition on model files (see `OnnxModel::open`).
    let map = unsafe { Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
