//! ONNX files that tests write: a language model without a cache, and damaged ones.

use std::path::{Path, PathBuf};

use minuend_onnx::proto::*;
use prost::Message;

use crate::program::onnx;

/// Tokens of the language model.
pub(crate) const VOCABULARY: i64 = 5;
/// Most tokens that it takes.
pub(crate) const CONTEXT: i64 = 8;

fn value(name: &str, elem_type: i32, shape: &[&str]) -> ValueInfoProto {
    let dimension = |size: &&str| match size.parse() {
        Ok(size) => DimensionProto { dim_value: Some(size), dim_param: None },
        Err(_) => DimensionProto { dim_value: None, dim_param: Some(size.to_string()) },
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dimension).collect() };
    let tensor_type = TensorTypeProto { elem_type, shape: Some(shape) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: name.into(), r#type }
}

fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: input.iter().map(|name| name.to_string()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op_type.into(),
        ..NodeProto::default()
    }
}

fn floats(name: &str, dims: &[i64], float_data: Vec<f32>) -> TensorProto {
    let data_type = data_type::FLOAT;
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type,
        float_data,
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

fn write(path: &Path, graph: GraphProto) {
    let model = ModelProto {
        ir_version: 9,
        producer_name: "test".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        ..ModelProto::default()
    };
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

/// Writes a language model whose most likely token behind `t` is `t + 1`, modulo its vocabulary. It takes
/// `attention_mask` and `position_ids`, and multiplies its logits with the mask. It also gives the ids
/// themselves, as `copy`.
pub(crate) fn write_language_model(directory: &Path) -> PathBuf {
    let v = VOCABULARY;
    let matrix = |is_one: &dyn Fn(i64, i64) -> bool| -> Vec<f32> {
        let at = |row, column| if is_one(row, column) { 1.0 } else { 0.0 };
        (0..v).flat_map(|row| (0..v).map(move |column| at(row, column))).collect()
    };
    let cast = AttributeProto {
        name: "to".into(),
        i: i64::from(data_type::FLOAT),
        r#type: attribute_type::INT,
        ..AttributeProto::default()
    };
    let mut mask = node("Cast", &["attention_mask"], "mask");
    mask.attribute.push(cast);
    let graph = GraphProto {
        name: "lm".into(),
        node: vec![
            node("Gather", &["embedding", "input_ids"], "tokens"),
            node("Gather", &["places", "position_ids"], "places_taken"),
            node("Add", &["tokens", "places_taken"], "hidden"),
            // The table of positions has so many rows as the graph takes tokens.
            node("Shape", &["input_ids"], "shape"),
            node("Gather", &["shape", "one"], "count"),
            node("Slice", &["places", "zero", "count", "zero"], "used"),
            node("Add", &["hidden", "used"], "placed"),
            node("MatMul", &["placed", "head"], "scores"),
            mask,
            node("Unsqueeze", &["mask", "two"], "mask_3"),
            node("Mul", &["scores", "mask_3"], "logits"),
            node("Add", &["input_ids", "zero"], "copy"),
        ],
        initializer: vec![
            floats("embedding", &[v, v], matrix(&|row, column| row == column)),
            floats("head", &[v, v], matrix(&|row, column| (row + 1) % v == column)),
            floats("places", &[CONTEXT, v], vec![0.0; (CONTEXT * v) as usize]),
            ints("zero", &[0]),
            ints("one", &[1]),
            ints("two", &[2]),
        ],
        input: ["input_ids", "attention_mask", "position_ids"]
            .map(|name| value(name, data_type::INT64, &["batch", "sequence"]))
            .to_vec(),
        output: vec![
            value("logits", data_type::FLOAT, &["batch", "sequence", "5"]),
            value("copy", data_type::INT64, &["batch", "sequence"]),
        ],
    };
    let path = directory.join("lm.onnx");
    write(&path, graph);
    path
}

/// Writes a file with two operators that there are not.
pub(crate) fn write_unsupported(directory: &Path) -> PathBuf {
    let graph = GraphProto {
        name: "g".into(),
        node: vec![node("Foo", &["x"], "a"), node("Bar", &["x"], "b")],
        input: vec![value("x", data_type::FLOAT, &["rows", "4"])],
        output: vec![value("a", data_type::FLOAT, &["rows", "4"]), value("b", 1, &["rows", "4"])],
        ..GraphProto::default()
    };
    let path = directory.join("unsupported.onnx");
    write(&path, graph);
    path
}

/// Writes a sigmoid of f32 with a size of no usual name, `rows`.
pub(crate) fn write_rows(directory: &Path) -> PathBuf {
    write_sigmoid(directory, data_type::FLOAT)
}

/// As [`write_rows`], of that element type.
pub(crate) fn write_sigmoid(directory: &Path, elem_type: i32) -> PathBuf {
    let graph = GraphProto {
        name: "g".into(),
        node: vec![node("Sigmoid", &["x"], "y")],
        input: vec![value("x", elem_type, &["rows", "4"])],
        output: vec![value("y", elem_type, &["rows", "4"])],
        ..GraphProto::default()
    };
    let path = directory.join("rows.onnx");
    write(&path, graph);
    path
}

/// Writes a tokenizer of the words a to e.
pub(crate) fn write_tokenizer(path: &Path) {
    let text = r#"{"version":"1.0","added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"a":0,"b":1,"c":2,"d":3,"e":4},"unk_token":"a"}}"#;
    std::fs::write(path, text).unwrap();
}

/// Writes a safetensors file: name, type, shape and bytes of each tensor.
pub(crate) fn write_io(path: &Path, tensors: &[(&str, &str, &[usize], Vec<u8>)]) {
    let mut entries = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        let end = data.len();
        entries.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    std::fs::write(path, file).unwrap();
}

/// A fixture with its inputs and outputs.
pub(crate) fn fixture(name: &str) -> (PathBuf, PathBuf) {
    (onnx(&format!("{name}.onnx")), onnx(&format!("{name}.io.safetensors")))
}
