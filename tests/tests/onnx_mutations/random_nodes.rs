//! Every operator with inputs and attributes that it need not be made for.

use minuend_onnx::proto::{AttributeProto, data_type};
use minuend_tests::onnx::operators::operators;
use minuend_tests::onnx::writer::{Writer, ints, reals, text, truths};
use minuend_tests::random_values::RandomValues;

use crate::{NUMBERS, Outcomes};

/// Attributes of all operators but graphs.
const ATTRIBUTES: [&str; 38] = [
    "axis",
    "axes",
    "perm",
    "keepdims",
    "noop_with_empty_axes",
    "to",
    "value",
    "value_int",
    "value_ints",
    "value_float",
    "value_floats",
    "start",
    "end",
    "upper",
    "num_outputs",
    "allowzero",
    "batch_dims",
    "exclusive",
    "reverse",
    "largest",
    "sorted",
    "select_last_index",
    "transA",
    "transB",
    "alpha",
    "beta",
    "epsilon",
    "fmod",
    "is_causal",
    "scale",
    "softcap",
    "q_num_heads",
    "kv_num_heads",
    "qk_matmul_output_mode",
    "num_heads",
    "rotary_embedding_dim",
    "interleaved",
    "stash_type",
];

const EQUATIONS: [&str; 10] = [
    "ij,jk->ik",
    "bij,bjk",
    "...ij->...ji",
    "i->",
    "->",
    ",",
    "a...b",
    "bhsd,bhtd->bhst",
    "....",
    "é",
];

#[test]
fn random_nodes() {
    let mut outcomes = Outcomes::default();
    let mut random = RandomValues::new(7);
    for op in operators() {
        for round in 0..40 {
            let mut w = graph(&mut random, op);
            // What the operator gave is computed with.
            if random.once_in(3) {
                let given = w.graph.output[0].name.clone();
                let y = w.node("Add", &[&given, &given], &[]);
                w.output(&y);
            }
            let nodes = w.graph.node.clone();
            outcomes.add(w.bytes(), &|| format!("{op}, round {round}: {nodes:#?}"));
        }
    }
    assert!(outcomes.compiled > 200 && outcomes.refused_by_importer > 200, "{outcomes:?}");
}

/// A graph of inputs, stored tensors, constants, and one node that reads some of them.
fn graph(random: &mut RandomValues, op: &str) -> Writer {
    let mut w = Writer::new(random.pick(&[13, 17, 18, 20, 23]));
    let mut values = vec![
        w.input("x", data_type::FLOAT, "batch, seq, 4"),
        w.input("square", data_type::FLOAT, "4, 4"),
        w.input("heads", data_type::FLOAT, "batch, 2, seq, 4"),
        w.input("ids", data_type::INT64, "batch, seq"),
        w.input("truth", data_type::BOOL, "seq, seq"),
        w.input("scalar", data_type::FLOAT, ""),
        w.input("half", data_type::FLOAT16, "batch, 4"),
        w.stored(&reals(&[4, 4], &[0.5; 16])),
        w.stored(&truths(&[2], &[0, 1])),
        w.stored(&reals(&[0, 3], &[])),
    ];
    for _ in 0..3 {
        let count = random.below(5);
        let numbers: Vec<i64> = (0..count).map(|_| number(random)).collect();
        values.push(w.constant_ints(&numbers));
        let one = number(random);
        values.push(w.constant_int(one));
    }
    values.push(w.constant(&ints(&[2, 1], &[0, 1])));
    values.push(w.node("Shape", &["x"], &[]));
    values.push(String::new());
    let inputs: Vec<String> = (0..random.below(5)).map(|_| random.pick(&values)).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let count = random.below(4);
    let mut attributes: Vec<AttributeProto> = (0..count).map(|_| attribute(random)).collect();
    let (name, word) = match op {
        "Einsum" => ("equation", random.pick(&EQUATIONS)),
        _ => ("mode", random.pick(&["constant", "tanh", "none", "edge"])),
    };
    attributes.push(text(name, word));
    let outputs = 1 + random.below(3);
    for output in w.nodes(op, &inputs, &attributes, outputs) {
        w.output(&output);
    }
    w
}

/// Mostly small.
fn number(random: &mut RandomValues) -> i64 {
    if random.once_in(4) { random.pick(&NUMBERS) } else { random.below(6) as i64 - 2 }
}

fn attribute(random: &mut RandomValues) -> AttributeProto {
    let value = number(random);
    let ints = (0..random.below(4)).map(|_| number(random)).collect();
    let floats = [0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, 1e30, 1e-30];
    AttributeProto {
        name: random.pick(&ATTRIBUTES).into(),
        i: value,
        ints,
        f: random.pick(&floats),
        floats: (0..random.below(3)).map(|_| random.pick(&floats)).collect(),
        ..AttributeProto::default()
    }
}
