//! What nodes compute from sizes is not in the graph: shapes that exporters take apart and put together.

use std::collections::BTreeSet;

use minuend_interp::Tensor;
use minuend_onnx::proto::data_type;
use minuend_onnx::{OnnxError, OnnxModel};
use minuend_tests::onnx::run::{import, interpreted, random_reals};
use minuend_tests::onnx::writer::{Writer, int, ints, of_tensor, reals};

fn imported(w: &Writer) -> OnnxModel {
    import(w.bytes()).unwrap()
}

/// Ops of the graph, but for arguments and return.
fn ops(model: &OnnxModel) -> BTreeSet<&'static str> {
    let counts = model.graph().op_counts();
    counts.into_keys().filter(|op| !matches!(*op, "input" | "return")).collect()
}

fn run(model: &OnnxModel, inputs: &[Tensor]) -> Vec<Tensor> {
    interpreted(model, inputs).unwrap()
}

fn size(w: &mut Writer, x: &str, axis: i64) -> String {
    let shape = w.node("Shape", &[x], &[]);
    let axis = w.constant_int(axis);
    w.node("Gather", &[&shape, &axis], &[int("axis", 0)])
}

fn vector(w: &mut Writer, size: &str) -> String {
    let axes = w.constant_ints(&[0]);
    w.node("Unsqueeze", &[size, &axes], &[])
}

/// `x.reshape(batch, sequence, x.shape[2] // 4, 4)`, every size by nodes.
#[test]
fn heads_are_split_by_sizes() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, sequence, 12");
    let (batch, tokens, width) = (size(&mut w, &x, 0), size(&mut w, &x, 1), size(&mut w, &x, -1));
    let four = w.constant_int(4);
    let heads = w.node("Div", &[&width, &four], &[]);
    let parts = [batch, tokens, heads, four].map(|size| vector(&mut w, &size));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let shape = w.node("Concat", &parts, &[int("axis", 0)]);
    let apart = w.node("Reshape", &[&x, &shape], &[]);
    w.output(&apart);
    let model = imported(&w);
    assert_eq!(ops(&model), ["reshape"].into());
    for (batch, tokens) in [(1, 1), (3, 5)] {
        let x = random_reals(1, &[batch, tokens, 12]);
        let y = &run(&model, std::slice::from_ref(&x))[0];
        assert_eq!((y.shape(), y.reals()), ([batch, tokens, 3, 4].as_slice(), x.reals()));
    }
}

/// Keys repeated for groups of heads by the exporter's `Where(Equal(shape, -1), ones, shape)`.
#[test]
fn expanded_shapes_that_are_chosen() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 2, 1, sequence");
    let (batch, tokens) = (size(&mut w, &x, 0), size(&mut w, &x, 3));
    let (batch, tokens) = (vector(&mut w, &batch), vector(&mut w, &tokens));
    let (kept, repeats) = (w.constant_ints(&[-1]), w.constant_ints(&[3]));
    let wanted = w.node("Concat", &[&batch, &kept, &repeats, &tokens], &[int("axis", 0)]);
    let rank = w.node("Shape", &[&wanted], &[]);
    let one = of_tensor("value", &ints(&[1], &[1]));
    let ones = w.node("ConstantOfShape", &[&rank], &[one]);
    let minus = w.constant_int(-1);
    let minus = w.node("Mul", &[&ones, &minus], &[]);
    let is_kept = w.node("Equal", &[&wanted, &minus], &[]);
    let wanted = w.node("Where", &[&is_kept, &ones, &wanted], &[]);
    let spread = w.node("Expand", &[&x, &wanted], &[]);
    w.output(&spread);
    let model = imported(&w);
    assert_eq!(ops(&model), ["broadcast"].into());
    for (batch, tokens) in [(1, 4), (2, 3)] {
        let x = random_reals(2, &[batch, 2, 1, tokens]);
        let y = &run(&model, &[x])[0];
        assert_eq!(y.shape(), [batch, 2, 3, tokens]);
    }
}

/// Positions `past .. past + sequence` and a causal mask, from the sizes of two inputs.
#[test]
fn positions_and_masks_of_sizes() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, sequence");
    let cache = w.input("cache", data_type::FLOAT, "batch, past_sequence");
    let (tokens, past) = (size(&mut w, &x, 1), size(&mut w, &cache, 1));
    let total = w.node("Add", &[&tokens, &past], &[]);
    let one = w.constant_int(1);
    let positions = w.node("Range", &[&past, &total, &one], &[]);
    w.output(&positions);
    let square = [vector(&mut w, &tokens), vector(&mut w, &total)];
    let square = w.node("Concat", &[&square[0], &square[1]], &[int("axis", 0)]);
    let lowest = of_tensor("value", &reals(&[1], &[f64::NEG_INFINITY]));
    let hidden = w.node("ConstantOfShape", &[&square], &[lowest]);
    let diagonal = w.node("Add", &[&past, &one], &[]);
    let mask = w.node("Trilu", &[&hidden, &diagonal], &[int("upper", 1)]);
    w.output(&mask);
    let model = imported(&w);
    let ops = ops(&model);
    assert!(ops.is_disjoint(&["gather", "concat", "slice", "cast"].into()), "{ops:?}");
    for (tokens, past) in [(1, 0), (3, 2)] {
        let inputs = [random_reals(3, &[1, tokens]), random_reals(4, &[1, past])];
        let found = run(&model, &inputs);
        let (tokens, past) = (tokens as i64, past as i64);
        assert_eq!(found[0].ints().unwrap(), (past..past + tokens).collect::<Vec<_>>());
        let is_hidden = found[1].reals().unwrap().iter().map(|value| *value != 0.0);
        let expected = (0..tokens).flat_map(|i| (0..tokens + past).map(move |j| j > i + past));
        assert!(is_hidden.eq(expected));
    }
}

/// `arange(0, x.shape[2], 2)` and `arange(x.shape[1])` in floats, whose bounds are sizes behind a cast.
#[test]
fn ranges_of_floats_whose_bounds_are_sizes() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, sequence, 6");
    let [tokens, width] = [1, 2].map(|axis| {
        let size = size(&mut w, &x, axis);
        w.node("Cast", &[&size], &[int("to", i64::from(data_type::FLOAT))])
    });
    let [zero, one, two] = [0.0, 1.0, 2.0].map(|value| w.constant_real(value));
    for (limit, step) in [(&width, &two), (&tokens, &one)] {
        let range = w.node("Range", &[&zero, limit, step], &[]);
        w.output(&range);
    }
    let model = imported(&w);
    for tokens in [1usize, 5] {
        let found = run(&model, &[random_reals(5, &[2, tokens, 6])]);
        assert_eq!(found[0].reals().unwrap(), [0.0, 2.0, 4.0]);
        let expected: Vec<f64> = (0..tokens).map(|token| token as f64).collect();
        assert_eq!(found[1].reals().unwrap(), expected);
    }
}

/// A branch that sizes decide, and an assertion of sizes that always holds.
#[test]
fn branches_that_sizes_decide() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 3");
    let width = size(&mut w, &x, 1);
    let three = w.constant_int(3);
    let is_three = w.node("Equal", &[&width, &three], &[]);
    let branch = |op: &str| {
        let output = format!("{op}_output");
        let node = minuend_tests::onnx::writer::node_proto(op, &["x"], &[&output], &[]);
        let output = minuend_onnx::proto::ValueInfoProto { name: output, r#type: None };
        minuend_onnx::proto::GraphProto {
            node: vec![node],
            output: vec![output],
            ..Default::default()
        }
    };
    let graphs = [("then_branch", "Neg"), ("else_branch", "NonZero")]
        .map(|(name, op)| minuend_tests::onnx::writer::of_graph(name, branch(op)));
    let y = w.node("If", &[&is_three], &graphs);
    w.output(&y);
    let model = imported(&w);
    assert_eq!(ops(&model), ["neg"].into());
    let y = run(&model, &[reals(&[1, 3], &[1., 2., -3.])]);
    assert_eq!(y[0], reals(&[1, 3], &[-1., -2., 3.]));
}

/// Sizes that leave the file as outputs are computed from the sizes of the run.
#[test]
fn sizes_as_outputs() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, sequence, 4");
    let shape = w.node("Shape", &[&x], &[]);
    w.output(&shape);
    let count = w.node("Size", &[&x], &[]);
    w.output(&count);
    let model = imported(&w);
    for (batch, tokens) in [(2i64, 3i64), (1, 7)] {
        let found = run(&model, &[random_reals(5, &[batch as usize, tokens as usize, 4])]);
        assert_eq!(found[0], ints(&[3], &[batch, tokens, 4]));
        assert_eq!(found[1], ints(&[], &[batch * tokens * 4]));
    }
}

/// Rows of a stored table by a size: the table bounds the size.
#[test]
fn a_table_bounds_the_size() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "sequence, 3");
    let table = w.stored(&random_reals(6, &[5, 3]));
    let tokens = size(&mut w, &x, 0);
    let end = vector(&mut w, &tokens);
    let start = w.constant_ints(&[0]);
    let rows = w.node("Slice", &[&table, &start, &end, &start], &[]);
    let sum = w.node("Add", &[&x, &rows], &[]);
    w.output(&sum);
    let model = imported(&w);
    let (_, info) = model.graph().symbols().symbols().next().unwrap();
    assert_eq!((&*info.name, info.min, info.max), ("sequence", 1, 5));
    assert!(interpreted(&model, &[random_reals(7, &[5, 3])]).is_ok());
    assert!(interpreted(&model, &[random_reals(7, &[6, 3])]).is_err());
}

/// A shape that depends on data is refused, not guessed.
#[test]
fn sizes_of_data_are_refused() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 3");
    let n = w.input("n", data_type::INT64, "1");
    let y = w.node("Reshape", &[&x, &n], &[]);
    w.output(&y);
    let Err(OnnxError::Model { problems, .. }) = import(w.bytes()) else { panic!("imported") };
    assert!(problems[0].found.contains("computed from data"), "{}", problems[0]);
    assert!(problems[0].at.contains("f32[batch, 3], i64[1]"), "{}", problems[0]);
}

/// Scores of many heads and any number of tokens: sizes that nothing bounds get ranges in which the
/// elements can be counted, batches first.
#[test]
fn scores_of_many_heads() {
    for (dims, expected) in [
        ("batch, 64, sequence, 8", [("batch", 1 << 10), ("sequence", 1 << 17)]),
        ("s0, 64, s1, 8", [("s0", 1 << 15), ("s1", 1 << 15)]),
        ("b, 1, s, 8", [("b", 1 << 17), ("s", 1 << 17)]),
    ] {
        let mut w = Writer::default();
        let x = w.input("x", data_type::FLOAT, dims);
        let perm = minuend_tests::onnx::writer::of_ints("perm", &[0, 1, 3, 2]);
        let turned = w.node("Transpose", &[&x], &[perm]);
        let scores = w.node("MatMul", &[&x, &turned], &[]);
        w.output(&scores);
        let model = imported(&w);
        let symbols = model.graph().symbols();
        let ranges: Vec<(&str, u64)> =
            symbols.symbols().map(|(_, info)| (&*info.name, info.max)).collect();
        assert_eq!(ranges, expected);
    }
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 1099511627776, 1099511627776");
    w.output_as("y", &x);
    let error = import(w.bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 2^52 elements"), "{error}");
}
