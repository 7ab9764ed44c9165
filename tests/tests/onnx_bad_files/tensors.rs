//! Stored tensors that contradict themselves.

use minuend_onnx::proto::{TensorProto, data_type};

use crate::{assert_problem, small};

/// The small model with another `weight`, which is f32 `[3, 2]`.
fn with_weight(edit: impl Fn(&mut TensorProto)) -> minuend_onnx::proto::ModelProto {
    let mut w = small();
    edit(&mut w.graph.initializer[0]);
    w.model()
}

#[test]
fn bytes_that_contradict_the_dims() {
    let at = "initializer \"weight\"";
    for (dims, words) in [
        (vec![3, 3], "24 bytes of data, expected 36 for dims [3, 3]"),
        (vec![], "24 bytes of data, expected 4 for dims []"),
        (vec![0, 2], "24 bytes of data, expected 0 for dims [0, 2]"),
        (vec![-3, -2], "dims [-3, -2], expected none below 0"),
        (vec![3, i64::MIN], "expected none below 0"),
        (vec![i64::MAX, i64::MAX], "more elements than there can be"),
        (vec![1 << 61, 1], "expected at most 2^40 each"),
        (vec![1 << 31, 1 << 31], "more bytes than there are"),
        (vec![0, i64::MAX], "expected at most 2^40 each"),
        (vec![1 << 35, 2], "24 bytes of data"),
    ] {
        assert_problem(&with_weight(|tensor| tensor.dims = dims.clone()), &[at, words]);
    }
    let cut = with_weight(|tensor| tensor.raw_data = Some(vec![0; 23].into()));
    assert_problem(&cut, &[at, "23 bytes of data, expected 24 for dims [3, 2]"]);
    let none = with_weight(|tensor| tensor.raw_data = None);
    assert_problem(&none, &[at, "0 bytes of data, expected 24"]);
}

#[test]
fn element_types() {
    for (number, words) in [
        (0, "element type undefined"),
        (4, "element type uint16"),
        (8, "element type string"),
        (14, "element type complex64"),
        (17, "element type float8"),
        (22, "element type int4"),
        (77, "element type 77, which the schema does not have"),
        (-1, "element type -1, which the schema does not have"),
    ] {
        let model = with_weight(|tensor| tensor.data_type = number);
        assert_problem(&model, &["initializer \"weight\"", words]);
    }
}

#[test]
fn numbers_that_the_type_does_not_have() {
    for (number, count, value, words) in [
        (data_type::FLOAT16, 6, 1 << 16, "int32_data has values beyond 16 bits"),
        (data_type::BFLOAT16, 6, -1, "int32_data has values beyond 16 bits"),
        (data_type::UINT8, 6, 256, "int32_data has values beyond a byte"),
        (data_type::INT8, 6, -129, "int32_data has values beyond a byte"),
        (data_type::INT32, 5, 1, "20 bytes of data, expected 24"),
        (data_type::BOOL, 7, 1, "7 bytes of data, expected 6"),
    ] {
        let model = with_weight(|tensor| {
            tensor.raw_data = None;
            tensor.data_type = number;
            tensor.int32_data = vec![value; count];
        });
        assert_problem(&model, &["initializer \"weight\"", words]);
    }
}

/// Each way in which a file may hold the same numbers.
#[test]
fn every_place_of_data_is_read() {
    use minuend_onnx::proto::Message;
    use minuend_tests::onnx::run::{import, interpreted};
    use minuend_tests::onnx::writer::reals;
    let values = [1., 2., 3., 4., 5., 6.];
    let bits = [0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600];
    let x = reals(&[1, 3], &[1., -1., 2.]);
    let expected =
        interpreted(&import(small().bytes()).unwrap(), std::slice::from_ref(&x)).unwrap();
    let edits: [&dyn Fn(&mut TensorProto); 4] = [
        &|tensor| tensor.float_data = values.map(|value| value as f32).to_vec(),
        &|tensor| {
            tensor.data_type = data_type::DOUBLE;
            tensor.double_data = values.to_vec();
        },
        &|tensor| {
            tensor.data_type = data_type::DOUBLE;
            tensor.raw_data = Some(values.iter().flat_map(|value| value.to_le_bytes()).collect());
        },
        &|tensor| {
            tensor.data_type = data_type::FLOAT16;
            tensor.int32_data = bits.to_vec();
        },
    ];
    for (number, edit) in edits.iter().enumerate() {
        let mut model = with_weight(|tensor| {
            tensor.raw_data = None;
            edit(tensor);
        });
        // A product has operands of one type.
        let is_half = model.graph.as_ref().unwrap().initializer[0].data_type == data_type::FLOAT16;
        if is_half {
            let graph = model.graph.as_mut().unwrap();
            let to = minuend_tests::onnx::writer::int("to", 1);
            let cast =
                minuend_tests::onnx::writer::node_proto("Cast", &["weight"], &["wide"], &[to]);
            graph.node[0].input[1] = "wide".into();
            graph.node.push(cast);
        }
        let found = interpreted(&import(model.encode_to_vec()).unwrap(), std::slice::from_ref(&x));
        assert_eq!(found.unwrap(), expected, "edit {number}");
    }
}
