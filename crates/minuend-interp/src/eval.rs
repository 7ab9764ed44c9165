//! Evaluation of a whole graph.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use minuend_ir::order::topological;
use minuend_ir::{Bindings, Graph, Node, NodeId, TensorType, ValueId};

use crate::bind::bind_symbols;
use crate::error::{EvalError, Fault};
use crate::ops::{self, Context, ResultType};
use crate::tensor::Tensor;

/// Where the trained tensors are.
pub trait Weights {
    /// The tensor of that name. It is asked for once per evaluation and weight node.
    fn weight(&self, name: &str) -> Option<Arc<Tensor>>;
}

impl<H: BuildHasher> Weights for HashMap<String, Arc<Tensor>, H> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        self.get(name).cloned()
    }
}

/// What a graph returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The outputs, in order.
    pub outputs: Vec<Tensor>,
    /// What the next run's states start from, in the order of the state inputs.
    pub next_states: Vec<Tensor>,
    /// Values of the symbols in this run.
    pub bindings: Bindings,
}

/// Called with every node and its results, in the order of evaluation.
pub type Observer<'a> = &'a mut dyn FnMut(NodeId, &[Arc<Tensor>]);

/// Evaluates a graph. `inputs` are its arguments and states in the order of [`Graph::inputs`].
///
/// Symbols take their values from the shapes of the inputs. Only nodes that the return needs are
/// evaluated, and a value is dropped behind its last use.
///
/// # Errors
/// Inputs that do not match the declared types, weights that are missing or of another type, a
/// gather index out of range, and tensors of more than [`Tensor::MAX_ELEMENTS`] elements.
pub fn evaluate(
    graph: &Graph,
    inputs: &[Tensor],
    weights: &dyn Weights,
) -> Result<Outcome, EvalError> {
    evaluate_observed(graph, inputs, weights, &mut |_, _| {})
}

/// [`evaluate`], showing every node's results to `observe`.
pub fn evaluate_observed(
    graph: &Graph,
    inputs: &[Tensor],
    weights: &dyn Weights,
    observe: Observer<'_>,
) -> Result<Outcome, EvalError> {
    let bindings = bind_symbols(graph, inputs)?;
    let Some(return_node) = graph.return_node() else {
        return Err(EvalError::NoReturn { graph: graph.name().to_string() });
    };
    let given: HashMap<NodeId, Arc<Tensor>> =
        graph.inputs().iter().copied().zip(inputs.iter().cloned().map(Arc::new)).collect();
    let context = Context { bindings: &bindings, symbols: graph.symbols(), weights, given: &given };

    let order = topological(graph);
    let mut live = LiveValues::new(graph, &order);
    let mut returned = Vec::new();
    for id in order {
        let node = graph.node(id);
        let at =
            |fault| EvalError::Node { node: node_text(node, id), op: node.op.mnemonic(), fault };
        let types = result_types(graph, id, &context).map_err(at)?;
        let operands = live.take_operands(graph, id).map_err(at)?;
        let results = ops::apply(id, &node.op, &operands, &types, &context).map_err(at)?;
        observe(id, &results);
        live.insert(id, results);
        if id == return_node {
            returned = operands;
        }
    }

    let mut outputs: Vec<Tensor> = returned.into_iter().map(Arc::unwrap_or_clone).collect();
    let next_states = outputs.split_off(graph.outputs().len().min(outputs.len()));
    Ok(Outcome { outputs, next_states, bindings })
}

/// The result types of a node in this run. The node is type-checked again, so that the ops may rely on
/// the shapes of their operands.
fn result_types(
    graph: &Graph,
    id: NodeId,
    context: &Context<'_>,
) -> Result<Vec<ResultType>, Fault> {
    let node = graph.node(id);
    let mut operands: Vec<&TensorType> = Vec::new();
    for (operand, value) in graph.operands(id).into_iter().enumerate() {
        let ty = graph.node(value.node).results.get(usize::from(value.result));
        operands.push(ty.ok_or(Fault::NoOperand { operand })?);
    }
    let inferred = node.op.infer(&operands, graph.symbols())?;
    if inferred != node.results {
        let text = |types: &[TensorType]| -> Vec<String> {
            types.iter().map(|ty| ty.display(graph.symbols()).to_string()).collect()
        };
        let (found, expected) = (text(&node.results).join(", "), text(&inferred).join(", "));
        return Err(Fault::Type(format!("results are declared {found}, inferred {expected}")));
    }
    inferred.iter().map(|ty| ResultType::new(ty, context)).collect()
}

/// Values that are still to be used, and how often.
struct LiveValues {
    values: HashMap<ValueId, Arc<Tensor>>,
    uses: HashMap<ValueId, usize>,
}

impl LiveValues {
    fn new(graph: &Graph, order: &[NodeId]) -> LiveValues {
        let mut uses = HashMap::new();
        for value in order.iter().flat_map(|id| graph.operands(*id)) {
            *uses.entry(value).or_insert(0) += 1;
        }
        LiveValues { values: HashMap::new(), uses }
    }

    fn insert(&mut self, id: NodeId, results: Vec<Arc<Tensor>>) {
        for (result, tensor) in (0..=u16::MAX).zip(results) {
            if self.uses.contains_key(&id.result(result)) {
                self.values.insert(id.result(result), tensor);
            }
        }
    }

    /// The operands of a node; a value goes with its last use.
    fn take_operands(&mut self, graph: &Graph, id: NodeId) -> Result<Vec<Arc<Tensor>>, Fault> {
        let mut operands = Vec::new();
        for (operand, value) in graph.operands(id).into_iter().enumerate() {
            let tensor = self.values.get(&value).ok_or(Fault::NoOperand { operand })?;
            operands.push(Arc::clone(tensor));
            if let Some(uses) = self.uses.get_mut(&value) {
                *uses -= 1;
                if *uses == 0 {
                    self.values.remove(&value);
                }
            }
        }
        Ok(operands)
    }
}

fn node_text(node: &Node, id: NodeId) -> String {
    match node.names.iter().flatten().next() {
        Some(name) => format!("%{name}"),
        None => format!("node {}", id.index()),
    }
}
