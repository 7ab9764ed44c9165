//! From a decoded model to a graph.

use std::collections::{HashMap, HashSet};

use minuend_ir::{DType, Graph, Shape, SymbolTable, TensorType, TypeErrorKind, ValueId};

use crate::element_type::ElementType;
use crate::error::Problem;
use crate::external::ExternalFiles;
use crate::flatten::{FlatNode, Functions, expanded, ordered};
use crate::model::ImportOptions;
use crate::node::{Node, Refusal, Results};
use crate::ops;
use crate::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use crate::stored::Stored;
use crate::symbols::{Ranges, size};
use crate::value::Value;
use crate::weights::WeightTable;

/// Versions of the standard operators that are known.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=23;
/// How often ranges may become narrower: each time the import begins anew.
const ROUNDS: usize = 64;

/// What a file is imported as.
pub(crate) struct Imported {
    pub(crate) graph: Graph,
    pub(crate) weights: WeightTable,
    pub(crate) outputs: Vec<String>,
    pub(crate) nodes: usize,
    pub(crate) opset: i64,
    pub(crate) notes: Vec<String>,
}

/// Imports a model, or says all that is in the way.
pub(crate) fn import(
    model: &ModelProto,
    files: &mut ExternalFiles,
    options: &ImportOptions,
) -> Result<Imported, Vec<Problem>> {
    let empty = GraphProto::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    let opset = checked_opset(model).map_err(|problem| vec![problem])?;
    let stored = stored_tensors(&graph.initializer, files)?;
    let nodes = expanded(&graph.node, &model.opset_import, &Functions::of(model))
        .map_err(|problem| vec![problem])?;
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !stored.contains_key(&input.name)).collect();
    let mut known: HashSet<&str> = stored.keys().map(String::as_str).collect();
    for input in &inputs {
        if !known.insert(&input.name) {
            return Err(vec![problem(
                format!("input {:?}", input.name),
                "it is given twice".into(),
            )]);
        }
    }
    let nodes = ordered(nodes, &known)?;
    let mut ranges = Ranges::default();
    for _ in 0..ROUNDS {
        let mut importer = Importer::new(&graph.name, &stored, ranges.clone(), options);
        importer.inputs(&inputs);
        importer.nodes(&nodes);
        let outputs = importer.outputs(&graph.output);
        if importer.ranges != ranges {
            ranges = importer.ranges;
            continue;
        }
        if importer.is_too_large && ranges.lower() {
            continue;
        }
        if !importer.problems.is_empty() {
            return Err(importer.problems);
        }
        let Importer { graph, weights, notes, .. } = importer;
        return Ok(Imported { graph, weights, outputs, nodes: nodes.len(), opset, notes });
    }
    Err(vec![problem("the sizes".into(), format!("they are narrowed more than {ROUNDS} times"))])
}

fn problem(at: String, found: String) -> Problem {
    Problem { at, found, help: String::new() }
}

fn checked_opset(model: &ModelProto) -> Result<i64, Problem> {
    let is_standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let standard = model.opset_import.iter().find(|opset| is_standard(&opset.domain));
    match standard.map(|opset| opset.version) {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        found => Err(Problem {
            at: "the model".into(),
            found: match found {
                Some(version) => format!("opset {version}, expected 13 to 23"),
                None => "it names no version of the standard operators".into(),
            },
            help: "export it with opset_version=18".into(),
        }),
    }
}

/// The initializers by name, each checked.
fn stored_tensors(
    tensors: &[TensorProto],
    files: &mut ExternalFiles,
) -> Result<HashMap<String, Value>, Vec<Problem>> {
    let mut stored = HashMap::new();
    let mut problems = Vec::new();
    for tensor in tensors {
        let at = || format!("initializer {:?}", tensor.name);
        match Stored::of(tensor, files) {
            Ok(value) => {
                if stored.insert(tensor.name.clone(), Value::of_stored(value)).is_some() {
                    problems.push(problem(at(), "it is given twice".into()));
                }
            }
            Err(found) => problems.push(problem(at(), found)),
        }
    }
    if problems.is_empty() { Ok(stored) } else { Err(problems) }
}

/// A graph under construction and what the file's names mean in it.
pub(crate) struct Importer {
    pub(crate) graph: Graph,
    pub(crate) weights: WeightTable,
    /// What is known of the sizes; narrower behind an import that asked for it.
    pub(crate) ranges: Ranges,
    /// A result may hold more elements than there can be.
    is_too_large: bool,
    activations: Option<DType>,
    values: HashMap<String, Value>,
    /// Values of the graph that stored tensors have become, by name.
    pub(crate) materialised: HashMap<String, ValueId>,
    problems: Vec<Problem>,
    pub(crate) notes: Vec<String>,
}

impl Importer {
    fn new(
        name: &str,
        stored: &HashMap<String, Value>,
        ranges: Ranges,
        options: &ImportOptions,
    ) -> Importer {
        let name = if name.is_empty() { "model" } else { name };
        Importer {
            graph: Graph::new(name, SymbolTable::default()),
            weights: WeightTable::default(),
            ranges,
            is_too_large: false,
            activations: options.activations,
            values: stored.clone(),
            materialised: HashMap::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The element type that a type of the file has in the graph.
    pub(crate) fn activation(&self, dtype: DType) -> DType {
        if dtype.is_float() { self.activations.unwrap_or(dtype) } else { dtype }
    }

    /// The value of that name.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn inputs(&mut self, inputs: &[&ValueInfoProto]) {
        for input in inputs {
            let value = match self.input(input) {
                Ok(value) => Value::Tensor(value),
                Err(found) => {
                    self.problems.push(problem(format!("input {:?}", input.name), found));
                    Value::Unknown
                }
            };
            self.values.insert(input.name.clone(), value);
        }
    }

    fn input(&mut self, input: &ValueInfoProto) -> Result<ValueId, String> {
        let ty = input.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
        let ty = ty.ok_or("it is no tensor")?;
        let element = ElementType::of(ty.elem_type)?;
        let dtype = self.activation(element.dtype());
        if !matches!(element, ElementType::Same(_)) {
            let (name, stored) = (&input.name, element.name());
            self.notes.push(format!("input {name:?} is {stored} in the file and {dtype} here"));
        }
        let shape = ty.shape.as_ref().ok_or("its number of axes is not known")?;
        let mut sizes = Shape::new();
        for (axis, dimension) in shape.dim.iter().enumerate() {
            let fallback = format!("{}_{axis}", input.name);
            let symbols = self.graph.symbols_mut();
            let dim = size(dimension, &fallback, symbols, &self.ranges);
            sizes.push(dim.map_err(|found| format!("axis {axis}: {found}"))?);
        }
        let ty = TensorType { dtype, shape: sizes };
        self.graph.argument(&input.name, ty).map_err(|error| {
            self.is_too_large |= matches!(error.kind, TypeErrorKind::Size { .. });
            error.to_string()
        })
    }

    fn nodes(&mut self, nodes: &[FlatNode]) {
        for flat in nodes {
            let results = self.node(flat);
            self.name_results(flat, results);
        }
    }

    /// What a node computes; its problem is taken down, and its results are unknown then.
    fn node(&mut self, flat: &FlatNode) -> Vec<Value> {
        let given = flat.node.input.iter().filter(|name| !name.is_empty());
        let mut values = given.map(|name| self.values.get(name));
        let is_known = values.all(|value| !matches!(value, None | Some(Value::Unknown)));
        let imported = match ops::handler(&flat.node.domain, &flat.node.op_type) {
            Some(handler) if is_known => handler(&mut Node { importer: self, flat }),
            // Its inputs have a problem of their own.
            Some(_) => return Vec::new(),
            None => Err(ops::unsupported(&flat.node.domain, &flat.node.op_type)),
        };
        let imported = imported.and_then(|results| all_asked_for(flat, results));
        match imported {
            Ok(results) => results,
            Err(Refusal::Narrowed) => Vec::new(),
            Err(Refusal::Because { found, help }) => {
                let at = self.describe(flat);
                self.problems.push(Problem { at, found, help });
                Vec::new()
            }
            Err(Refusal::TooLarge { found }) => {
                self.is_too_large = true;
                self.problems.push(problem(self.describe(flat), found));
                Vec::new()
            }
        }
    }

    fn name_results(&mut self, flat: &FlatNode, results: Vec<Value>) {
        let results = results.into_iter().chain(std::iter::repeat(Value::Unknown));
        for (name, value) in flat.node.output.iter().zip(results) {
            if name.is_empty() {
                continue;
            }
            if let Value::Tensor(value) = value
                && self.graph.value_name(value).is_none()
            {
                self.graph.set_name(value, name);
            }
            self.values.insert(name.clone(), value);
        }
    }

    /// `node "attn/MatMul" (MatMul, opset 18, inputs f32[B, S, 64], f32[64, 128])`.
    fn describe(&self, flat: &FlatNode) -> String {
        let node = &flat.node;
        let inputs = node.input.iter().map(|name| match self.values.get(name) {
            _ if name.is_empty() => "none".to_string(),
            None | Some(Value::Unknown) => "unknown".to_string(),
            Some(value) => self.ty(value).display(self.graph.symbols()).to_string(),
        });
        let inputs: Vec<String> = inputs.collect();
        let name = match (&node.name, node.output.first()) {
            (name, Some(output)) if name.is_empty() => output,
            (name, _) => name,
        };
        let domain =
            if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
        let inputs = match inputs.as_slice() {
            [] => "no inputs".to_string(),
            inputs => format!("inputs {}", inputs.join(", ")),
        };
        format!("node {name:?} ({domain}{}, opset {}, {inputs})", node.op_type, flat.opset)
    }

    fn outputs(&mut self, outputs: &[ValueInfoProto]) -> Vec<String> {
        let mut values = Vec::new();
        let mut names = Vec::new();
        for output in outputs {
            let at = format!("output {:?}", output.name);
            match self.values.get(&output.name).cloned() {
                None => self.problems.push(problem(at, "no node computes it".into())),
                Some(Value::Unknown) => {}
                Some(value) => match self.tensor(&value) {
                    Ok(value) => values.push(value),
                    Err(Refusal::Because { found, .. }) => self.problems.push(problem(at, found)),
                    Err(Refusal::TooLarge { found }) => {
                        self.is_too_large = true;
                        self.problems.push(problem(at, found));
                    }
                    Err(Refusal::Narrowed) => {}
                },
            }
            names.push(output.name.clone());
        }
        if outputs.is_empty() {
            self.problems.push(problem("the graph".into(), "it has no outputs".into()));
        } else if values.len() == outputs.len()
            && let Err(error) = self.graph.set_return(&values, &[])
        {
            self.problems.push(problem("the graph".into(), error.to_string()));
        }
        names
    }

    /// Imports the nodes of an inner graph, which see the names around them; its outputs.
    pub(crate) fn inner(&mut self, graph: &GraphProto, opset: i64) -> Result<Vec<Value>, Refusal> {
        let mut files = ExternalFiles::beside(None);
        for tensor in &graph.initializer {
            let at = |found| format!("initializer {:?} of an inner graph: {found}", tensor.name);
            let stored = Stored::of(tensor, &mut files).map_err(at)?;
            self.values.insert(tensor.name.clone(), Value::of_stored(stored));
        }
        let flat = graph.node.iter().map(|node| FlatNode { node: node.clone(), opset });
        let known: HashSet<&str> = self.values.keys().map(String::as_str).collect();
        let nodes = ordered(flat.collect(), &known)
            .map_err(|problems| problems.first().map(Problem::to_string).unwrap_or_default())?;
        self.nodes(&nodes);
        let outputs = graph.output.iter();
        Ok(outputs.map(|o| self.values.get(&o.name).cloned().unwrap_or(Value::Unknown)).collect())
    }

    /// The type that a value has or would have in the graph.
    pub(crate) fn ty(&self, value: &Value) -> TensorType {
        match value {
            Value::Tensor(value) => self.graph.ty(*value).clone(),
            Value::Sizes(sizes) => TensorType::fixed(sizes.dtype, &sizes.shape),
            Value::Stored(stored) => {
                TensorType::fixed(self.activation(stored.dtype), &stored.shape)
            }
            Value::Unknown => TensorType::scalar(DType::F32),
        }
    }

    /// The shape that a value has or would have in the graph.
    pub(crate) fn shape(&self, value: &Value) -> Shape {
        self.ty(value).shape
    }
}

/// The results, if there is one for each output that has a name.
fn all_asked_for(flat: &FlatNode, results: Vec<Value>) -> Results {
    let asked = flat.node.output.iter().rposition(|name| !name.is_empty());
    match asked.map_or(0, |last| last + 1) {
        asked if asked > results.len() => {
            Err(Refusal::new(format!("{asked} outputs, expected at most {}", results.len()), ""))
        }
        _ => Ok(results),
    }
}
