//! A kernel as ops of a graph, and the magnitudes that its errors are measured by.

use minuend_codegen::{Kernel, Tail, TailOperand, TailStep};
use minuend_ir::ops::{Attention, ReduceKind, Slice, UnaryOp};
use minuend_ir::{DType, Dim, Emit, Emitted, Graph, Op, TypeError, ValueId};

/// Distances of the rows and columns that are compared of a large result: primes, so that every place in
/// a tile has its turn.
const ROW_STEP: u32 = 61;
const COLUMN_STEP: u32 = 67;
/// The greatest slope of SiLU.
const SILU_SLOPE: f64 = 1.1;

/// Values of a kernel.
pub(super) struct Computed {
    /// What the device computes.
    pub(super) outputs: Vec<ValueId>,
    /// What the outputs must be, as the interpreter is to compute it.
    pub(super) expected: Vec<ValueId>,
    /// For each output, the scale of the errors of arithmetic.
    pub(super) magnitudes: Vec<ValueId>,
    /// For each output, the scale of the errors of storing values in its type, and in those of the
    /// tail's steps.
    pub(super) stored: Vec<ValueId>,
}

impl Computed {
    fn new(outputs: Vec<ValueId>, magnitudes: Vec<ValueId>, stored: Vec<ValueId>) -> Computed {
        Computed { expected: outputs.clone(), outputs, magnitudes, stored }
    }
}

/// Adds a large product to a graph. Some rows and columns of it are compared with the product of those
/// rows and columns of the operands.
pub(super) fn sampled(
    graph: &mut Graph,
    kernel: &Kernel,
    operands: &[ValueId],
) -> Result<Computed, TypeError> {
    let whole = computed(graph, kernel, operands)?;
    let (Op::Matmul(op), [lhs, rhs], [output]) = (&kernel.op, operands, whole.outputs.as_slice())
    else {
        return Ok(whole);
    };
    let (rows, columns) = (graph.ty(*lhs).rank().saturating_sub(2), usize::from(!op.transpose_rhs));
    let some_rows = graph.slice(*lhs, Slice::strided(rows, 0, ROW_STEP))?;
    let parts = if kernel.tail == Tail::Swiglu { 2 } else { 1 };
    let part = graph.size(*rhs, columns).exact_div(&Dim::from(parts)).unwrap_or_default();
    let mut some_columns = Vec::new();
    for index in 0..parts {
        let start = &part * index as i64;
        let end = &start + &part;
        let slice = Slice { axis: columns, start, end: Some(end), step: COLUMN_STEP };
        some_columns.push(graph.slice(*rhs, slice)?);
    }
    let some_columns = graph.concat(columns, &some_columns)?;
    let expected = computed(graph, kernel, &[some_rows, some_columns])?;
    let found = graph.slice(*output, Slice::strided(rows, 0, ROW_STEP))?;
    let found = graph.slice(found, Slice::strided(rows + 1, 0, COLUMN_STEP))?;
    Ok(Computed { outputs: vec![found], ..expected })
}

/// Adds a kernel to a graph, and the magnitudes of its results.
pub(super) fn computed(
    graph: &mut Graph,
    kernel: &Kernel,
    operands: &[ValueId],
) -> Result<Computed, TypeError> {
    let own = match &kernel.tail {
        Tail::Elementwise(steps) => kernel.operands.len() - tail_operands(kernel, steps),
        Tail::None | Tail::Swiglu => operands.len(),
    };
    let head_operands = &operands[..own.min(operands.len())];
    let node = graph.add(kernel.op.clone(), head_operands)?;
    let results = graph.node(node).results.len();
    let outputs: Vec<ValueId> = (0..=u16::MAX).take(results).map(|at| node.result(at)).collect();
    let (mut magnitudes, mut stored) = (Vec::new(), Vec::new());
    for output in &outputs {
        let magnitude = magnitude(graph, &kernel.op, head_operands, *output)?;
        magnitudes.push(magnitude);
        // Probabilities may be rounded too.
        let has_probabilities = matches!(kernel.op, Op::Attention(_) | Op::DiffAttention(_));
        stored.push(match is_float(graph, *output) {
            true if !has_probabilities => abs(graph, *output)?,
            _ => magnitude,
        });
    }
    let ([product], [scale], [narrow]) =
        (outputs.as_slice(), magnitudes.as_slice(), stored.as_slice())
    else {
        return Ok(Computed::new(outputs, magnitudes, stored));
    };
    let (product, scales) = (*product, [*scale, *narrow]);
    let (output, [magnitude, stored]) = match &kernel.tail {
        Tail::None => (product, scales),
        Tail::Swiglu => swiglu(graph, product, scales)?,
        Tail::Elementwise(steps) => chain(graph, steps, operands, product, scales)?,
    };
    Ok(Computed::new(vec![output], vec![magnitude], vec![stored]))
}

/// How many operands only the tail reads: those behind the op's own.
fn tail_operands(kernel: &Kernel, steps: &[TailStep]) -> usize {
    let read = steps.iter().flat_map(|step| &step.operands);
    let first = read.filter_map(|operand| match operand {
        TailOperand::Operand(index) => Some(*index),
        TailOperand::Value(_) => None,
    });
    first.min().map_or(0, |first| kernel.operands.len().saturating_sub(first))
}

/// The scale of the errors of an op's result.
fn magnitude(
    graph: &mut Graph,
    op: &Op,
    operands: &[ValueId],
    output: ValueId,
) -> Result<ValueId, TypeError> {
    match (op, operands) {
        // The sum of the products' magnitudes.
        (Op::Matmul(_), [lhs, rhs]) => {
            let (lhs, rhs) = (abs(graph, *lhs)?, abs(graph, *rhs)?);
            graph.value(op.clone(), &[lhs, rhs])
        }
        // Attention over the values' magnitudes.
        (Op::Attention(attention), [q, k, v]) => {
            let v = abs(graph, *v)?;
            graph.attention(*attention, *q, *k, v)
        }
        (Op::DiffAttention(diff), [q, k, v, lambda]) => {
            let v = abs(graph, *v)?;
            pair_magnitude(graph, diff.attention(), [*q, *k, v], *lambda)
        }
        // A rotation of two features within -1..1.
        (Op::Rope(_), _) => graph.real(DType::F32, std::f64::consts::SQRT_2),
        (Op::Reduce(reduce), [x]) if reduce.kind != ReduceKind::Max => {
            let x = abs(graph, *x)?;
            graph.reduce(reduce.kind, reduce.axis, x)
        }
        (op, operands) if op.is_elementwise() && is_float(graph, output) => {
            let mut sum = abs(graph, output)?;
            for operand in operands {
                if is_float(graph, *operand) {
                    let size = abs(graph, *operand)?;
                    let size = graph.cast(size, graph.ty(sum).dtype)?;
                    sum = graph.add_values(sum, size)?;
                }
            }
            Ok(sum)
        }
        _ => Ok(output),
    }
}

/// `attention_2i(|v|) + sigmoid(lambda_i) attention_2i+1(|v|)`.
fn pair_magnitude(
    graph: &mut Graph,
    attention: Attention,
    [q, k, v]: [ValueId; 3],
    lambda: ValueId,
) -> Result<ValueId, TypeError> {
    let both = graph.attention(attention, q, k, v)?;
    let even = graph.slice(both, Slice::strided(1, 0, 2))?;
    let odd = graph.slice(both, Slice::strided(1, 1, 2))?;
    let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = graph.mul(gate, odd)?;
    graph.add_values(even, gated)
}

/// SwiGLU of a product's halves, and from the scales of the product's errors those of its own. An error
/// of the gate is multiplied by SiLU's slope and by the other half, one of the other half by the gate.
fn swiglu(
    graph: &mut Graph,
    product: ValueId,
    scales: [ValueId; 2],
) -> Result<(ValueId, [ValueId; 2]), TypeError> {
    let axis = graph.ty(product).rank().saturating_sub(1);
    let half = graph.size(product, axis).exact_div(&Dim::from(2)).unwrap_or_default();
    let halves = |graph: &mut Graph, value: ValueId| -> Result<[ValueId; 2], TypeError> {
        let lower = graph.slice(value, Slice::range(axis, 0, half.clone()))?;
        let whole = graph.size(value, axis);
        Ok([lower, graph.slice(value, Slice::range(axis, half.clone(), whole))?])
    };
    let [gate, up] = halves(graph, product)?;
    let output = graph.value(Op::Swiglu, &[gate, up])?;
    let slope = graph.real(graph.ty(product).dtype, SILU_SLOPE)?;
    let up = abs(graph, up)?;
    let silu = graph.unary(UnaryOp::Silu, gate)?;
    let silu = abs(graph, silu)?;
    let mut of = |scale: ValueId| -> Emitted {
        let [gate_scale, up_scale] = halves(graph, scale)?;
        let of_gate = graph.mul(gate_scale, up)?;
        let of_gate = graph.mul(of_gate, slope)?;
        let of_up = graph.mul(up_scale, silu)?;
        graph.add_values(of_gate, of_up)
    };
    let [magnitude, stored] = scales;
    Ok((output, [of(magnitude)?, of(stored)?]))
}

/// An elementwise tail. The scales of its errors are the sums of those of all its values.
fn chain(
    graph: &mut Graph,
    steps: &[TailStep],
    operands: &[ValueId],
    first: ValueId,
    scales: [ValueId; 2],
) -> Result<(ValueId, [ValueId; 2]), TypeError> {
    let mut values = vec![first];
    let mut sums = scales.map(|scale| is_float(graph, scale).then_some(scale));
    for step in steps {
        let read = step.operands.iter().filter_map(|operand| match operand {
            TailOperand::Value(index) => values.get(*index).copied(),
            TailOperand::Operand(index) => operands.get(*index).copied(),
        });
        let read: Vec<ValueId> = read.collect();
        let value = graph.value(step.op.clone(), &read)?;
        values.push(value);
        if is_float(graph, value) {
            let size = abs(graph, value)?;
            for sum in &mut sums {
                *sum = Some(match sum {
                    Some(sum) => {
                        let size = graph.cast(size, graph.ty(*sum).dtype)?;
                        graph.add_values(*sum, size)?
                    }
                    None => size,
                });
            }
        }
    }
    let output = values.last().copied().unwrap_or(first);
    let is_float = is_float(graph, output);
    Ok((output, sums.map(|sum| sum.filter(|_| is_float).unwrap_or(output))))
}

fn is_float(graph: &Graph, value: ValueId) -> bool {
    graph.ty(value).dtype.is_float()
}

fn abs(graph: &mut Graph, value: ValueId) -> Result<ValueId, TypeError> {
    graph.unary(UnaryOp::Abs, value)
}
