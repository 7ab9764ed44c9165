//! Several runs of a graph on the interpreter.

use minuend::ir::ops::InputKind;
use minuend::ir::{Bindings, Dim, Graph, Op, TensorType};
use minuend_interp::{Tensor, Weights, evaluate};

use crate::error::ConformError;
use crate::problem::sizes_of;

/// The outputs of every run of a graph on the interpreter, states going from each to the next.
///
/// # Errors
/// What the interpreter refuses, and runs of another number of arguments than the graph has.
pub fn interpret(
    graph: &Graph,
    runs: &[Vec<Tensor>],
    weights: &dyn Weights,
) -> Result<Vec<Vec<Tensor>>, ConformError> {
    let mut states: Option<Vec<Tensor>> = None;
    let mut outputs = Vec::with_capacity(runs.len());
    for arguments in runs {
        let current = match states.take() {
            Some(states) => states,
            None => empty_states(graph, arguments)?,
        };
        let inputs = inputs(graph, arguments, current)?;
        let outcome = evaluate(graph, &inputs, weights)?;
        states = Some(outcome.next_states);
        outputs.push(outcome.outputs);
    }
    Ok(outputs)
}

/// Arguments and states in the order of the graph's inputs.
///
/// # Errors
/// Another number of them than the graph has.
pub(crate) fn inputs(
    graph: &Graph,
    arguments: &[Tensor],
    states: Vec<Tensor>,
) -> Result<Vec<Tensor>, ConformError> {
    let (found, expected) = (arguments.len() + states.len(), graph.inputs().len());
    let (mut arguments, mut states) = (arguments.iter(), states.into_iter());
    let inputs = graph.inputs().iter().map(|id| match &graph.node(*id).op {
        Op::Input(op) if op.kind == InputKind::State => states.next(),
        _ => arguments.next().cloned(),
    });
    let inputs: Option<Vec<Tensor>> = inputs.collect();
    inputs.ok_or(ConformError::Count { what: "inputs", found, expected })
}

/// States as they are before the first run: zeros, and nothing along growing axes.
///
/// # Errors
/// States of a size that no argument says.
pub(crate) fn empty_states(
    graph: &Graph,
    arguments: &[Tensor],
) -> Result<Vec<Tensor>, ConformError> {
    let of_kind = |kind: InputKind| {
        graph.inputs().iter().filter_map(move |id| match &graph.node(*id).op {
            Op::Input(op) if op.kind == kind => Some(&op.ty),
            _ => None,
        })
    };
    let mut bindings = Bindings::new();
    for (id, info) in graph.symbols().symbols() {
        bindings.set(id, info.min);
    }
    for (ty, tensor) in of_kind(InputKind::Argument).zip(arguments) {
        bind(&mut bindings, ty, tensor);
    }
    let mut zeros = Vec::new();
    for ty in of_kind(InputKind::State) {
        let shape = sizes_of(ty, &bindings)?;
        let count = Tensor::element_count(ty.dtype, &shape)?;
        zeros.push(Tensor::from_reals(ty.dtype, &shape, vec![0.0; count])?);
    }
    Ok(zeros)
}

/// Values of the symbols that the shapes of a graph's inputs say.
pub(crate) fn bindings_of(graph: &Graph, inputs: &[Tensor]) -> Bindings {
    let mut bindings = Bindings::new();
    for (id, tensor) in graph.inputs().iter().zip(inputs) {
        bind(&mut bindings, graph.ty(id.result(0)), tensor);
    }
    bindings
}

/// Binds the symbols that are an axis of the type alone.
fn bind(bindings: &mut Bindings, ty: &TensorType, tensor: &Tensor) {
    for (dim, size) in ty.shape.iter().zip(tensor.shape()) {
        if let [symbol] = dim.symbols().as_slice()
            && *dim == Dim::symbol(*symbol)
        {
            bindings.set(*symbol, *size as u64);
        }
    }
}
