//! Symbols take their values from the inputs, and inputs that do not fit are refused.

use minuend_interp::{EvalError, Outcome, Tensor, evaluate};
use minuend_ir::{DType, Dim, Emit, Graph, SymbolTable, TensorType, ValueId};

use crate::case::no_weights;

fn symbols() -> (SymbolTable, Dim, Dim) {
    let mut symbols = SymbolTable::default();
    let s = Dim::symbol(symbols.declare("S", 1, 8).unwrap());
    let p = Dim::symbol(symbols.declare_multiple("P", 0, 16, 4).unwrap());
    symbols.define("T", &p + &s).unwrap();
    (symbols, s, p)
}

/// `a [S]`, `b [T, 2]`, `c [P]`: the value of `T` as a scalar.
fn three_inputs() -> Graph {
    let (symbols, s, p) = symbols();
    let t = &p + &s;
    let mut graph = Graph::new("sizes", symbols);
    graph.argument("a", TensorType::new(DType::F32, [s])).unwrap();
    graph.argument("b", TensorType::new(DType::I64, [t.clone(), Dim::from(2)])).unwrap();
    graph.argument("c", TensorType::new(DType::F32, [p])).unwrap();
    let size = graph.dim(t).unwrap();
    graph.set_return(&[size], &[]).unwrap();
    graph
}

fn run(s: usize, t: usize, p: usize) -> Result<Outcome, EvalError> {
    let inputs = [
        Tensor::from_reals(DType::F32, &[s], vec![0.0; s]).unwrap(),
        Tensor::from_ints(DType::I64, &[t, 2], vec![0; 2 * t]).unwrap(),
        Tensor::from_reals(DType::F32, &[p], vec![0.0; p]).unwrap(),
    ];
    evaluate(&three_inputs(), &inputs, &no_weights())
}

fn message(s: usize, t: usize, p: usize) -> String {
    run(s, t, p).unwrap_err().to_string()
}

#[test]
fn inputs_bind_symbols() {
    let outcome = run(3, 11, 8).unwrap();
    assert_eq!(outcome.outputs[0].ints().unwrap(), [11]);
    let graph = three_inputs();
    let value = |name| outcome.bindings.get(graph.symbols().id(name).unwrap());
    assert_eq!((value("S"), value("P")), (Some(3), Some(8)));
    assert_eq!(run(1, 1, 0).unwrap().outputs[0].ints().unwrap(), [1]);
}

#[test]
fn a_size_that_contradicts_is_refused() {
    assert_eq!(message(3, 9, 4), "input %b: axis 0 (T) is 9, expected 7");
}

#[test]
fn a_size_out_of_range_is_refused() {
    assert_eq!(message(9, 9, 0), "input %a: axis 0 (S) is 9, expected 1 to 8");
    assert_eq!(message(0, 0, 0), "input %a: axis 0 (S) is 0, expected 1 to 8");
    let expected = "input %c: axis 0 (P) is 6, expected a multiple of 4 from 0 to 16";
    assert_eq!(message(1, 7, 6), expected);
}

#[test]
fn the_same_symbol_twice_must_agree() {
    let (symbols, s, _) = symbols();
    let mut graph = Graph::new("twice", symbols);
    let a = graph.argument("a", TensorType::new(DType::F32, [s.clone(), s])).unwrap();
    graph.set_return(&[a], &[]).unwrap();
    let input = Tensor::from_reals(DType::F32, &[2, 3], vec![0.0; 6]).unwrap();
    let error = evaluate(&graph, &[input], &no_weights()).unwrap_err();
    assert_eq!(error.to_string(), "input %a: axis 1 (S) is 3, expected 2");
}

#[test]
fn a_fixed_size_type_rank_and_count_must_agree() {
    let mut graph = Graph::new("fixed", SymbolTable::default());
    let a = graph.argument("a", TensorType::fixed(DType::F32, &[2])).unwrap();
    graph.set_return(&[a], &[]).unwrap();
    let error =
        |inputs: &[Tensor]| evaluate(&graph, inputs, &no_weights()).unwrap_err().to_string();
    let reals = |shape: &[usize]| {
        Tensor::from_reals(DType::F32, shape, vec![0.0; shape.iter().product()]).unwrap()
    };
    assert_eq!(error(&[reals(&[3])]), "input %a: axis 0 (2) is 3, expected 2");
    assert_eq!(error(&[reals(&[2, 1])]), "input %a is f32[2, 1], expected f32[2]");
    let half = Tensor::from_reals(DType::F16, &[2], vec![0.0; 2]).unwrap();
    assert_eq!(error(&[half]), "input %a is f16[2], expected f32[2]");
    assert_eq!(error(&[]), "graph @fixed takes 1 inputs, found 0");
}

#[test]
fn unbound_symbols_are_named() {
    let (symbols, s, p) = symbols();
    let mut graph = Graph::new("unbound", symbols);
    let a = graph.argument("a", TensorType::new(DType::F32, [&s * 2])).unwrap();
    graph.set_return(&[a], &[]).unwrap();
    let input = Tensor::from_reals(DType::F32, &[4], vec![0.0; 4]).unwrap();
    let error = evaluate(&graph, &[input], &no_weights()).unwrap_err().to_string();
    assert!(
        error.starts_with("input %a: axis 0 (2*S) has a symbol that no input binds"),
        "{error}"
    );

    let mut graph = Graph::new("unbound", graph.symbols().clone());
    let iota = graph.iota(&p + &s).unwrap();
    graph.set_name(iota, "positions");
    graph.set_return(&[iota], &[]).unwrap();
    let error = evaluate(&graph, &[], &no_weights()).unwrap_err().to_string();
    assert!(error.starts_with("%positions = iota: size T has a symbol"), "{error}");
}

#[test]
fn tensors_too_large_are_refused_before_allocation() {
    let mut graph = Graph::new("large", SymbolTable::default());
    let zero = graph.real(DType::F32, 0.0).unwrap();
    let shape = [Dim::from(1i64 << 20), Dim::from(1i64 << 20)];
    let huge: ValueId = graph.broadcast(zero, &shape).unwrap();
    graph.set_return(&[huge], &[]).unwrap();
    let error = evaluate(&graph, &[], &no_weights()).unwrap_err().to_string();
    let index = huge.node.index();
    let expected = format!(
        "node {index} = broadcast: tensor f32[1048576, 1048576] is too large, \
         at most 1073741824 elements are supported"
    );
    assert_eq!(error, expected);
}

#[test]
fn a_graph_without_return_is_refused() {
    let graph = Graph::new("open", SymbolTable::default());
    let error = evaluate(&graph, &[], &no_weights()).unwrap_err();
    assert_eq!(error, EvalError::NoReturn { graph: "open".into() });
}
