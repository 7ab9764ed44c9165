//! Every operator that ONNX files may use, through the importer and the interpreter, against values that the
//! operator's definition gives. Each case runs with its inputs as arguments of fixed sizes, as arguments of
//! sizes by name, and stored in the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod activation;
mod arithmetic;
mod case;
mod constant;
mod indexing;
mod larger;
mod layout;
mod logic;
mod products;
mod reduce;
mod refused;
mod sizes_vanish;
mod slicing;

use std::collections::BTreeSet;

use case::{Case, other_sizes};
use minuend_tests::onnx::operators::operators;

fn cases() -> Vec<Case> {
    [
        activation::cases(),
        arithmetic::cases(),
        constant::cases(),
        indexing::cases(),
        larger::cases(),
        layout::cases(),
        logic::cases(),
        products::cases(),
        reduce::cases(),
        slicing::cases(),
    ]
    .concat()
}

/// Runs a check of every case; all failures at once.
fn all(check: impl Fn(&Case) -> Result<(), String>) {
    let cases = cases();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|why| format!("{case}: {why}")))
        .collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn arguments_of_fixed_sizes() {
    all(Case::check_with_fixed_sizes);
}

#[test]
fn arguments_of_sizes_by_name() {
    all(Case::check_with_symbols);
}

#[test]
fn inputs_stored_in_the_file() {
    all(Case::check_stored);
}

/// A graph of sizes by name computes for sizes one larger what a graph made for these computes.
#[test]
fn one_graph_for_several_sizes() {
    let mut compared = BTreeSet::new();
    all(|case| other_sizes(case).map(|_| ()));
    for case in cases() {
        if other_sizes(&case) == Ok(true) {
            compared.insert(case.op);
        }
    }
    assert!(compared.len() > 60, "{compared:?}");
}

/// The operators of the importer's table that have no case.
#[test]
fn every_operator_has_a_case() {
    let names = operators();
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.op).collect();
    let untested: Vec<&&str> = names.difference(&tested).collect();
    assert!(untested.is_empty(), "without a case: {untested:?}");
}
