//! What every op computes, one file per family.
//!
//! An op's function takes the operands and gives the values of the result; the result's type comes from
//! inference. Operands have been type-checked, so shapes fit.

mod attention;
mod boundary;
mod diff_attention;
mod elementwise;
mod erf;
mod kv_append;
mod layout;
mod matmul;
mod reduce;
mod rms_norm;
mod rope;
mod sample;
mod swiglu;

pub use sample::Draw;

use std::collections::HashMap;
use std::sync::Arc;

use minuend_ir::{Bindings, DType, Dim, NodeId, Op, SymbolTable, TensorType};

use crate::error::Fault;
use crate::eval::Weights;
use crate::tensor::{Data, Tensor};

/// What ops may ask beside their operands.
pub(crate) struct Context<'a> {
    pub(crate) bindings: &'a Bindings,
    pub(crate) symbols: &'a SymbolTable,
    pub(crate) weights: &'a dyn Weights,
    pub(crate) given: &'a HashMap<NodeId, Arc<Tensor>>,
}

impl Context<'_> {
    /// The value of a size.
    pub(crate) fn size(&self, dim: &Dim) -> Result<usize, Fault> {
        let value = dim.eval(self.bindings).and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| Fault::Unbound { size: dim.display(self.symbols).to_string() })
    }
}

/// A result's type in this run. Its element count has been checked.
pub(crate) struct ResultType {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: usize,
}

impl ResultType {
    pub(crate) fn new(ty: &TensorType, context: &Context<'_>) -> Result<ResultType, Fault> {
        let shape: Vec<usize> =
            ty.shape.iter().map(|dim| context.size(dim)).collect::<Result<_, _>>()?;
        let elements = Tensor::element_count(ty.dtype, &shape)?;
        Ok(ResultType { dtype: ty.dtype, shape, elements })
    }
}

/// The results of a node.
pub(crate) fn apply(
    id: NodeId,
    op: &Op,
    operands: &[Arc<Tensor>],
    types: &[ResultType],
    context: &Context<'_>,
) -> Result<Vec<Arc<Tensor>>, Fault> {
    // Only the return has no result.
    let Some(ty) = types.first() else { return Ok(Vec::new()) };
    let data = match op {
        Op::Return(_) => vec![],
        Op::Input(_) => return Ok(context.given.get(&id).cloned().into_iter().collect()),
        Op::Weight(op) => return Ok(vec![boundary::weight(op, ty, context.weights)?]),
        Op::Constant(op) => vec![boundary::constant(op, ty)],
        Op::DimValue(op) => vec![boundary::dim_value(op, context)?],
        Op::Iota(_) => vec![boundary::iota(ty)],
        Op::Unary(op) => {
            let [x] = exactly(operands)?;
            vec![elementwise::unary(*op, x)?]
        }
        Op::Binary(op) => {
            let [a, b] = exactly(operands)?;
            vec![elementwise::binary(*op, a, b, ty)?]
        }
        Op::Compare(op) => {
            let [a, b] = exactly(operands)?;
            vec![elementwise::compare(*op, a, b, ty)?]
        }
        Op::Select => {
            let [condition, a, b] = exactly(operands)?;
            vec![elementwise::select(condition, a, b, ty)?]
        }
        Op::Cast(op) => {
            let [x] = exactly(operands)?;
            vec![elementwise::cast(*op, x)]
        }
        Op::Reshape(_) => {
            let [x] = exactly(operands)?;
            vec![x.data().clone()]
        }
        Op::Transpose(op) => {
            let [x] = exactly(operands)?;
            vec![layout::transpose(op, x, ty)]
        }
        Op::Slice(op) => {
            let [x] = exactly(operands)?;
            vec![layout::slice(op, x, ty, context)?]
        }
        Op::Concat(op) => vec![layout::concat(op.axis, operands)?],
        Op::Broadcast(_) => {
            let [x] = exactly(operands)?;
            vec![layout::broadcast(x, ty)]
        }
        Op::Gather(op) => {
            let [data, indices] = exactly(operands)?;
            vec![layout::gather(*op, data, indices)?]
        }
        Op::Reduce(op) => {
            let [x] = exactly(operands)?;
            vec![reduce::reduce(*op, x)?]
        }
        Op::ArgMax(op) => {
            let [x] = exactly(operands)?;
            vec![reduce::arg_max(*op, x)?]
        }
        Op::Softmax(op) => {
            let [x] = exactly(operands)?;
            vec![reduce::softmax(*op, x)?]
        }
        Op::Matmul(op) => {
            let [lhs, rhs] = exactly(operands)?;
            vec![matmul::matmul(*op, lhs, rhs, ty)?]
        }
        Op::RmsNorm(op) => {
            let [x, weight] = exactly(operands)?;
            vec![rms_norm::rms_norm(*op, reals(x)?, weight)?]
        }
        Op::AddRmsNorm(op) => {
            let [x, residual, weight] = exactly(operands)?;
            rms_norm::add_rms_norm(*op, x, residual, weight)?
        }
        Op::Rope(op) => {
            let [x, positions] = exactly(operands)?;
            vec![rope::rope(*op, x, positions)?]
        }
        Op::Sample => {
            let [logits, temperature, top_k, top_p, uniform] = exactly(operands)?;
            vec![sample::sample(logits, [temperature, top_k, top_p], uniform)?]
        }
        Op::Swiglu => {
            let [gate, up] = exactly(operands)?;
            vec![swiglu::swiglu(gate, up)?]
        }
        Op::Attention(op) => {
            let [q, k, v] = exactly(operands)?;
            vec![attention::attention(*op, q, k, v)?]
        }
        Op::DiffAttention(op) => {
            let [q, k, v, lambda] = exactly(operands)?;
            vec![diff_attention::diff_attention(*op, q, k, v, lambda)?]
        }
        Op::KvAppend(op) => vec![kv_append::kv_append(*op, operands)?],
    };
    let tensors = types.iter().zip(data).map(|(ty, data)| Tensor::new(ty.dtype, &ty.shape, data));
    tensors.map(|tensor| Ok(Arc::new(tensor?))).collect()
}

/// Exactly `N` operands.
fn exactly<const N: usize>(operands: &[Arc<Tensor>]) -> Result<&[Arc<Tensor>; N], Fault> {
    let found = operands.len();
    operands.try_into().map_err(|_| Fault::Type(format!("{found} operands, expected {N}")))
}

/// The values of a float operand.
fn reals(x: &Tensor) -> Result<&[f64], Fault> {
    x.reals().ok_or_else(|| Fault::Type(format!("an operand is {}, expected reals", x.dtype())))
}

/// The values of an integer operand.
fn ints(x: &Tensor) -> Result<&[i64], Fault> {
    x.ints().ok_or_else(|| Fault::Type(format!("an operand is {}, expected integers", x.dtype())))
}

/// The sizes of an operand of rank `N`.
fn sizes<const N: usize>(x: &Tensor) -> Result<[usize; N], Fault> {
    let found = x.shape().len();
    x.shape().try_into().map_err(|_| Fault::Type(format!("rank is {found}, expected {N}")))
}

/// An op that has no meaning for the element type of its operand.
fn no_meaning(op: &str, dtype: DType) -> Fault {
    Fault::Type(format!("{op} has no meaning for element type {dtype}"))
}

/// The values of an op's one result.
type Computed = Result<Data, Fault>;
