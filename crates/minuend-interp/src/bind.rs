//! Values of the symbols, read off the shapes of the inputs.

use minuend_ir::{Bindings, Dim, Graph, NodeId, SymbolId, SymbolInfo, TensorType};

use crate::error::EvalError;
use crate::tensor::Tensor;

/// Matches inputs against the types that the graph declares, in the order of [`Graph::inputs`].
///
/// An axis whose size is a symbol alone binds the symbol. Every other axis must then have the size
/// that its expression evaluates to.
pub(crate) fn bind_symbols(graph: &Graph, inputs: &[Tensor]) -> Result<Bindings, EvalError> {
    if graph.inputs().len() != inputs.len() {
        return Err(EvalError::InputCount {
            graph: graph.name().to_string(),
            found: inputs.len(),
            expected: graph.inputs().len(),
        });
    }
    let mut bindings = Bindings::new();
    for axis in axes(graph, inputs)? {
        if let Some((symbol, info)) = axis.lone_symbol(graph) {
            if !admits(info, axis.found) {
                return Err(axis.mismatch(graph, range_text(info)));
            }
            if bindings.get(symbol).is_none() {
                bindings.set(symbol, axis.found as u64);
            }
        }
    }
    for axis in axes(graph, inputs)? {
        match axis.size.eval(&bindings) {
            Some(value) if usize::try_from(value) == Ok(axis.found) => {}
            Some(value) => return Err(axis.mismatch(graph, value.to_string())),
            None => return Err(axis.unbound(graph)),
        }
    }
    Ok(bindings)
}

/// One axis of one input.
struct Axis<'a> {
    input: NodeId,
    position: usize,
    axis: usize,
    size: &'a Dim,
    found: usize,
}

/// Every axis of every input; an error if an element type or rank differs.
fn axes<'a>(graph: &'a Graph, inputs: &[Tensor]) -> Result<Vec<Axis<'a>>, EvalError> {
    let mut axes = Vec::new();
    for (position, (input, tensor)) in graph.inputs().iter().zip(inputs).enumerate() {
        let expected: &TensorType = graph.ty(input.result(0));
        if expected.dtype != tensor.dtype() || expected.rank() != tensor.shape().len() {
            return Err(EvalError::InputType {
                input: input_text(graph, *input, position),
                found: tensor.type_text(),
                expected: expected.display(graph.symbols()).to_string(),
            });
        }
        for (axis, (size, found)) in expected.shape.iter().zip(tensor.shape()).enumerate() {
            axes.push(Axis { input: *input, position, axis, size, found: *found });
        }
    }
    Ok(axes)
}

impl Axis<'_> {
    fn lone_symbol<'g>(&self, graph: &'g Graph) -> Option<(SymbolId, &'g SymbolInfo)> {
        let symbol = *self.size.symbols().first()?;
        if *self.size != Dim::symbol(symbol) {
            return None;
        }
        Some((symbol, graph.symbols().info(symbol)?))
    }

    fn mismatch(&self, graph: &Graph, expected: String) -> EvalError {
        EvalError::InputAxis {
            input: input_text(graph, self.input, self.position),
            axis: self.axis,
            size: self.size.display(graph.symbols()).to_string(),
            found: self.found,
            expected,
        }
    }

    fn unbound(&self, graph: &Graph) -> EvalError {
        EvalError::InputUnbound {
            input: input_text(graph, self.input, self.position),
            axis: self.axis,
            size: self.size.display(graph.symbols()).to_string(),
        }
    }
}

fn admits(info: &SymbolInfo, size: usize) -> bool {
    let size = size as u64;
    (info.min..=info.max).contains(&size) && size.is_multiple_of(info.multiple_of)
}

fn range_text(info: &SymbolInfo) -> String {
    let range = format!("{} to {}", info.min, info.max);
    match info.multiple_of {
        1 => range,
        multiple => format!("a multiple of {multiple} from {range}"),
    }
}

fn input_text(graph: &Graph, input: NodeId, position: usize) -> String {
    match graph.value_name(input.result(0)) {
        Some(name) => format!("%{name}"),
        None => position.to_string(),
    }
}
