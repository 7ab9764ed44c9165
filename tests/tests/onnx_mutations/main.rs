//! Files of exporters with random damage: whatever is left of them is imported and compiled or refused, never a
//! panic, and never in time or memory that the file does not account for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allocations;
mod random_nodes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use minuend::{CompileOptions, Model, compile};
use minuend_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, Message, ModelProto, NodeProto, TensorProto,
};
use minuend_tests::onnx::language_model::{config, language_model};
use minuend_tests::onnx::operators::operators;
use minuend_tests::onnx::run::{fixtures, import};
use minuend_tests::onnx::writer::dims;
use minuend_tests::random_values::RandomValues;
use minuend_tests::runners::cpu;

/// What takes longer does not end: a file of a hundred kilobytes takes milliseconds.
const SLOWEST: Duration = Duration::from_secs(60);
/// Most bytes that this program may hold: some copies of such files, of their graphs and of the plans.
const MOST_BYTES: usize = 32 << 20;

/// What became of damaged files.
#[derive(Debug, Default)]
struct Outcomes {
    compiled: usize,
    refused_by_compiler: usize,
    refused_by_importer: usize,
}

impl Outcomes {
    /// Imports and compiles a file; `what` says how it was damaged.
    fn add(&mut self, bytes: Vec<u8>, what: &dyn Fn() -> String) {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let model = match import(bytes) {
                Err(error) => {
                    assert!(error.to_string().starts_with("model.onnx: "), "{error}");
                    return None;
                }
                Ok(model) => model,
            };
            let options = CompileOptions::default();
            let compiled = compile(model.graph().clone(), cpu().target(), &options);
            Some(compiled.map(|_| ()).map_err(|error| error.to_string()))
        }));
        match outcome {
            Err(_) => panic!("a panic: {}", what()),
            Ok(None) => self.refused_by_importer += 1,
            Ok(Some(Ok(()))) => self.compiled += 1,
            Ok(Some(Err(error))) => {
                // What the importer lets through is a valid graph.
                assert!(!error.is_empty() && !error.contains("not valid"), "{}: {error}", what());
                self.refused_by_compiler += 1;
            }
        }
        let time = started.elapsed();
        assert!(time < SLOWEST, "{time:?}: {}", what());
        let bytes = allocations::most();
        assert!(bytes < MOST_BYTES, "{bytes} bytes: {}", what());
    }
}

/// Every fixture, and a language model of one layer.
fn files() -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut files: Vec<(String, Vec<u8>)> =
        fixtures().iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect();
    let model = Model::random(config(1, true, 61), 0);
    files.push(("language_model".into(), language_model(model.config(), &model).bytes()));
    files
}

/// Where nodes, names and types stand: in front of or behind the data of tensors, which takes most of a
/// file. Damage there shows up in numbers alone.
fn structure(bytes: &[u8]) -> Vec<usize> {
    let model = ModelProto::decode(bytes).unwrap();
    let tensors = model.graph.iter().flat_map(|graph| &graph.initializer);
    let mut is_data = vec![false; bytes.len()];
    for data in tensors.filter_map(|tensor| tensor.raw_data.as_ref()).filter(|data| data.len() > 64)
    {
        let start = bytes.windows(data.len()).position(|window| window == &data[..]).unwrap();
        is_data[start..start + data.len()].fill(true);
    }
    (0..bytes.len()).filter(|at| !is_data[*at]).collect()
}

#[test]
fn damaged_bytes() {
    let mut outcomes = Outcomes::default();
    for (seed, (name, original)) in (0u64..).zip(files()) {
        let places = structure(&original);
        assert!(places.len() > 1000 && places.len() < original.len());
        let mut random = RandomValues::new(seed);
        for round in 0..2000 {
            let mut bytes = original.clone();
            for _ in 0..=random.below(3) {
                let at = random.pick(&places).min(bytes.len().saturating_sub(1));
                let byte = random.below(256) as u8;
                match random.below(6) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.pick(&[0x00, 0x01, 0x7f, 0x80, 0xff]),
                    2 => bytes[at] = byte,
                    3 => bytes.insert(at, byte),
                    4 => drop(bytes.remove(at)),
                    _ => {
                        let end = (at + 1 + random.below(40)).min(bytes.len());
                        let piece = bytes[at..end].to_vec();
                        let to = random.pick(&places).min(bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
            }
            outcomes.add(bytes, &|| format!("{name}, bytes, round {round}"));
        }
    }
    assert!(outcomes.compiled > 100 && outcomes.refused_by_importer > 100, "{outcomes:?}");
}

#[test]
fn damaged_graphs() {
    let mut outcomes = Outcomes::default();
    for (seed, (name, original)) in (100u64..).zip(files()) {
        let original = ModelProto::decode(original.as_slice()).unwrap();
        let mut random = RandomValues::new(seed);
        for round in 0..500 {
            let mut model = original.clone();
            let mut edits = Vec::new();
            for _ in 0..=random.below(2) {
                edits.push(edit(&mut random, model.graph.as_mut().unwrap()));
            }
            outcomes.add(model.encode_to_vec(), &|| format!("{name}, round {round}: {edits:?}"));
        }
    }
    assert!(outcomes.compiled > 100 && outcomes.refused_by_importer > 100, "{outcomes:?}");
}

/// Sizes and axes that a file may well have, right or wrong.
const NUMBERS: [i64; 16] = [
    0,
    1,
    2,
    3,
    7,
    64,
    65,
    -1,
    -2,
    -9,
    1 << 20,
    1 << 33,
    1 << 40,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
];

/// Damages one thing, and says which.
fn edit(random: &mut RandomValues, graph: &mut GraphProto) -> String {
    let at = random.below(graph.node.len());
    let names = names(graph);
    let node = &mut graph.node[at];
    match random.below(10) {
        0 if !node.input.is_empty() => {
            let input = random.below(node.input.len());
            node.input[input] = random.pick(&names);
            format!("node {at} reads {:?}", node.input)
        }
        1 => {
            node.input.reverse();
            format!("inputs of node {at} reversed")
        }
        2 => {
            let operators: Vec<&str> = operators().into_iter().collect();
            node.op_type = random.pick(&operators).into();
            format!("node {at} is {}", node.op_type)
        }
        3 => {
            match random.below(3) {
                0 => drop(node.input.pop()),
                1 => node.input.push(random.pick(&names)),
                _ => node.output.push(format!("more_{at}")),
            }
            format!("node {at} {:?} to {:?}", node.input, node.output)
        }
        4 => {
            let dropped: NodeProto = graph.node.remove(at);
            // What it computed is what it read, so that the rest is still a graph.
            if let (Some(from), Some(to)) = (dropped.input.first(), dropped.output.first()) {
                let reads = graph.node.iter_mut().flat_map(|node| &mut node.input);
                reads.filter(|name| *name == to).for_each(|name| *name = from.clone());
            }
            format!("node {at} dropped")
        }
        5 => {
            let size = random.pick(&[
                "1",
                "2",
                "-1",
                "0",
                "64",
                "batch",
                "seq",
                "?",
                "seq+seq",
                "1099511627776",
            ]);
            let ty = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
            let sizes: &mut Vec<DimensionProto> = &mut ty.shape.as_mut().unwrap().dim;
            let axis = random.below(sizes.len());
            sizes[axis] = dims(size).remove(0);
            format!("input axis {axis} is {size}")
        }
        6 => {
            let tensor = random.below(graph.initializer.len());
            let tensor = &mut graph.initializer[tensor];
            numbers(random, tensor)
        }
        _ => attribute(random, node),
    }
}

/// Every name that a node may read.
fn names(graph: &GraphProto) -> Vec<String> {
    let computed = graph.node.iter().flat_map(|node| node.output.iter().cloned());
    let stored = graph.initializer.iter().map(|tensor| tensor.name.clone());
    let given = graph.input.iter().map(|input| input.name.clone());
    computed.chain(stored).chain(given).chain([String::new()]).collect()
}

/// Changes the integers or the sizes of a tensor.
fn numbers(random: &mut RandomValues, tensor: &mut TensorProto) -> String {
    let value = random.pick(&NUMBERS);
    let count = tensor.raw_data.as_ref().map_or(0, |data| data.len() / 8);
    if tensor.data_type == minuend_onnx::proto::data_type::INT64 && count > 0 {
        let mut data = tensor.raw_data.as_ref().unwrap().to_vec();
        let at = random.below(count);
        data[at * 8..(at + 1) * 8].copy_from_slice(&value.to_le_bytes());
        tensor.raw_data = Some(data.into());
        return format!("element {at} of {:?} is {value}", tensor.name);
    }
    match random.below(3) {
        0 if !tensor.dims.is_empty() => {
            let axis = random.below(tensor.dims.len());
            tensor.dims[axis] = value;
        }
        1 => tensor.dims.reverse(),
        _ => tensor.data_type = random.pick(&[1, 6, 7, 9, 10, 11, 16]),
    }
    format!("{:?} is {:?} of type {}", tensor.name, tensor.dims, tensor.data_type)
}

/// Changes an attribute, or gives one more.
fn attribute(random: &mut RandomValues, node: &mut NodeProto) -> String {
    let value = random.pick(&NUMBERS);
    if node.attribute.is_empty() {
        let name =
            random.pick(&["axis", "perm", "upper", "to", "keepdims", "num_outputs", "start"]);
        let one =
            AttributeProto { name: name.into(), i: value, ints: vec![value], ..Default::default() };
        node.attribute.push(one);
        return format!("{} gets {name} {value}", node.op_type);
    }
    let at = random.below(node.attribute.len());
    let attribute = &mut node.attribute[at];
    if let Some(tensor) = attribute.t.as_mut() {
        return format!("{}: {}", node.op_type, numbers(random, tensor));
    }
    if !attribute.ints.is_empty() {
        let at = random.below(attribute.ints.len());
        attribute.ints[at] = value;
    }
    attribute.i = value;
    format!("{} {} is {value}", node.op_type, attribute.name)
}
