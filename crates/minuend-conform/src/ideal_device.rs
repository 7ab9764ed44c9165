//! A device that computes every op exactly and rounds its results to their types.
//!
//! No device with the same kernels does better: what an ideal device gives must be within the tolerances
//! of a problem, for the fused ops and for their decompositions. It stands for devices with 16-bit
//! activations where there is none, and a worse rounding in its place shows what tolerances let through.

use std::collections::HashMap;

use minuend::ir::order::topological;
use minuend::ir::{Bindings, DType, Dim, Graph, GraphLevel, NodeId, Op, TensorType, ValueId};
use minuend_interp::{Data, Tensor, Weights, evaluate};

use crate::accuracy::Accuracy;
use crate::check::{Reference, Verdict, Way, verdict};
use crate::error::ConformError;
use crate::interpret::{bindings_of, empty_states, inputs};
use crate::problem::Problem;
use crate::runners::Runner;

/// How a real number becomes a value of an element type.
pub type Rounding = fn(DType, f64) -> f64;

/// Runs a problem on an ideal device with that rounding and compares.
///
/// # Errors
/// What a pass or the interpreter refuses.
pub fn check_ideal(
    problem: &Problem,
    reference: &Reference,
    runner: Runner,
    round: Rounding,
) -> Result<Verdict, ConformError> {
    let graph = runner.graph(problem)?;
    let mut found = Vec::with_capacity(problem.runs.len());
    let mut states: Option<Vec<Tensor>> = None;
    for arguments in &problem.runs {
        let current = match states.take() {
            Some(states) => states,
            None => empty_states(&graph, arguments)?,
        };
        let inputs = inputs(&graph, arguments, current)?;
        let mut outputs = Run::new(&graph, &inputs, &problem.weights, round).run(&inputs)?;
        states = Some(outputs.split_off(graph.outputs().len().min(outputs.len())));
        found.push(outputs);
    }
    let way = Way { runner, accuracy: Accuracy::Library, narrows: true };
    verdict(problem, reference, way, &found)
}

/// One run of a graph.
struct Run<'a> {
    graph: &'a Graph,
    bindings: Bindings,
    weights: &'a dyn Weights,
    round: Rounding,
    values: HashMap<ValueId, Tensor>,
}

impl<'a> Run<'a> {
    fn new(graph: &'a Graph, inputs: &[Tensor], weights: &'a dyn Weights, round: Rounding) -> Self {
        let bindings = bindings_of(graph, inputs);
        Run { graph, bindings, weights, round, values: HashMap::new() }
    }

    /// The outputs and the next states.
    fn run(mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, ConformError> {
        let graph = self.graph;
        for (id, tensor) in graph.inputs().iter().zip(inputs) {
            self.values.insert(id.result(0), tensor.clone());
        }
        for id in topological(graph) {
            match &graph.node(id).op {
                Op::Input(_) => {}
                Op::Return(_) => {
                    let values = graph.operands(id).into_iter();
                    return Ok(values
                        .filter_map(|value| self.values.get(&value).cloned())
                        .collect());
                }
                _ => {
                    for (result, tensor) in (0..=u16::MAX).zip(self.node(id)?) {
                        self.values.insert(id.result(result), self.rounded(&tensor)?);
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    /// The exact results of one node, whose operands are rounded: a graph of it alone. Each symbol is bound
    /// by an argument of that size.
    fn node(&self, id: NodeId) -> Result<Vec<Tensor>, ConformError> {
        let mut graph = Graph::new("node", self.graph.symbols().clone());
        let mut given = Vec::new();
        for (symbol, info) in self.graph.symbols().symbols() {
            let size = self.bindings.get(symbol).unwrap_or(info.min);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            graph.argument("size", TensorType::new(DType::Bool, [Dim::symbol(symbol)]))?;
            given.push(Tensor::from_bools(&[size], vec![false; size])?);
        }
        let mut operands = Vec::new();
        for value in self.graph.operands(id) {
            operands.push(graph.argument("operand", self.graph.ty(value).clone())?);
            given.extend(self.values.get(&value).cloned());
        }
        let node = graph.add(self.graph.node(id).op.clone(), &operands)?;
        let results = (0..=u16::MAX).zip(&self.graph.node(id).results);
        let results: Vec<ValueId> = results.map(|(result, _)| node.result(result)).collect();
        graph.set_return(&results, &[])?;
        graph.set_level(GraphLevel::Fused);
        Ok(evaluate(&graph, &given, self.weights)?.outputs)
    }

    fn rounded(&self, tensor: &Tensor) -> Result<Tensor, ConformError> {
        let Data::Reals(values) = tensor.data() else { return Ok(tensor.clone()) };
        let dtype = tensor.dtype();
        let values = values.iter().map(|value| (self.round)(dtype, *value)).collect();
        Ok(Tensor::from_reals(dtype, tensor.shape(), values)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float_types::{coarseness, is_half, rounded};
    use crate::problems::{NamedProblem, all};
    use std::collections::BTreeSet;

    fn quick_in_16_bits() -> impl Iterator<Item = NamedProblem> {
        let is_wanted = |problem: &NamedProblem| problem.is_quick && is_half(problem.activations);
        all().into_iter().filter(is_wanted)
    }

    /// Families of which some problem fails with this rounding.
    fn failing(round: Rounding) -> BTreeSet<&'static str> {
        let mut families = BTreeSet::new();
        for named in quick_in_16_bits() {
            if families.contains(named.family) {
                continue;
            }
            let problem = named.build().unwrap();
            let reference = Reference::of(&problem).unwrap();
            let verdict = check_ideal(&problem, &reference, Runner::Kernels, round).unwrap();
            if verdict.fault.is_some() {
                families.insert(named.family);
            }
        }
        families
    }

    #[test]
    fn a_worse_rounding_to_16_bits_is_found_in_every_family() {
        let families: BTreeSet<_> = quick_in_16_bits().map(|problem| problem.family).collect();
        // One bit less, and towards zero.
        let coarser: Rounding = |dtype, value| {
            if !is_half(dtype) {
                return rounded(dtype, value);
            }
            let step = 2.0 * coarseness(dtype) * crate::comparison::UNIT;
            let exponent = value.abs().log2().floor();
            let unit = step * 2.0 * exponent.exp2();
            if value == 0.0 || !value.is_finite() { value } else { (value / unit).trunc() * unit }
        };
        assert_eq!(failing(coarser), families);
    }
}
