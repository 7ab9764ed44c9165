//! States carried between runs, and what an observer sees.

use minuend_interp::{Tensor, evaluate, evaluate_observed};
use minuend_ir::ops::{Attention, KvAppend, Mask};
use minuend_ir::{DType, Dim, Emit, Graph, Op, Real, SymbolTable, TensorType};

use crate::case::{assert_close, no_weights};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 3;

/// Causal attention over a key and a value cache.
fn cached_attention() -> Graph {
    let mut symbols = SymbolTable::default();
    let s = Dim::symbol(symbols.declare("S", 1, 16).unwrap());
    let p = Dim::symbol(symbols.declare("P", 0, 64).unwrap());
    let mut graph = Graph::new("step", symbols);
    let heads = |count: usize, tokens: &Dim| {
        let shape = [Dim::one(), Dim::from(count), tokens.clone(), Dim::from(WIDTH)];
        TensorType::new(DType::F32, shape)
    };
    let q = graph.argument("q", heads(HEADS, &s)).unwrap();
    let past_k = graph.state("past_k", heads(KV_HEADS, &p)).unwrap();
    let new_k = graph.argument("k", heads(KV_HEADS, &s)).unwrap();
    let past_v = graph.state("past_v", heads(KV_HEADS, &p)).unwrap();
    let new_v = graph.argument("v", heads(KV_HEADS, &s)).unwrap();
    let append = Op::KvAppend(KvAppend { axis: 2 });
    let k = graph.value(append.clone(), &[past_k, new_k]).unwrap();
    let v = graph.value(append, &[past_v, new_v]).unwrap();
    let op = Attention { mask: Mask::Causal, scale: Real::new(0.5) };
    let context = graph.attention(op, q, k, v).unwrap();
    graph.set_name(context, "context");
    graph.set_return(&[context], &[k, v]).unwrap();
    graph
}

/// Tokens `range` of a sequence whose values depend on head, token and feature alone.
fn tokens(heads: usize, range: std::ops::Range<usize>, phase: f64) -> Tensor {
    let mut values = Vec::new();
    for head in 0..heads {
        for token in range.clone() {
            for feature in 0..WIDTH {
                let place = (head * 100 + token) * WIDTH + feature;
                values.push(2.0 * (place as f64 * 1.7 + phase).sin());
            }
        }
    }
    Tensor::from_reals(DType::F32, &[1, heads, range.len(), WIDTH], values).unwrap()
}

#[test]
fn decoding_with_a_cache_is_prefill_in_pieces() {
    let graph = cached_attention();
    let inputs = |range: std::ops::Range<usize>, k: Tensor, v: Tensor| {
        let new = |heads, phase| tokens(heads, range.clone(), phase);
        [new(HEADS, 0.1), k, new(KV_HEADS, 0.2), v, new(KV_HEADS, 0.3)]
    };
    let empty = || tokens(KV_HEADS, 0..0, 0.0);
    let whole = evaluate(&graph, &inputs(0..9, empty(), empty()), &no_weights()).unwrap();

    let (mut k, mut v) = (empty(), empty());
    for range in [0..4, 4..5, 5..6, 6..9] {
        let inputs = inputs(range.clone(), k, v);
        let mut outcome = evaluate(&graph, &inputs, &no_weights()).unwrap();
        for head in 0..HEADS {
            let rows = |output: &Tensor, token: usize, tokens: usize| {
                let start = (head * tokens + token) * WIDTH;
                output.reals().unwrap()[start..start + WIDTH].to_vec()
            };
            for token in range.clone() {
                let found = rows(&outcome.outputs[0], token - range.start, range.len());
                // The same operations in the same order.
                assert_close(&found, &rows(&whole.outputs[0], token, 9), 0.0);
            }
        }
        v = outcome.next_states.pop().unwrap();
        k = outcome.next_states.pop().unwrap();
        assert!(outcome.next_states.is_empty());
        assert_eq!(k.shape(), [1, KV_HEADS, range.end, WIDTH]);
    }
    assert_eq!([k, v], whole.next_states.as_slice());
}

#[test]
fn an_observer_sees_every_node_behind_its_operands() {
    let graph = cached_attention();
    let empty = || tokens(KV_HEADS, 0..0, 0.0);
    let new = || tokens(KV_HEADS, 0..2, 0.5);
    let inputs = [tokens(HEADS, 0..2, 0.1), empty(), new(), empty(), new()];
    let mut seen = Vec::new();
    let mut context = None;
    let outcome = evaluate_observed(&graph, &inputs, &no_weights(), &mut |id, results| {
        for operand in graph.operands(id) {
            assert!(seen.contains(&operand.node));
        }
        seen.push(id);
        if let [result] = results
            && graph.value_name(id.result(0)).is_some_and(|name| &**name == "context")
        {
            context = Some(result.as_ref().clone());
        }
    });
    assert_eq!(seen, minuend_ir::order::topological(&graph));
    assert_eq!(context.as_ref(), outcome.unwrap().outputs.first());
}

#[test]
fn a_value_may_be_returned_twice_and_an_input_at_once() {
    let mut graph = Graph::new("pass", SymbolTable::default());
    let x = graph.argument("x", TensorType::fixed(DType::F32, &[2])).unwrap();
    let state = graph.state("s", TensorType::fixed(DType::F32, &[2])).unwrap();
    let unused = graph.argument("unused", TensorType::fixed(DType::F32, &[])).unwrap();
    assert!(graph.uses(unused).is_empty());
    let square = graph.mul(x, x).unwrap();
    graph.set_return(&[square, x, square], &[square]).unwrap();
    let tensor = |shape: &[usize], values: &[f64]| {
        Tensor::from_reals(DType::F32, shape, values.to_vec()).unwrap()
    };
    let inputs = [tensor(&[2], &[2.0, 3.0]), tensor(&[2], &[0.0, 0.0]), tensor(&[], &[1.0])];
    let outcome = evaluate(&graph, &inputs, &no_weights()).unwrap();
    let squares = tensor(&[2], &[4.0, 9.0]);
    assert_eq!(outcome.outputs, [squares.clone(), inputs[0].clone(), squares.clone()]);
    assert_eq!(outcome.next_states, [squares]);
    assert!(graph.uses(state).is_empty());
}
