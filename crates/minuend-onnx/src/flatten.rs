//! One list of nodes: functions are put in place of their calls, and nodes stand behind what they read.

use std::collections::{HashMap, HashSet};

use crate::error::Problem;
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
};

/// A node, and the version of its operator set.
#[derive(Clone, Debug)]
pub(crate) struct FlatNode {
    pub(crate) node: NodeProto,
    pub(crate) opset: i64,
}

/// Functions may call functions this deep.
const DEPTH: usize = 32;
/// Nodes behind the expansion of all functions.
const MOST_NODES: usize = 1 << 20;

/// The functions of a model by domain, name and overload.
pub(crate) struct Functions<'m> {
    by_name: HashMap<[&'m str; 3], &'m FunctionProto>,
}

impl<'m> Functions<'m> {
    pub(crate) fn of(model: &'m ModelProto) -> Functions<'m> {
        let key = |f: &'m FunctionProto| [f.domain.as_str(), f.name.as_str(), f.overload.as_str()];
        Functions { by_name: model.functions.iter().map(|f| (key(f), f)).collect() }
    }

    fn called_by(&self, node: &NodeProto) -> Option<&'m FunctionProto> {
        self.by_name
            .get(&[node.domain.as_str(), node.op_type.as_str(), node.overload.as_str()])
            .copied()
    }
}

/// The nodes of a graph without calls of functions, in the file's order.
pub(crate) fn expanded(
    nodes: &[NodeProto],
    opsets: &[OperatorSetIdProto],
    functions: &Functions<'_>,
) -> Result<Vec<FlatNode>, Problem> {
    let mut expansion = Expansion { functions, flat: Vec::new(), calls: 0 };
    expansion.nodes(nodes, opsets, &Scope::default(), DEPTH)?;
    Ok(expansion.flat)
}

/// What names and attributes mean inside of a function.
#[derive(Default)]
struct Scope<'a> {
    /// Put in front of the names of inner values; empty for the graph itself.
    prefix: String,
    names: HashMap<&'a str, &'a str>,
    attributes: HashMap<&'a str, &'a AttributeProto>,
}

struct Expansion<'f, 'm> {
    functions: &'f Functions<'m>,
    flat: Vec<FlatNode>,
    calls: usize,
}

impl Expansion<'_, '_> {
    fn nodes(
        &mut self,
        nodes: &[NodeProto],
        opsets: &[OperatorSetIdProto],
        scope: &Scope<'_>,
        depth: usize,
    ) -> Result<(), Problem> {
        for node in nodes {
            let node = scope.renamed(node);
            if self.flat.len() >= MOST_NODES {
                return Err(problem(
                    &node,
                    format!("more than {MOST_NODES} nodes behind functions"),
                ));
            }
            match self.functions.called_by(&node) {
                Some(function) => self.call(function, &node, depth)?,
                None => {
                    let opset = version(opsets, &node.domain);
                    self.flat.push(FlatNode { node, opset });
                }
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        function: &FunctionProto,
        node: &NodeProto,
        depth: usize,
    ) -> Result<(), Problem> {
        let Some(depth) = depth.checked_sub(1) else {
            let found = format!("functions call each other more than {DEPTH} deep, or in a circle");
            return Err(problem(node, found));
        };
        self.calls += 1;
        if self.calls > MOST_NODES {
            return Err(problem(node, format!("more than {MOST_NODES} calls of functions")));
        }
        let label = if node.name.is_empty() { &node.op_type } else { &node.name };
        // The number keeps two calls of one name apart.
        let mut scope = Scope { prefix: format!("{label}.{}/", self.calls), ..Scope::default() };
        let empty = String::new();
        for (index, formal) in function.input.iter().enumerate() {
            scope.names.insert(formal, node.input.get(index).unwrap_or(&empty));
        }
        for (formal, actual) in function.output.iter().zip(&node.output) {
            if !actual.is_empty() {
                scope.names.insert(formal, actual);
            }
        }
        let defaults = function.attribute_proto.iter().map(|given| (given.name.as_str(), given));
        scope.attributes.extend(defaults);
        scope.attributes.extend(node.attribute.iter().map(|given| (given.name.as_str(), given)));
        self.nodes(&function.node, &function.opset_import, &scope, depth)
    }
}

impl Scope<'_> {
    fn renamed(&self, node: &NodeProto) -> NodeProto {
        if self.prefix.is_empty() {
            return node.clone();
        }
        let mut node = node.clone();
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = self.name(name);
        }
        node.name = format!("{}{}", self.prefix, node.name);
        node.attribute = node.attribute.iter().filter_map(|given| self.attribute(given)).collect();
        node
    }

    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            _ if name.is_empty() => String::new(),
            Some(actual) => (*actual).to_string(),
            None => format!("{}{name}", self.prefix),
        }
    }

    /// The attribute with what the caller gave; `None` where the caller gave nothing.
    fn attribute(&self, given: &AttributeProto) -> Option<AttributeProto> {
        let mut attribute = if given.ref_attr_name.is_empty() {
            given.clone()
        } else {
            let referred = *self.attributes.get(given.ref_attr_name.as_str())?;
            AttributeProto { name: given.name.clone(), ..referred.clone() }
        };
        if let Some(graph) = &mut attribute.g {
            self.rename_graph(graph);
        }
        Some(attribute)
    }

    /// Inner graphs see the names of the function around them.
    fn rename_graph(&self, graph: &mut GraphProto) {
        graph.node = graph.node.iter().map(|node| self.renamed(node)).collect();
        for tensor in &mut graph.initializer {
            tensor.name = self.name(&tensor.name);
        }
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            value.name = self.name(&value.name);
        }
    }
}

/// The version of an operator set; 0 if the file does not name it.
fn version(opsets: &[OperatorSetIdProto], domain: &str) -> i64 {
    fn plain(domain: &str) -> &str {
        if domain == "ai.onnx" { "" } else { domain }
    }
    let found = opsets.iter().find(|opset| plain(&opset.domain) == plain(domain));
    found.map_or(0, |opset| opset.version)
}

fn problem(node: &NodeProto, found: String) -> Problem {
    Problem { at: format!("node {:?} ({})", node.name, node.op_type), found, help: String::new() }
}

/// The nodes, each behind the nodes that it reads; otherwise in the order that they have. `known` are the
/// names that need no node. Every problem of the kinds missing input, duplicate output and cycle.
pub(crate) fn ordered(
    nodes: Vec<FlatNode>,
    known: &HashSet<&str>,
) -> Result<Vec<FlatNode>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (index, FlatNode { node, .. }) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if known.contains(output.as_str()) || producers.insert(output, index).is_some() {
                let found = format!("its output {output:?} is computed or given elsewhere too");
                problems.push(problem(node, found));
            }
        }
    }
    let mut reads: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    for FlatNode { node, .. } in &nodes {
        let mut sources = Vec::new();
        for input in node.input.iter().filter(|name| !name.is_empty()).map(String::as_str) {
            match producers.get(input) {
                Some(producer) => sources.push(*producer),
                None if known.contains(input) => {}
                None => {
                    let found =
                        format!("it reads {input:?}, which no node, input or initializer is");
                    problems.push(problem(node, found));
                }
            }
        }
        // What inner graphs read of the outer one comes before the node, too.
        for name in node.attribute.iter().filter_map(|given| given.g.as_ref()).flat_map(outer_names)
        {
            sources.extend(producers.get(name).copied());
        }
        reads.push(sources);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let order = topological(&reads).map_err(|at| {
        let node = nodes.get(at).map(|flat| &flat.node);
        let found = "it is computed from its own result: the graph has a cycle".to_string();
        node.map(|node| problem(node, found)).into_iter().collect::<Vec<_>>()
    })?;
    let mut nodes: Vec<Option<FlatNode>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| nodes.get_mut(at).and_then(Option::take)).collect())
}

/// Every name that the nodes of a graph read.
fn outer_names(graph: &GraphProto) -> Vec<&str> {
    let mut names = Vec::new();
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        for node in &graph.node {
            names.extend(node.input.iter().map(String::as_str));
            open.extend(node.attribute.iter().filter_map(|given| given.g.as_ref()));
        }
        names.extend(graph.output.iter().map(|output| output.name.as_str()));
    }
    names
}

/// Indices, each behind those it reads; an index on a cycle if there is one.
fn topological(reads: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; reads.len()];
    let mut order = Vec::with_capacity(reads.len());
    for start in 0..reads.len() {
        let mut open = vec![(start, 0)];
        while let Some((at, next)) = open.pop() {
            if marks[at] == Mark::Done {
                continue;
            }
            marks[at] = Mark::Open;
            match reads[at].get(next) {
                None => {
                    marks[at] = Mark::Done;
                    order.push(at);
                }
                Some(source) => {
                    open.push((at, next + 1));
                    match marks[*source] {
                        Mark::New => open.push((*source, 0)),
                        Mark::Open => return Err(*source),
                        Mark::Done => {}
                    }
                }
            }
        }
    }
    Ok(order)
}
