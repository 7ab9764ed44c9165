//! Functions of the file: called, nested, and calling themselves.

use minuend_onnx::proto::{NodeProto, attribute_type, data_type};
use minuend_tests::onnx::run::{import, interpreted};
use minuend_tests::onnx::writer::{Writer, function, int, node_proto, real, reals, referred};

use crate::{assert_problem, problems};

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto { domain: "own".into(), ..node_proto(name, inputs, outputs, &[]) }
}

/// `slope * (a - b)` twice, once by a function that calls another.
#[test]
fn functions_are_put_in_place_of_calls() {
    let mut w = Writer::default();
    let a = w.input("a", data_type::FLOAT, "n");
    let b = w.input("b", data_type::FLOAT, "n");
    let mut difference = function(
        "own",
        "Difference",
        &["b", "a"],
        &["y"],
        vec![
            // The names are the function's own, whatever the caller's are.
            node_proto("Sub", &["b", "a"], &["x"], &[]),
            node_proto(
                "LeakyRelu",
                &["x"],
                &["y"],
                &[referred("alpha", "slope", attribute_type::FLOAT)],
            ),
        ],
    );
    difference.attribute.push("slope".into());
    let twice = function(
        "own",
        "Twice",
        &["p", "q"],
        &["y"],
        vec![call("Difference", &["p", "q"], &["x"]), call("Difference", &["q", "x"], &["y"])],
    );
    w.functions = vec![difference, twice];
    let once = w.of_domain("own", "Difference", &[&a, &b], &[real("slope", 0.5)], 1);
    let nested = w.of_domain("own", "Twice", &[&a, &b], &[], 1);
    w.output(&once[0]);
    w.output(&nested[0]);
    let model = import(w.bytes()).unwrap();
    assert_eq!(model.nodes(), 6);
    let inputs = [reals(&[2], &[1., 5.]), reals(&[2], &[3., 2.])];
    let found = interpreted(&model, &inputs).unwrap();
    assert_eq!(found[0], reals(&[2], &[-1., 3.]));
    // leaky(3 - leaky(1 - 3)) = 3.02, leaky(2 - 3) = -0.01.
    let nested = found[1].reals().unwrap();
    assert!((nested[0] - 3.02).abs() < 1e-6 && (nested[1] + 0.01).abs() < 1e-6, "{nested:?}");
}

#[test]
fn functions_that_call_themselves() {
    let recursive = |calls: usize| {
        let mut w = Writer::default();
        let x = w.input("x", data_type::FLOAT, "2");
        let names: Vec<String> = (0..calls).map(|index| format!("y{index}")).collect();
        let nodes = names.iter().map(|name| call("Again", &["x"], &[name])).collect();
        w.functions = vec![function("own", "Again", &["x"], &["y0"], nodes)];
        let y = w.of_domain("own", "Again", &[&x], &[], 1);
        w.output(&y[0]);
        w.model()
    };
    // Two calls each would be 2^32 calls without a limit.
    for calls in [1, 2, 3] {
        assert_problem(&recursive(calls), &["(Again)", "more than 32 deep, or in a circle"]);
    }
}

/// Functions that call each other twice, 30 deep: a billion nodes.
#[test]
fn functions_that_expand_without_end() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "2");
    for level in 0..30 {
        let next = format!("Level{}", level + 1);
        let nodes = vec![call(&next, &["x"], &["y"]), call(&next, &["x"], &["z"])];
        w.functions.push(function("own", &format!("Level{level}"), &["x"], &["y"], nodes));
    }
    let nodes = vec![node_proto("Neg", &["x"], &["y"], &[])];
    w.functions.push(function("own", "Level30", &["x"], &["y"], nodes));
    let y = w.of_domain("own", "Level0", &[&x], &[], 1);
    w.output(&y[0]);
    let found = problems(&w.model());
    assert!(found[0].found.contains("more than 1048576"), "{}", found[0]);
}

#[test]
fn problems_inside_of_functions() {
    let mut w = Writer::default();
    let x = w.input("x", data_type::FLOAT, "2");
    let nodes = vec![node_proto("Softmax", &["x"], &["y"], &[int("axis", 4)])];
    w.functions = vec![function("own", "Odd", &["x"], &["y"], nodes)];
    let y = w.of_domain("own", "Odd", &[&x], &[], 1);
    w.output(&y[0]);
    // The name is that of the call and of the node in the function.
    assert_problem(&w.model(), &["\"/Odd_1.1/\" (Softmax, opset 18, inputs f32[2])", "axis 4"]);
    let nodes = vec![node_proto("Neg", &["gone"], &["y"], &[])];
    w.functions = vec![function("own", "Odd", &["x"], &["y"], nodes)];
    assert_problem(&w.model(), &["(Neg)", "gone\", which no node, input or initializer is"]);
}
