//! Kernels on small operands, with what must come out.

use minuend_codegen::{Kernel, Tail};
use minuend_interp::{Tensor, evaluate};
use minuend_ir::{DType, Emit, Graph, GraphLevel, Op, SymbolTable, TensorType, ValueId};
use minuend_models::ModelError;
use minuend_runtime::HostTensor;

use crate::canary::Allowance;
use crate::canary::computed::{Computed, computed, sampled};
use crate::canary::shapes::{CaseOperand, CaseShape};
use crate::canary::values::{CaseWeights, Fill, Values, host_tensor};
use crate::error::Error;

/// What an element may be off, of its natural magnitude, where everything is computed in f32: some
/// hundred roundings of 2^-24, and the coarser functions of GPUs (tanh is off by 1e-5).
const SINGLE: f64 = 1e-5;
/// The same where operands of products are rounded to 16-bit floats: the bound for differential attention
/// in bf16, on the scale of attention over `|v|`.
const HALF: f64 = 1.0 / 128.0;
/// What it may be off beside that where values are stored in bf16, of what is stored: two roundings of
/// 2^-8, one inside (of probabilities, of a sum before its norm) and one of the result.
const STORED_BF16: f64 = 1.0 / 128.0;
/// The same in f16, whose roundings are of 2^-11.
const STORED_F16: f64 = 1.0 / 1024.0;
/// Positions of tokens: angles of many turns.
const POSITIONS: usize = 5000;
/// Of so many of the largest elements one is drawn: few enough that a random number hardly falls within
/// the roundings of where the next one begins.
const TOP_K: i64 = 8;
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
    /// The scale of the errors of arithmetic: a tensor of its shape, or one number.
    pub(super) magnitude: Tensor,
    /// The scale of the errors of storing values in 16 bits, likewise.
    stored: Tensor,
    /// What an element may be off, of its magnitude.
    single: f64,
    /// What storing may add, of the scale of that.
    rounding: f64,
    /// By how much the tail makes errors larger.
    growth: f64,
    /// Whether the kernel multiplies what may be rounded.
    has_products: bool,
}

impl Golden {
    /// The cases of these shapes. One that does not fit its kernel is left out. `activations` are the
    /// float types that the target takes from arguments.
    ///
    /// # Errors
    /// What the interpreter refuses.
    pub(super) fn new(shapes: &[CaseShape], activations: &[DType]) -> Result<Golden, Error> {
        let mut builder = Builder {
            activations,
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
        let stored = cases.iter().flat_map(|(_, computed)| computed.stored.iter().copied());
        let all: Vec<ValueId> = expected.chain(magnitudes).chain(stored).collect();
        let mut reference = graph.clone();
        reference.set_return(&all, &[]).map_err(ModelError::from)?;
        let mut expected = evaluate(&reference, &arguments, &weights)?.outputs;
        let mut magnitudes = expected.split_off(outputs.len());
        let stored = magnitudes.split_off(outputs.len());
        graph.set_return(&outputs, &[]).map_err(ModelError::from)?;
        graph.remove_unreachable();
        let shapes = cases.iter().flat_map(|(shape, c)| c.outputs.iter().map(move |_| *shape));
        let outputs = shapes.zip(expected).zip(magnitudes.into_iter().zip(stored));
        let outputs =
            outputs.map(|((shape, expected), scales)| GoldenOutput::new(shape, expected, scales));
        Ok(Golden {
            graph,
            arguments: arguments.iter().filter_map(host_tensor).collect(),
            weights,
            outputs: outputs.collect(),
        })
    }
}

impl GoldenOutput {
    fn new(shape: &CaseShape, expected: Tensor, scales: (Tensor, Tensor)) -> GoldenOutput {
        let (magnitude, stored) = scales;
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
            stored,
            single: single(kernel),
            rounding: rounding(kernel),
            growth: (1u64 << steps.min(MOST_STEPS)) as f64,
            has_products: matches!(
                kernel.op,
                Op::Matmul(_) | Op::Attention(_) | Op::DiffAttention(_)
            ),
        }
    }

    /// What an element may be off: the sum of these shares of these scales.
    pub(super) fn allowances(&self, rounds_products: bool) -> [Allowance<'_>; 2] {
        let is_rounded = rounds_products && self.has_products;
        let single = if is_rounded { HALF } else { self.single };
        [
            Allowance { scale: &self.magnitude, share: single * self.growth },
            Allowance { scale: &self.stored, share: self.rounding * self.growth },
        ]
    }
}

/// What a kernel without a tail may be off in f32. Operands of elementwise steps are of magnitude 0.5 to
/// 2, so that a step at most about doubles an error; that is counted for each step of a tail.
fn single(kernel: &Kernel) -> f64 {
    let is_moved = matches!(kernel.op, Op::Gather(_) | Op::ArgMax(_));
    if is_moved && kernel.tail == Tail::None { 0.0 } else { SINGLE }
}

/// What storing the values of a kernel without a tail may add.
fn rounding(kernel: &Kernel) -> f64 {
    if matches!(kernel.op, Op::Gather(_)) && kernel.tail == Tail::None {
        return 0.0;
    }
    let is_product = matches!(kernel.op, Op::Matmul(_) | Op::Attention(_) | Op::DiffAttention(_));
    let steps: &[_] = match &kernel.tail {
        Tail::Elementwise(steps) => steps,
        Tail::None | Tail::Swiglu => &[],
    };
    // A product of 16-bit operands may be rounded to their type before a tail widens it.
    let operand = kernel.operands.first().filter(|_| is_product);
    let stored = || kernel.results.iter().chain(operand).chain(steps.iter().map(|s| &s.result));
    if stored().any(|dtype| *dtype == DType::Bf16) {
        STORED_BF16
    } else if stored().any(|dtype| *dtype == DType::F16) {
        STORED_F16
    } else {
        0.0
    }
}

struct Builder<'t> {
    /// Float types that arguments may have.
    activations: &'t [DType],
    graph: Graph,
    values: Values,
    arguments: Vec<Tensor>,
    weights: CaseWeights,
    /// Operands so far.
    named: usize,
}

impl Builder<'_> {
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
            Op::Sample if index == 2 => Fill::Exactly(TOP_K),
            Op::Sample if index > 0 => Fill::Share,
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
        // Of other float types, targets take weights alone.
        if is_weight || (dtype.is_float() && !self.activations.contains(&dtype)) {
            self.weights.insert(&name, tensor);
            return self.graph.weight(&name, ty).ok();
        }
        let argument = self.graph.argument(&name, ty).ok()?;
        self.arguments.push(tensor);
        Some(argument)
    }
}
