//! Graphs in which the interpreter rounds what a device stores in 16 bits.
//!
//! The interpreter computes with real numbers whatever their type. Here every value of a 16-bit type is
//! rounded by arithmetic: with `c = (2^s + 1) x`, the difference `c - (c - x)` in f64 is `x` rounded to
//! 53 - s bits (Dekker's splitting).

use std::collections::HashMap;

use minuend::ir::ops::InputKind;
use minuend::ir::order::topological;
use minuend::ir::{DType, Emit, Graph, Op, TypeError, ValueId};

/// Bits of an f64's significand.
const F64_BITS: i32 = 53;

/// The same graph with every float of 16 bits rounded to the bits that its type has. Exponents are not
/// limited.
pub fn rounding(graph: &Graph) -> Graph {
    rounded(graph).unwrap()
}

fn rounded(graph: &Graph) -> Result<Graph, TypeError> {
    let mut new = Graph::new(graph.name(), graph.symbols().clone());
    new.set_level(graph.level());
    let mut places: HashMap<ValueId, ValueId> = HashMap::new();
    for id in graph.inputs() {
        let Op::Input(input) = &graph.node(*id).op else { unreachable!("an input") };
        let ty = input.ty.clone();
        let name = graph.value_name(id.result(0)).unwrap();
        let value = match input.kind {
            InputKind::Argument => new.argument(name, ty)?,
            InputKind::State => new.state(name, ty)?,
        };
        places.insert(id.result(0), value);
    }
    for id in topological(graph) {
        let node = graph.node(id);
        if matches!(node.op, Op::Input(_) | Op::Return(_)) {
            continue;
        }
        let operands: Vec<ValueId> = graph.operands(id).iter().map(|value| places[value]).collect();
        let at = new.add(node.op.clone(), &operands)?;
        let is_exact = node.op.is_view() || matches!(node.op, Op::Weight(_) | Op::Constant(_));
        for (index, ty) in (0u16..).zip(&node.results) {
            let value = at.result(index);
            let value = match bits(ty.dtype) {
                Some(bits) if !is_exact => round(&mut new, value, bits)?,
                _ => value,
            };
            places.insert(id.result(index), value);
        }
    }
    let place = |value: &ValueId| places[value];
    let outputs: Vec<ValueId> = graph.outputs().iter().map(place).collect();
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

fn round(graph: &mut Graph, x: ValueId, bits: i32) -> Result<ValueId, TypeError> {
    let dtype = graph.ty(x).dtype;
    let factor = graph.real(dtype, 2f64.powi(F64_BITS - bits) + 1.0)?;
    let product = graph.mul(x, factor)?;
    let rest = graph.sub(product, x)?;
    graph.sub(product, rest)
}
