//! The first node at which a device leaves the interpreter.
//!
//! A fused graph is compiled again so that it returns its intermediate values too, and each is compared
//! with the interpreter's. In topological order, the first that is off has operands that are right. A
//! fault of the plan may hide when every value is kept: then prefixes of the graph, which return one
//! value each, are bisected.

use std::collections::HashSet;

use minuend::ir::order::topological;
use minuend::ir::text::ValueNames;
use minuend::ir::{Graph, NodeId, Op, ValueId};
use minuend::{CompileOptions, Device, Executable, Target, WeightSource};
use minuend_interp::{Data, Tensor};

use crate::comparison::UNIT;
use crate::error::ConformError;
use crate::float_types::is_half;
use crate::interpret::interpret;
use crate::runners::run_all;
use crate::stored_weights::StoredWeights;
use crate::subjects::runs_in;

/// A graph, what it is run on, and where.
pub struct Suspect<'a> {
    /// The graph, at level fused.
    pub graph: &'a Graph,
    /// Its weights.
    pub weights: &'a dyn WeightSource,
    /// Arguments of each run of one session.
    pub runs: &'a [Vec<Tensor>],
    /// Positions for which a session of the runs must have memory.
    pub capacity: u64,
    /// The device that computes something else.
    pub device: &'a dyn Device,
    /// An element of a value is off if its error exceeds so many roundings to f32, of itself or of the
    /// root mean square of its tensor where that is larger.
    pub surely_wrong: f64,
}

impl Suspect<'_> {
    /// The first value that is off, as `%y = softmax in run 0`; `None` if none is by itself.
    ///
    /// # Errors
    /// What cannot be compiled or run.
    pub fn first_diverging_node(&self) -> Result<Option<String>, ConformError> {
        let values = observable(self.graph, self.device.target());
        if let Some((run, index)) = self.first_off(&values)? {
            return Ok(values.get(index).map(|value| self.name(*value, run)));
        }
        let Some((last, earlier)) = values.split_last() else { return Ok(None) };
        let Some((mut run, _)) = self.first_off(&[*last])? else { return Ok(None) };
        // The first value in 0..=high that is off when it is returned alone, if all behind it are.
        let (mut low, mut high) = (0, earlier.len());
        while low < high {
            let middle = low.midpoint(high);
            match values.get(middle).map(|value| self.first_off(&[*value])).transpose()? {
                Some(Some((in_run, _))) => (run, high) = (in_run, middle),
                Some(None) | None => low = middle + 1,
            }
        }
        Ok(values.get(high).map(|value| self.name(*value, run)))
    }

    fn name(&self, value: ValueId, run: usize) -> String {
        let name = ValueNames::new(self.graph).of(value);
        let op = self.graph.def(value).mnemonic();
        if self.runs.len() > 1 {
            format!("{name} = {op} in run {run}")
        } else {
            format!("{name} = {op}")
        }
    }

    /// Run and index of the first of these values that is off, the graph returning all of them.
    fn first_off(&self, values: &[ValueId]) -> Result<Option<(usize, usize)>, ConformError> {
        let mut graph = self.graph.clone();
        let next: Vec<ValueId> = graph.states().iter().map(|state| state.next).collect();
        graph.set_return(values, &next)?;
        graph.remove_unreachable();
        let weights = StoredWeights::new(self.weights);
        let expected = interpret(&graph, self.runs, &weights)?;
        let options = CompileOptions::default();
        let program = minuend::compile(graph, self.device.target(), &options)?.program;
        let found = run_all(
            &Executable::load(self.device, program, self.weights)?,
            self.runs,
            self.capacity,
        )?;
        for (run, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let mut pairs = found.iter().zip(expected);
            if let Some(index) =
                pairs.position(|(found, expected)| is_off(found, expected, self.surely_wrong))
            {
                return Ok(Some((run, index)));
            }
        }
        Ok(None)
    }
}

/// Values that a target can return and that depend on an input, in topological order. A target without
/// 16-bit activations has such floats in weights only.
fn observable(graph: &Graph, target: &dyn Target) -> Vec<ValueId> {
    let is_returned = |dtype| !is_half(dtype) || runs_in(target, dtype);
    let mut dependent: HashSet<NodeId> = HashSet::new();
    let mut values = Vec::new();
    for id in topological(graph) {
        let node = graph.node(id);
        let is_input = matches!(node.op, Op::Input(_));
        let operands = graph.operands(id);
        if !is_input && !operands.iter().any(|value| dependent.contains(&value.node)) {
            continue;
        }
        dependent.insert(id);
        if is_input || matches!(node.op, Op::Return(_)) {
            continue;
        }
        for (result, ty) in (0..=u16::MAX).zip(&node.results) {
            if is_returned(ty.dtype) {
                values.push(id.result(result));
            }
        }
    }
    values
}

fn is_off(found: &Tensor, expected: &Tensor, roundings: f64) -> bool {
    if found.shape() != expected.shape() {
        return true;
    }
    let (Data::Reals(found), Data::Reals(expected)) = (found.data(), expected.data()) else {
        return found.data() != expected.data();
    };
    let finite = || expected.iter().filter(|value| value.is_finite());
    let count = finite().count().max(1) as f64;
    let rms = (finite().map(|value| value * value).sum::<f64>() / count).sqrt();
    found.iter().zip(expected).any(|(found, expected)| {
        let allowed = roundings * UNIT * rms.max(expected.abs()) + f64::from(f32::MIN_POSITIVE);
        let error = (found - expected).abs();
        // Masks hold infinities, and what is computed from them may be NaN.
        expected.is_finite() && (error.is_nan() || error > allowed)
    })
}
