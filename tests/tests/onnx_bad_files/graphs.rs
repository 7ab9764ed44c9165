//! Graphs that do not hold together, and operators that are not supported.

use minuend_onnx::proto::{DimensionProto, NodeProto, ValueInfoProto, data_type};
use minuend_tests::onnx::writer::{Writer, int, ints, node_proto, value_info};

use crate::{assert_problem, problems, small};

fn edited(edit: impl Fn(&mut Writer)) -> minuend_onnx::proto::ModelProto {
    let mut w = small();
    edit(&mut w);
    w.model()
}

#[test]
fn names_that_nothing_has_or_two_things_have() {
    assert_problem(
        &edited(|w| w.graph.node[1].input[0] = "gone".into()),
        &["(Add)", "it reads \"gone\", which no node, input or initializer is"],
    );
    assert_problem(
        &edited(|w| w.graph.node[1].output.push("/MatMul_1_output_0".into())),
        &["(Add)", "its output \"/MatMul_1_output_0\" is computed or given elsewhere too"],
    );
    assert_problem(
        &edited(|w| w.graph.node[0].output.push("x".into())),
        &["(MatMul)", "its output \"x\" is computed or given elsewhere too"],
    );
    assert_problem(
        &edited(|w| w.graph.node[0].output.push("bias".into())),
        &["its output \"bias\" is computed or given elsewhere too"],
    );
    assert_problem(
        &edited(|w| w.graph.input.push(value_info("x", data_type::FLOAT, "2"))),
        &["input \"x\"", "it is given twice"],
    );
    assert_problem(
        &edited(|w| w.graph.initializer.push(w.graph.initializer[0].clone())),
        &["initializer \"weight\"", "it is given twice"],
    );
    assert_problem(
        &edited(|w| w.output("nothing")),
        &["output \"nothing\"", "no node computes it"],
    );
    assert_problem(&edited(|w| w.graph.output.clear()), &["the graph", "it has no outputs"]);
}

/// Files before IR version 4 list initializers among the inputs.
#[test]
fn an_input_that_is_stored_is_no_argument() {
    let model = edited(|w| w.graph.input.push(value_info("bias", data_type::FLOAT, "2")));
    let imported = minuend_tests::onnx::run::import(prost_bytes(&model)).unwrap();
    assert_eq!(imported.graph().inputs().len(), 1);
}

fn prost_bytes(model: &minuend_onnx::proto::ModelProto) -> Vec<u8> {
    minuend_onnx::proto::Message::encode_to_vec(model)
}

#[test]
fn cycles() {
    let words = ["it is computed from its own result: the graph has a cycle"];
    assert_problem(
        &edited(|w| w.graph.node[0].input[0] = w.graph.node[2].output[0].clone()),
        &words,
    );
    assert_problem(
        &edited(|w| w.graph.node[1].input[1] = w.graph.node[1].output[0].clone()),
        &words,
    );
}

/// Exporters write nodes in order; other programs may not.
#[test]
fn nodes_out_of_order_are_put_in_order() {
    let model = edited(|w| w.graph.node.reverse());
    assert!(minuend_tests::onnx::run::import(prost_bytes(&model)).is_ok());
}

#[test]
fn inputs_of_no_known_type() {
    let with_type = |edit: &dyn Fn(&mut ValueInfoProto)| edited(|w| edit(&mut w.graph.input[0]));
    assert_problem(&with_type(&|input| input.r#type = None), &["input \"x\"", "it is no tensor"]);
    let of_tensor = |edit: &dyn Fn(&mut minuend_onnx::proto::TensorTypeProto)| {
        with_type(&|input| edit(input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap()))
    };
    assert_problem(&of_tensor(&|ty| ty.shape = None), &["its number of axes is not known"]);
    assert_problem(&of_tensor(&|ty| ty.elem_type = 8), &["element type string"]);
    assert_problem(&of_tensor(&|ty| ty.elem_type = 0), &["element type undefined"]);
    assert_problem(
        &of_tensor(&|ty| ty.elem_type = 99),
        &["element type 99, which the schema does not have"],
    );
    for size in [-1, i64::MIN, i64::MAX, (1 << 40) + 1] {
        let dim = DimensionProto { dim_value: Some(size), dim_param: None };
        assert_problem(
            &of_tensor(&|ty| ty.shape.as_mut().unwrap().dim[0] = dim.clone()),
            &["axis 0", &format!("size {size}, expected 0 to 2^40")],
        );
    }
}

#[test]
fn an_axis_that_is_not_there() {
    assert_problem(
        &edited(|w| w.graph.node[2].attribute = vec![int("axis", 7)]),
        &[
            "node \"/Softmax_3\" (Softmax, opset 18, inputs f32[batch, 2])",
            "axis 7 of a tensor of 2 axes",
            "expected -2 to 1",
        ],
    );
}

#[test]
fn sizes_that_do_not_fit() {
    let dim =
        |w: &mut Writer, size: &str| w.graph.input[0] = value_info("x", data_type::FLOAT, size);
    assert_problem(
        &edited(|w| dim(w, "batch, 4")),
        &["(MatMul, opset 18, inputs f32[batch, 4], f32[3, 2])"],
    );
    assert_problem(&edited(|w| dim(w, "batch, width")), &["(MatMul", "f32[batch, width]"]);
}

/// Every one of them, with what it is applied to.
#[test]
fn all_unsupported_operators_at_once() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "batch, 3");
    let odd = w.node("NonZero", &[&x], &[]);
    let behind = w.node("Neg", &[&odd], &[]);
    let more = w.of_domain("com.microsoft", "FusedMatMul", &[&x, &behind], &[], 1);
    let looped = w.node("Loop", &["", "", &x], &[]);
    let drawn = w.node("RandomNormalLike", &[&x], &[]);
    let joined = w.node("SequenceConstruct", &[&x], &[]);
    let whole = w.node("MatMulInteger", &[&x, &x], &[]);
    let own = w.of_domain("my.ops", "Twist", &[&x], &[], 1);
    let convolved = w.node("Conv", &[&x, &x], &[]);
    for name in [&behind, &more[0], &looped, &drawn, &joined, &whole, &own[0], &convolved] {
        w.output(name);
    }
    let problems = problems(&w.model());
    let expected: [(&str, &str); 8] = [
        ("node \"/NonZero_1\" (NonZero, opset 18, inputs f32[batch, 3])", "depends on data"),
        (
            "node \"/FusedMatMul_3\" (com.microsoft.FusedMatMul, opset 0, inputs f32[batch, 3], unknown)",
            "without its optimiser",
        ),
        ("node \"/Loop_4\" (Loop, opset 18, inputs none, none, f32[batch, 3])", "loop unrolled"),
        (
            "node \"/RandomNormalLike_5\" (RandomNormalLike, opset 18, inputs f32[batch, 3])",
            "numbers as an input",
        ),
        ("node \"/SequenceConstruct_6\" (SequenceConstruct, opset 18", "in place of sequences"),
        ("node \"/MatMulInteger_7\" (MatMulInteger, opset 18", "without quantisation"),
        ("node \"/Twist_8\" (my.ops.Twist, opset 0", "function of the file"),
        ("node \"/Conv_9\" (Conv, opset 18", "other operators before the export"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (at, help)) in problems.iter().zip(expected) {
        assert!(problem.at.starts_with(at), "{problem}");
        assert_eq!(problem.found, "the operator is not supported");
        assert!(problem.help.contains(help), "{problem}");
    }
    let error = minuend_tests::onnx::run::import(w.bytes()).unwrap_err().to_string();
    assert!(error.starts_with("model.onnx: 8 problems\n  node \"/NonZero_1\""), "{error}");
    assert_eq!(error.lines().count(), 9);
}

/// A branch that is not read may hold anything but what the branch that is read needs.
#[test]
fn a_problem_inside_of_a_branch_is_said() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "2");
    let condition = w.constant(&minuend_tests::onnx::writer::truths(&[], &[1]));
    let inner = |node: NodeProto| {
        let output = ValueInfoProto { name: node.output[0].clone(), r#type: None };
        minuend_onnx::proto::GraphProto {
            node: vec![node],
            output: vec![output],
            ..Default::default()
        }
    };
    let graph = |name: &str, op: &str| {
        let node = node_proto(op, &["x"], &[&format!("{name}_y")], &[]);
        minuend_tests::onnx::writer::of_graph(name, inner(node))
    };
    let branches = [graph("then_branch", "NonZero"), graph("else_branch", "Neg")];
    let y = w.node("If", &[&condition], &branches);
    w.output(&y);
    assert_problem(&w.model(), &["(NonZero, opset 18, inputs f32[2])", "not supported"]);
    let _ = x;
}

#[test]
fn a_stored_index_that_is_no_number() {
    let mut w = small();
    let name = w.named("index", &ints(&[1], &[9]));
    let row = w.node("Gather", &["weight", &name], &[]);
    w.output(&row);
    assert_problem(
        &w.model(),
        &["(Gather, opset 18, inputs f32[3, 2], i64[1])", "index 9 of an axis of 3"],
    );
}

/// Outputs that no version of the operator has.
#[test]
fn more_outputs_than_the_operator_has() {
    let words = ["(Softmax, opset 18, inputs f32[batch, 2])", "2 outputs, expected at most 1"];
    let more = |w: &mut Writer| w.graph.node[2].output.push("more".into());
    assert_problem(&edited(more), &words);
    let asked_for = |w: &mut Writer| {
        more(w);
        w.output("more");
    };
    assert_problem(&edited(asked_for), &words);
    // One without a name is not asked for.
    let model = edited(|w| w.graph.node[2].output.push(String::new()));
    assert!(minuend_tests::onnx::run::import(prost_bytes(&model)).is_ok());
}
