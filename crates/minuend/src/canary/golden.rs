//! Kernels on small operands, with what must come out.

use minuend_codegen::{Kernel, Tail};
use minuend_interp::{Tensor, evaluate};
use minuend_ir::{DType, Emit, Graph, GraphLevel, Op, SymbolTable, TensorType, ValueId};
use minuend_models::ModelError;
use minuend_runtime::HostTensor;

use crate::canary::computed::{Computed, computed, sampled};
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
