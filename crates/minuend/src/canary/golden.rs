//! Kernels on small operands, with what must come out.

use minuend_codegen::{Kernel, Tail, TailOperand, TailStep};
use minuend_interp::{Tensor, evaluate};
use minuend_ir::ops::{Attention, ReduceKind, Slice, UnaryOp};
use minuend_ir::{
    DType, Dim, Emit, Graph, GraphLevel, Op, SymbolTable, TensorType, TypeError, ValueId,
};
use minuend_models::ModelError;
use minuend_runtime::HostTensor;

use crate::canary::shapes::{CaseOperand, CaseShape};
use crate::canary::values::{CaseWeights, Fill, Values, host_tensor};
use crate::error::Error;

/// What an element may be off, of its natural magnitude, where everything is computed in f32: some
/// hundred roundings of 2^-24, and the coarser functions of GPUs (tanh is off by 1e-5).
const SINGLE: f64 = 1e-5;
/// Where operands of products are rounded to 16-bit floats: the bound for differential attention in
/// bf16, on the scale of attention over `|v|`.
const HALF: f64 = 1.0 / 128.0;
/// Positions of tokens: angles of many turns.
const POSITIONS: usize = 5000;
/// Distances of the rows and columns that are compared of a large result: primes, so that every place in
/// a tile has its turn.
const ROW_STEP: u32 = 61;
const COLUMN_STEP: u32 = 67;
/// The greatest slope of SiLU.
const SILU_SLOPE: f64 = 1.1;
/// Steps of a tail whose slopes are counted.
const MOST_STEPS: usize = 10;

/// The cases of a program in one graph, so that a device compiles their kernels side by side and runs
/// them at once.
pub(super) struct Golden {
    /// Every case's results, one case behind the other.
    pub(super) graph: Graph,
    /// Arguments of a run.
    pub(super) arguments: Vec<HostTensor>,
    /// Weights of the graph.
    pub(super) weights: CaseWeights,
    /// The outputs of the graph.
    pub(super) outputs: Vec<GoldenOutput>,
}

/// A result of a case.
pub(super) struct GoldenOutput {
    /// The kernel's name.
    pub(super) kernel: String,
    /// Shapes of the operands, for messages.
    pub(super) sizes: String,
    /// What the interpreter computes.
    pub(super) expected: Tensor,
    /// The scale of its errors: a tensor of its shape, or one number.
    pub(super) magnitude: Tensor,
    /// What an element may be off, of its magnitude, in f32.
    single: f64,
    /// Whether the kernel multiplies what may be rounded.
    has_products: bool,
}

impl Golden {
    /// The cases of these shapes. One that does not fit its kernel is left out.
    ///
    /// # Errors
    /// What the interpreter refuses.
    pub(super) fn new(shapes: &[CaseShape]) -> Result<Golden, Error> {
        let mut builder = Builder {
            graph: Graph::new("canary", SymbolTable::default()),
            values: Values::new(0),
            arguments: Vec::new(),
            weights: CaseWeights::default(),
            named: 0,
        };
        let cases = shapes.iter().filter_map(|shape| Some((shape, builder.case(shape)?)));
        let cases: Vec<(&CaseShape, Computed)> = cases.collect();
        let Builder { mut graph, arguments, weights, .. } = builder;
        graph.set_level(GraphLevel::Fused);
        let outputs: Vec<ValueId> = cases.iter().flat_map(|(_, c)| c.outputs.clone()).collect();
        let magnitudes = cases.iter().flat_map(|(_, computed)| computed.magnitudes.iter().copied());
        let expected = cases.iter().flat_map(|(_, computed)| computed.expected.iter().copied());
        let both: Vec<ValueId> = expected.chain(magnitudes).collect();
        let mut reference = graph.clone();
        reference.set_return(&both, &[]).map_err(ModelError::from)?;
        let mut expected = evaluate(&reference, &arguments, &weights)?.outputs;
        let magnitudes = expected.split_off(outputs.len());
        graph.set_return(&outputs, &[]).map_err(ModelError::from)?;
        graph.remove_unreachable();
        let shapes = cases.iter().flat_map(|(shape, c)| c.outputs.iter().map(move |_| *shape));
        let outputs = shapes.zip(expected.into_iter().zip(magnitudes));
        let outputs = outputs
            .map(|(shape, (expected, magnitude))| GoldenOutput::new(shape, expected, magnitude));
        Ok(Golden {
            graph,
            arguments: arguments.iter().filter_map(host_tensor).collect(),
            weights,
            outputs: outputs.collect(),
        })
    }
}

impl GoldenOutput {
    fn new(shape: &CaseShape, expected: Tensor, magnitude: Tensor) -> GoldenOutput {
        let CaseShape { kernel, operands, .. } = shape;
        let sizes = operands.iter().map(|operand| format!("{:?}", operand.shape));
        let steps = match &kernel.tail {
            Tail::Elementwise(steps) => steps.len(),
            Tail::None | Tail::Swiglu => 0,
        };
        GoldenOutput {
            kernel: kernel.name(),
            sizes: sizes.collect::<Vec<_>>().join(" "),
            expected,
            magnitude,
            single: single(&kernel.op) * (1u64 << steps.min(MOST_STEPS)) as f64,
            has_products: matches!(
                kernel.op,
                Op::Matmul(_) | Op::Attention(_) | Op::DiffAttention(_)
            ),
        }
    }

    /// What an element may be off, of its magnitude.
    pub(super) fn tolerance(&self, rounds_products: bool) -> f64 {
        if rounds_products && self.has_products {
            return self.single / SINGLE * HALF;
        }
        self.single
    }
}

/// The tolerance in f32. Operands of elementwise steps are of magnitude 0.5 to 2, so that a step at
/// most about doubles an error; that is counted for each step of a tail.
fn single(op: &Op) -> f64 {
    if matches!(op, Op::Gather(_) | Op::ArgMax(_)) { 0.0 } else { SINGLE }
}

struct Builder {
    graph: Graph,
    values: Values,
    arguments: Vec<Tensor>,
    weights: CaseWeights,
    /// Operands so far.
    named: usize,
}

impl Builder {
    /// Adds a case; `None` if its shapes do not fit the kernel.
    fn case(&mut self, shape: &CaseShape) -> Option<Computed> {
        let CaseShape { kernel, operands, is_sampled } = shape;
        let values = (0..kernel.operands.len()).map(|index| self.operand(kernel, index, operands));
        let values = values.collect::<Option<Vec<ValueId>>>()?;
        if *is_sampled {
            return sampled(&mut self.graph, kernel, &values).ok();
        }
        computed(&mut self.graph, kernel, &values).ok()
    }

    /// An operand as the op reads it.
    fn operand(
        &mut self,
        kernel: &Kernel,
        index: usize,
        operands: &[CaseOperand],
    ) -> Option<ValueId> {
        let dtype = *kernel.operands.get(index)?;
        let CaseOperand { shape, is_weight } = operands.get(index)?;
        let fill = match &kernel.op {
            Op::Gather(op) => Fill::Below(*operands.first()?.shape.get(op.axis)?),
            Op::Rope(_) => Fill::Below(POSITIONS),
            op if op.is_elementwise() => Fill::Moderate,
            Op::Matmul(_) if index > 1 => Fill::Moderate,
            _ => Fill::Unit,
        };
        let is_queries = index == 0 && matches!(kernel.op, Op::Attention(_) | Op::DiffAttention(_));
        if is_queries && let [batch, heads, tokens, features] = shape.as_slice() {
            // Queries lie token by token, as projections write them.
            let stored = [*batch, *tokens, *heads, *features];
            let value = self.input(dtype, &stored, fill, *is_weight)?;
            return self.graph.transpose(value, &[0, 2, 1, 3]).ok();
        }
        self.input(dtype, shape, fill, *is_weight)
    }

    fn input(
        &mut self,
        dtype: DType,
        shape: &[usize],
        fill: Fill,
        is_weight: bool,
    ) -> Option<ValueId> {
        let tensor = self.values.tensor(dtype, shape, fill)?;
        let (name, ty) = (format!("x{}", self.named), TensorType::fixed(dtype, shape));
        self.named += 1;
        // Targets take 16-bit floats from weights alone.
        if is_weight || matches!(dtype, DType::F16 | DType::Bf16) {
            self.weights.insert(&name, tensor);
            return self.graph.weight(&name, ty).ok();
        }
        let argument = self.graph.argument(&name, ty).ok()?;
        self.arguments.push(tensor);
        Some(argument)
    }
}

/// Values of a kernel.
struct Computed {
    outputs: Vec<ValueId>,
    /// What the outputs must be, as the interpreter is to compute it.
    expected: Vec<ValueId>,
    /// One for each output.
    magnitudes: Vec<ValueId>,
}

impl Computed {
    fn new(outputs: Vec<ValueId>, magnitudes: Vec<ValueId>) -> Computed {
        Computed { expected: outputs.clone(), outputs, magnitudes }
    }
}

/// Adds a large product to a graph. Some rows and columns of it are compared with the product of those
/// rows and columns of the operands.
fn sampled(
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
fn computed(
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
    let mut magnitudes = Vec::new();
    for output in &outputs {
        magnitudes.push(magnitude(graph, &kernel.op, head_operands, *output)?);
    }
    let ([product], [scale]) = (outputs.as_slice(), magnitudes.as_slice()) else {
        return Ok(Computed::new(outputs, magnitudes));
    };
    let (product, scale) = (*product, *scale);
    match &kernel.tail {
        Tail::None => Ok(Computed::new(outputs, magnitudes)),
        Tail::Swiglu => swiglu(graph, product, scale),
        Tail::Elementwise(steps) => chain(graph, steps, operands, product, scale),
    }
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

/// SwiGLU of a product's halves. An error of the gate is multiplied by SiLU's slope and by the other
/// half, one of the other half by the gate.
fn swiglu(graph: &mut Graph, product: ValueId, scale: ValueId) -> Result<Computed, TypeError> {
    let axis = graph.ty(product).rank().saturating_sub(1);
    let half = graph.size(product, axis).exact_div(&Dim::from(2)).unwrap_or_default();
    let mut halves = |value: ValueId| -> Result<[ValueId; 2], TypeError> {
        let lower = graph.slice(value, Slice::range(axis, 0, half.clone()))?;
        let whole = graph.size(value, axis);
        Ok([lower, graph.slice(value, Slice::range(axis, half.clone(), whole))?])
    };
    let ([gate, up], [gate_scale, up_scale]) = (halves(product)?, halves(scale)?);
    let output = graph.value(Op::Swiglu, &[gate, up])?;
    let slope = graph.real(DType::F32, SILU_SLOPE)?;
    let up = abs(graph, up)?;
    let of_gate = graph.mul(gate_scale, up)?;
    let of_gate = graph.mul(of_gate, slope)?;
    let silu = graph.unary(UnaryOp::Silu, gate)?;
    let silu = abs(graph, silu)?;
    let of_up = graph.mul(up_scale, silu)?;
    let magnitude = graph.add_values(of_gate, of_up)?;
    Ok(Computed::new(vec![output], vec![magnitude]))
}

/// An elementwise tail. Its magnitude is the sum of those of all its values.
fn chain(
    graph: &mut Graph,
    steps: &[TailStep],
    operands: &[ValueId],
    first: ValueId,
    scale: ValueId,
) -> Result<Computed, TypeError> {
    let mut values = vec![first];
    let mut sum = is_float(graph, scale).then_some(scale);
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
            sum = Some(match sum {
                Some(sum) => {
                    let size = graph.cast(size, graph.ty(sum).dtype)?;
                    graph.add_values(sum, size)?
                }
                None => size,
            });
        }
    }
    let output = values.last().copied().unwrap_or(first);
    let magnitude = if is_float(graph, output) { sum.unwrap_or(output) } else { output };
    Ok(Computed::new(vec![output], vec![magnitude]))
}

fn is_float(graph: &Graph, value: ValueId) -> bool {
    graph.ty(value).dtype.is_float()
}

fn abs(graph: &mut Graph, value: ValueId) -> Result<ValueId, TypeError> {
    graph.unary(UnaryOp::Abs, value)
}
