//! Comparisons, truth values and choices.

use minuend_tests::onnx::writer::{int, ints, of_graph, reals, truths};

use minuend_interp::Tensor;
use minuend_onnx::proto::{GraphProto, ValueInfoProto};
use minuend_tests::onnx::writer::{node_proto, of_tensor};

use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    let left = || truths(&[2, 1], &[0, 1]);
    let right = || truths(&[3], &[0, 1, 1]);
    let truth = |op, expected: [u8; 6]| {
        case(op, "broadcast").of(left()).of(right()).gives(truths(&[2, 3], &expected))
    };
    let compared = |op, expected: [u8; 4]| {
        case(op, "reals, broadcast")
            .of(reals(&[2, 1], &[1.0, 2.0]))
            .of(reals(&[2], &[1.0, f64::INFINITY]))
            .gives(truths(&[2, 2], &expected))
    };
    let of_ints = |op, expected: [u8; 3]| {
        case(op, "integers")
            .of(ints(&[3], &[-1, 4, 5]))
            .of(ints(&[3], &[2, 4, 3]))
            .gives(truths(&[3], &expected))
    };
    let mut cases = vec![
        truth("And", [0, 0, 0, 0, 1, 1]),
        truth("Or", [0, 1, 1, 1, 1, 1]),
        truth("Xor", [0, 1, 1, 1, 0, 0]),
        case("Not", "each element").of(right()).gives(truths(&[3], &[1, 0, 0])),
        compared("Equal", [1, 0, 0, 0]),
        compared("Less", [0, 1, 0, 1]),
        compared("LessOrEqual", [1, 1, 0, 1]),
        compared("Greater", [0, 0, 1, 0]),
        compared("GreaterOrEqual", [1, 0, 1, 0]),
        of_ints("Equal", [0, 1, 0]),
        of_ints("Less", [1, 0, 0]),
        of_ints("LessOrEqual", [1, 1, 0]),
        of_ints("Greater", [0, 0, 1]),
        of_ints("GreaterOrEqual", [0, 1, 1]),
        case("Equal", "truth values")
            .of(truths(&[2, 1], &[0, 1]))
            .of(truths(&[2], &[0, 1]))
            .gives(truths(&[2, 2], &[1, 0, 0, 1])),
        case("IsNaN", "each element")
            .of(reals(&[4], &[f64::NAN, 0.0, f64::INFINITY, -1.0]))
            .gives(truths(&[4], &[1, 0, 0, 0])),
        case("Where", "all three broadcast")
            .of(truths(&[2, 1], &[1, 0]))
            .of(reals(&[2], &[1.0, 2.0]))
            .of(reals(&[], &[-1.0]))
            .gives(reals(&[2, 2], &[1.0, 2.0, -1.0, -1.0])),
        case("Where", "integers")
            .of(truths(&[3], &[1, 0, 1]))
            .of(ints(&[3], &[1, 2, 3]))
            .of(ints(&[1], &[9]))
            .gives(ints(&[3], &[1, 9, 3])),
        case("Where", "truth values")
            .of(truths(&[2], &[1, 0]))
            .of(truths(&[2], &[0, 1]))
            .of(truths(&[], &[1]))
            .gives(truths(&[2], &[0, 1])),
        case("Where", "nothing of the side that is not taken")
            .of(truths(&[2], &[1, 0]))
            .of(reals(&[2], &[1.0, f64::NAN]))
            .of(reals(&[2], &[f64::NAN, 2.0]))
            .gives(reals(&[2], &[1.0, 2.0])),
    ];
    for (condition, expected) in [(1, 3), (0, 4)] {
        let branches = |case: Case| {
            case.with(branch("then_branch", ints(&[1], &[3])))
                .with(branch("else_branch", ints(&[1], &[4])))
        };
        cases.push(
            branches(case("If", "a condition of the file").known(truths(&[], &[condition])))
                .gives(ints(&[1], &[expected])),
        );
        cases.push(
            branches(case("If", "a condition of one element").known(truths(&[1], &[condition])))
                .with(int("unread", 1))
                .gives(ints(&[1], &[expected])),
        );
    }
    cases
}

/// A graph of one constant.
fn branch(name: &str, value: Tensor) -> minuend_onnx::proto::AttributeProto {
    let output = format!("{name}_value");
    let node = node_proto("Constant", &[], &[&output], &[of_tensor("value", &value)]);
    let output = vec![ValueInfoProto { name: output, r#type: None }];
    of_graph(name, GraphProto { node: vec![node], output, ..GraphProto::default() })
}
