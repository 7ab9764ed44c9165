//! Trained tensors: found by name, stacked from parts, refused if they differ.

use std::collections::HashMap;
use std::sync::Arc;

use minuend_interp::{Tensor, evaluate};
use minuend_ir::ops::Weight;
use minuend_ir::{DType, Emit, Graph, Op, SymbolTable, TensorType};

fn table() -> HashMap<String, Arc<Tensor>> {
    let tensor = |dtype, shape: &[usize], first: usize| {
        let count: usize = shape.iter().product();
        let values = (first..first + count).map(|value| value as f64).collect();
        Arc::new(Tensor::from_reals(dtype, shape, values).unwrap())
    };
    HashMap::from([
        ("q".to_string(), tensor(DType::F32, &[2, 2], 0)),
        ("k".to_string(), tensor(DType::F32, &[1, 2], 10)),
        ("half".to_string(), tensor(DType::F16, &[1, 2], 20)),
        ("wide".to_string(), tensor(DType::F32, &[1, 3], 30)),
    ])
}

fn load(parts: &[&str], shape: &[usize]) -> Result<Tensor, String> {
    let mut graph = Graph::new("load", SymbolTable::default());
    let parts = parts.iter().map(|name| (*name).into()).collect();
    let weight = Op::Weight(Weight { parts, ty: TensorType::fixed(DType::F32, shape) });
    let weight = graph.value(weight, &[]).unwrap();
    graph.set_name(weight, "w");
    graph.set_return(&[weight], &[]).unwrap();
    let outcome = evaluate(&graph, &[], &table()).map_err(|error| error.to_string())?;
    Ok(outcome.outputs[0].clone())
}

#[test]
fn one_part_or_several_stacked() {
    assert_eq!(load(&["q"], &[2, 2]).unwrap().reals().unwrap(), [0., 1., 2., 3.]);
    let stacked = load(&["q", "k", "k"], &[4, 2]).unwrap();
    assert_eq!(stacked.reals().unwrap(), [0., 1., 2., 3., 10., 11., 10., 11.]);
}

#[test]
fn what_does_not_fit_is_named() {
    let error = |parts: &[&str], shape: &[usize]| load(parts, shape).unwrap_err();
    assert_eq!(error(&["v"], &[1]), "%w = weight: weight v is missing");
    assert_eq!(error(&["q"], &[4]), "%w = weight: weight q is f32[2, 2], expected f32[4]");
    assert_eq!(
        error(&["half"], &[1, 2]),
        "%w = weight: weight half is f16[1, 2], expected f32[1, 2]"
    );
    let part = "expected a part of f32[3, 2] along axis 0";
    assert_eq!(
        error(&["q", "wide"], &[3, 2]),
        format!("%w = weight: weight wide is f32[1, 3], {part}")
    );
    assert_eq!(
        error(&["q", "half"], &[3, 2]),
        format!("%w = weight: weight half is f16[1, 2], {part}")
    );
    let expected = "%w = weight: weight q + k is 3 rows, expected 4 rows";
    assert_eq!(error(&["q", "k"], &[4, 2]), expected);
    assert!(error(&["q", "k"], &[]).contains("a part of f32[] along axis 0"));
}
