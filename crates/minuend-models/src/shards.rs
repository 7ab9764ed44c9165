//! The weights of a directory: one safetensors file, or an index and its shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use crate::bounded_read::{INDEX_LIMIT, read_bounded};
use crate::safetensors_file::{self, StoredTensor};
use crate::{IndexProblem, ModelError};

/// Weights in one file.
const SINGLE: &str = "model.safetensors";
/// Names and files of weights in several files.
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a directory as stored.
pub(crate) struct StoredTensors {
    /// File name of the single file or of the index.
    pub(crate) label: String,
    /// By name: the file name and the tensor.
    pub(crate) tensors: BTreeMap<String, (String, StoredTensor)>,
}

/// The part of the index that matters; other keys are ignored.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Maps the weights of a checkpoint directory. A single file is preferred to an index.
pub(crate) fn open(directory: &Path) -> Result<StoredTensors, ModelError> {
    let single = directory.join(SINGLE);
    if single.exists() {
        let tensors = safetensors_file::open(&single)?
            .into_iter()
            .map(|(name, tensor)| (name, (SINGLE.to_owned(), tensor)))
            .collect();
        return Ok(StoredTensors { label: SINGLE.to_owned(), tensors });
    }
    let index = directory.join(INDEX);
    if index.exists() {
        return open_shards(directory, &index);
    }
    Err(ModelError::NoWeights { path: directory.display().to_string() })
}

/// Opens every shard of an index and compares both lists of tensors.
fn open_shards(directory: &Path, path: &Path) -> Result<StoredTensors, ModelError> {
    let label = path.display().to_string();
    let bytes = read_bounded(path, INDEX_LIMIT)?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|source| ModelError::Json { path: label.clone(), source })?;

    let mut problems = Vec::new();
    let mut shards = BTreeSet::new();
    for (tensor, shard) in &index.weight_map {
        if shards.insert(shard.as_str()) && !is_plain_file_name(shard) {
            let (tensor, shard) = (tensor.clone(), shard.clone());
            problems.push(IndexProblem::ShardName { tensor, shard });
        }
    }
    if shards.is_empty() {
        problems.push(IndexProblem::Empty);
    }
    // No path outside the directory is opened.
    if !problems.is_empty() {
        return Err(ModelError::Index { path: label, problems });
    }

    let mut tensors = BTreeMap::new();
    for shard in shards {
        for (name, tensor) in safetensors_file::open(&directory.join(shard))? {
            if index.weight_map.get(&name).map(String::as_str) == Some(shard) {
                tensors.insert(name, (shard.to_owned(), tensor));
            } else {
                let shard = shard.to_owned();
                problems.push(IndexProblem::NotListed { tensor: name, shard });
            }
        }
    }
    for (tensor, shard) in &index.weight_map {
        if !tensors.contains_key(tensor) {
            let (tensor, shard) = (tensor.clone(), shard.clone());
            problems.push(IndexProblem::NotInShard { tensor, shard });
        }
    }
    if problems.is_empty() {
        Ok(StoredTensors { label: INDEX.to_owned(), tensors })
    } else {
        Err(ModelError::Index { path: label, problems })
    }
}

/// Whether the name has one component, on every platform, and stays inside its directory.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_shards() {
        assert!(is_plain_file_name("model-00001-of-00002.safetensors"));
        for bad in
            ["", ".", "..", "/a", "a/", "a/b", "./a", "../a", "a\\b", "\\a", "C:a", "a\0b", "/"]
        {
            assert!(!is_plain_file_name(bad), "{bad:?}");
        }
    }
}
