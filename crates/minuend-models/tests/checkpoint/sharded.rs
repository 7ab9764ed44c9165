//! Weights in several files behind an index.

use std::collections::BTreeMap;
use std::path::Path;

use minuend_models::Checkpoint;
use serde_json::{Value, json};

use crate::scratch::{Scratch, write_tensors};

/// Writes a model in two shards; gives the weight map.
fn write(directory: &Path) -> BTreeMap<String, Value> {
    let model = Scratch::new("diff_v2", json!({}));
    model.write_config(directory);
    let mut map = BTreeMap::new();
    let mut shards = [BTreeMap::new(), BTreeMap::new()];
    for (i, (name, tensor)) in model.tensors.into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("part-{}.safetensors", i % 2)));
        shards[i % 2].insert(name, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        write_tensors(&directory.join(format!("part-{i}.safetensors")), shard);
    }
    map
}

fn open(directory: &Path, map: &BTreeMap<String, Value>) -> Result<Checkpoint, String> {
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
    Checkpoint::open(directory).map_err(|error| error.to_string())
}

#[test]
fn shards_are_one_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let map = write(directory.path());
    let checkpoint = open(directory.path(), &map).unwrap();
    assert_eq!(checkpoint.weights().count(), map.len());
    assert!(checkpoint.weights().map(|(name, _)| name).eq(map.keys()), "sorted by name");
}

#[test]
fn index_and_shards_must_agree() {
    let directory = tempfile::tempdir().unwrap();
    let complete = write(directory.path());

    let mut map = complete.clone();
    map.insert("ghost".into(), json!("part-0.safetensors"));
    map.remove("model.norm.weight");
    let error = open(directory.path(), &map).unwrap_err();
    assert!(error.contains("tensor `ghost` is listed in part-0.safetensors"), "{error}");
    assert!(error.contains("tensor `model.norm.weight` is in part-"), "{error}");

    let mut map = complete.clone();
    let first = map.first_entry().unwrap().key().clone();
    map.insert(first.clone(), json!("part-1.safetensors"));
    let error = open(directory.path(), &map).unwrap_err();
    assert!(error.contains(&format!("`{first}` is in part-0.safetensors")), "{error}");
    assert!(error.contains(&format!("`{first}` is listed in part-1.safetensors")), "{error}");

    let mut map = complete;
    map.insert(first, json!("part-2.safetensors"));
    let error = open(directory.path(), &map).unwrap_err();
    assert!(error.contains("part-2.safetensors: cannot read"), "{error}");
}

#[test]
fn shards_stay_inside_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("model");
    std::fs::create_dir(&inner).unwrap();
    let mut map = write(&inner);
    // The file exists, so that only the name can be the reason.
    std::fs::copy(inner.join("part-0.safetensors"), directory.path().join("x.safetensors"))
        .unwrap();
    let absolute = directory.path().join("x.safetensors").display().to_string();
    for outside in ["../x.safetensors", "model/../../x.safetensors", absolute.as_str(), ""] {
        map.insert("lm_head.weight".into(), json!(outside));
        let error = open(&inner, &map).unwrap_err();
        assert!(error.contains("is not a plain file name"), "{error}");
    }
}

#[test]
fn malformed_indices_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let map = write(directory.path());
    let index = directory.path().join("model.safetensors.index.json");
    for text in ["", "[]", "{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"a": 1}}"#] {
        std::fs::write(&index, text).unwrap();
        let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("index.json: invalid JSON"), "{error}");
    }
    assert!(open(directory.path(), &BTreeMap::new()).unwrap_err().contains("is empty"));
    open(directory.path(), &map).unwrap();
}
