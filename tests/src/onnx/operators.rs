//! The operators that the importer has.

use std::collections::BTreeSet;

/// Names of the operators, as the importer's table lists them.
pub fn operators() -> BTreeSet<&'static str> {
    let source = include_str!("../../../crates/minuend-onnx/src/ops.rs");
    let table = source.split("match op_type {").nth(1).unwrap();
    let table = table.split("_ => return None").next().unwrap();
    let arms = table.lines().filter_map(|line| line.split_once("=>"));
    let names = arms.flat_map(|(names, _)| names.split('|'));
    let names: BTreeSet<&str> = names.map(|name| name.trim().trim_matches('"')).collect();
    assert!(names.len() > 80 && names.contains("Attention"), "{names:?}");
    names
}
