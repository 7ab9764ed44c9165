//! Graphs in 16-bit floats: made of graphs in f32, and rounding where a device would.

use std::collections::HashMap;

use minuend::ir::ops::{Cast, InputKind};
use minuend::ir::order::topological;
use minuend::ir::{DType, Emit, Graph, Op, TensorType, TypeError, ValueId};
use minuend_conform::weight_table::WeightTable;
use minuend_interp::{Tensor, Weights};

use crate::random_graph::RandomGraph;

/// Bits of an f64's significand.
const F64_BITS: i32 = 53;

/// The same graph with every float of 16 bits rounded to the bits that its type has, as a device does
/// that stores each value. Exponents are not limited.
///
/// The interpreter computes with real numbers whatever their type, so values are rounded by arithmetic:
/// with `c = (2^s + 1) x`, the difference `c - (c - x)` in f64 is `x` rounded to 53 - s bits (Dekker's
/// splitting).
pub fn rounding(graph: &Graph) -> Graph {
    let round = |graph: &mut Graph, op: &Op, x: ValueId| {
        let is_exact = op.is_view() || matches!(op, Op::Weight(_) | Op::Constant(_));
        match bits(graph.ty(x).dtype) {
            Some(bits) if !is_exact => rounded(graph, x, bits),
            _ => Ok(x),
        }
    };
    rebuilt(graph, &Op::clone, &round).unwrap()
}

/// The random graph with all of its f32 in another float type.
pub fn narrowed(random: RandomGraph, dtype: DType) -> RandomGraph {
    let narrow = |found: DType| if found == DType::F32 { dtype } else { found };
    let retyped = |ty: &TensorType| ty.with_dtype(narrow(ty.dtype));
    let op = |op: &Op| {
        let mut op = op.clone();
        match &mut op {
            Op::Input(input) => input.ty = retyped(&input.ty),
            Op::Weight(weight) => weight.ty = retyped(&weight.ty),
            Op::Constant(constant) => constant.ty = retyped(&constant.ty),
            Op::Cast(cast) => *cast = Cast { to: narrow(cast.to) },
            _ => {}
        }
        op
    };
    let graph = rebuilt(&random.graph, &op, &|_, _, x| Ok(x)).unwrap();
    let tensor = |tensor: &Tensor| {
        let data = tensor.data().clone();
        Tensor::new(narrow(tensor.dtype()), tensor.shape(), data).unwrap()
    };
    let mut weights = WeightTable::default();
    for id in topological(&graph) {
        let Op::Weight(weight) = &graph.node(id).op else { continue };
        for name in &weight.parts {
            weights.insert(name, tensor(&random.weights.weight(name).unwrap()));
        }
    }
    let inputs = random.inputs.iter().map(tensor).collect();
    RandomGraph { graph, inputs, weights }
}

/// A graph of the same nodes with other ops, and what `behind` makes of each of their results.
fn rebuilt(
    graph: &Graph,
    op: &dyn Fn(&Op) -> Op,
    behind: &dyn Fn(&mut Graph, &Op, ValueId) -> Result<ValueId, TypeError>,
) -> Result<Graph, TypeError> {
    let mut new = Graph::new(graph.name(), graph.symbols().clone());
    new.set_level(graph.level());
    let mut places: HashMap<ValueId, ValueId> = HashMap::new();
    for id in graph.inputs() {
        let value = id.result(0);
        let name = graph.value_name(value).unwrap();
        let Op::Input(input) = op(&graph.node(*id).op) else { unreachable!("an input") };
        let place = match input.kind {
            InputKind::Argument => new.argument(name, input.ty)?,
            InputKind::State => new.state(name, input.ty)?,
        };
        places.insert(value, place);
    }
    for id in topological(graph) {
        let node = graph.node(id);
        if matches!(node.op, Op::Input(_) | Op::Return(_)) {
            continue;
        }
        let operands: Vec<ValueId> = graph.operands(id).iter().map(|value| places[value]).collect();
        let at = new.add(op(&node.op), &operands)?;
        for index in (0u16..).take(node.results.len()) {
            let place = behind(&mut new, &node.op, at.result(index))?;
            places.insert(id.result(index), place);
        }
    }
    let outputs: Vec<ValueId> = graph.outputs().iter().map(|value| places[value]).collect();
    let next: Vec<ValueId> = graph.states().iter().map(|state| places[&state.next]).collect();
    new.set_return(&outputs, &next)?;
    Ok(new)
}

/// Bits of the significand of a 16-bit type, the leading one counted.
fn bits(dtype: DType) -> Option<i32> {
    match dtype {
        DType::Bf16 => Some(8),
        DType::F16 => Some(11),
        DType::F32 | DType::I64 | DType::I32 | DType::Bool => None,
    }
}

fn rounded(graph: &mut Graph, x: ValueId, bits: i32) -> Result<ValueId, TypeError> {
    let factor = graph.real(graph.ty(x).dtype, 2f64.powi(F64_BITS - bits) + 1.0)?;
    let product = graph.mul(x, factor)?;
    let rest = graph.sub(product, x)?;
    graph.sub(product, rest)
}
