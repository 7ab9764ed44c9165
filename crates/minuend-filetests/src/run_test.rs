//! Tests that the pipeline keeps what a graph computes.

use minuend_interp::{Data, Outcome, Tensor, evaluate};
use minuend_ir::Graph;

use crate::failure::Failure;
use crate::file::TestFile;
use crate::random::{Random, bindings, sizes, weights};
use crate::stages;

/// Most that two evaluations may differ, against the largest magnitude of the tensor.
///
/// Both are exact but for the rounding of f64, 2^-53 per operation. Sums of up to 2^12 terms and
/// chains of up to 2^7 operations lose at most 19 of the 53 bits; a wrong rewrite differs in the first.
const TOLERANCE: f64 = 1.0 / (1u64 << 34) as f64;

/// Integer inputs are below this: small enough to index any axis of a test.
const INT_LIMIT: u64 = 2;

/// Evaluates each graph before and behind the whole pipeline on the same inputs.
pub(crate) fn run_test(file: &TestFile<'_>) -> Result<(), Failure> {
    let graphs = file.graphs()?;
    for name in file.settings.keys() {
        let is_symbol = graphs.iter().any(|parsed| parsed.graph.symbols().id(name).is_some());
        if !is_symbol && name != "seed" && name != "int_limit" {
            return Err(Failure::UnknownSetting(name.clone()));
        }
    }
    for parsed in graphs {
        let graph = parsed.graph;
        let setting = |name: &str, default| file.settings.get(name).copied().unwrap_or(default);
        let mut random = Random::new(setting("seed", 1));
        let bindings = bindings(&graph, &file.settings)?;
        let mut inputs = Vec::new();
        for input in graph.inputs() {
            let ty = graph.ty(input.result(0));
            let Some(shape) = sizes(ty, &bindings) else {
                let name = ty.display(graph.symbols()).to_string();
                return Err(Failure::SymbolValue { name });
            };
            inputs.push(random.tensor(ty.dtype, &shape, setting("int_limit", INT_LIMIT))?);
        }
        let weights = weights(&graph, &mut random)?;
        let legal = stages::legal(graph.clone(), &file.target)?;
        let before = evaluate(&graph, &inputs, &weights)
            .map_err(|source| Failure::Evaluate { stage: "before", source: Box::new(source) })?;
        let after = evaluate(legal.graph(), &inputs, &weights)
            .map_err(|source| Failure::Evaluate { stage: "behind", source: Box::new(source) })?;
        compare(&graph, &before, &after)?;
    }
    Ok(())
}

fn compare(graph: &Graph, before: &Outcome, after: &Outcome) -> Result<(), Failure> {
    let differs = |what| Failure::Differs { graph: graph.name().to_string(), what };
    for (kind, before, after) in [
        ("output", &before.outputs, &after.outputs),
        ("next state", &before.next_states, &after.next_states),
    ] {
        if before.len() != after.len() {
            let (found, expected) = (after.len(), before.len());
            return Err(differs(format!("{found} values of kind {kind}, expected {expected}")));
        }
        for (index, (expected, found)) in before.iter().zip(after).enumerate() {
            if let Some(what) = difference(expected, found) {
                return Err(differs(format!("{kind} {index} {what}")));
            }
        }
    }
    Ok(())
}

/// In words, where two tensors differ.
pub(crate) fn difference(expected: &Tensor, found: &Tensor) -> Option<String> {
    if (expected.dtype(), expected.shape()) != (found.dtype(), found.shape()) {
        let (from, to) = (expected.shape(), found.shape());
        return Some(format!("is {}{to:?}, was {}{from:?}", found.dtype(), expected.dtype()));
    }
    let (Data::Reals(expected), Data::Reals(found)) = (expected.data(), found.data()) else {
        return (expected.data() != found.data()).then(|| "has other values".to_string());
    };
    let largest = expected.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let is_close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * largest
    };
    let at = expected.iter().zip(found).position(|(a, b)| !is_close(*a, *b))?;
    Some(format!("element {at} is {}, was {}", found[at], expected[at]))
}
