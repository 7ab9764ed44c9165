//! From a step of the plan to the kernel that runs it.

#![deny(clippy::wildcard_enum_match_arm)]

use std::cell::Cell;

use minuend_codegen::{Kernel, Tail};
use minuend_ir::ops::{
    Attention, BinaryOp, CompareOp, Constant, Gather, Literal, Mask, Matmul, Softmax, UnaryOp,
};
use minuend_ir::{DType, Op};
use minuend_plan::{BoundLaunch, BoundTensor, Storage};

use crate::cast::cast;
use crate::kernels::{self, StridedMut, StridedRef, WeightRows};
use crate::module::weight_ref;
use crate::operands::{LaunchError, Regions, check_disjoint};

type Launched = Result<(), LaunchError>;

/// The tensors of one launch. Results are disjoint from operands and from each other, which the only
/// constructor checks, and each is given out once.
pub(crate) struct Tensors<'r, 'a> {
    step: &'r BoundLaunch,
    regions: &'r Regions<'a>,
    /// One bit for each result that was given out.
    written: Cell<u64>,
}

impl<'r, 'a> Tensors<'r, 'a> {
    fn new(step: &'r BoundLaunch, regions: &'r Regions<'a>) -> Result<Self, LaunchError> {
        check_disjoint(&step.operands, &step.results)?;
        Ok(Tensors { step, regions, written: Cell::new(0) })
    }

    fn at(&self, operand: usize) -> Result<&'r BoundTensor, LaunchError> {
        let operands = &self.step.operands;
        let missing = LaunchError::Operands { found: operands.len(), expected: operand + 1 };
        operands.get(operand).ok_or(missing)
    }

    pub(crate) fn read<T: bytemuck::Pod>(
        &self,
        operand: usize,
    ) -> Result<StridedRef<'a, T>, LaunchError> {
        // SAFETY: results of this launch, the only views that are written, are disjoint from it.
        unsafe { self.regions.read(self.at(operand)?) }
    }

    /// An operand under another shape, whose elements lie among the operand's own.
    fn read_as<T: bytemuck::Pod>(
        &self,
        operand: usize,
        shaped: &BoundTensor,
    ) -> Result<StridedRef<'a, T>, LaunchError> {
        let own = self.at(operand)?;
        if shaped.byte_offset < own.byte_offset
            || shaped.byte_offset + shaped.span_bytes() > own.byte_offset + own.span_bytes()
        {
            return Err(LaunchError::Overlap);
        }
        // SAFETY: the bytes are among the operand's own; as in `read`.
        unsafe { self.regions.read(shaped) }
    }

    /// The elements of a dense operand.
    fn dense<T: bytemuck::Pod>(&self, operand: usize) -> Result<&'a [T], LaunchError> {
        let at = self.at(operand)?;
        if at.span_bytes() != at.shape.iter().product::<usize>() as u64 * at.dtype.bytes() {
            return Err(LaunchError::NotDense { operand });
        }
        // SAFETY: as in `read`.
        let bytes = unsafe { self.regions.operand_bytes(at) }?;
        bytemuck::try_cast_slice(bytes).map_err(|_| LaunchError::Alignment)
    }

    fn result(&self, result: usize) -> Result<&'r BoundTensor, LaunchError> {
        let results = &self.step.results;
        let missing = LaunchError::Operands { found: results.len(), expected: result + 1 };
        results.get(result).ok_or(missing)
    }

    /// Notes that a result is given out; an error if it was before.
    fn give_out(&self, result: usize) -> Result<(), LaunchError> {
        let bit = u32::try_from(result).ok().and_then(|shift| 1u64.checked_shl(shift));
        match bit {
            Some(bit) if self.written.get() & bit == 0 => {
                self.written.set(self.written.get() | bit);
                Ok(())
            }
            _ => Err(LaunchError::GivenOut { result }),
        }
    }

    /// A result. Each is given out once per launch.
    pub(crate) fn write<T: bytemuck::Pod>(
        &self,
        result: usize,
    ) -> Result<StridedMut<'a, T>, LaunchError> {
        self.give_out(result)?;
        // SAFETY: no operand and no other result of this launch overlaps it, launches do not run at
        // the same time, and this is the only view of it that is given out.
        unsafe { self.regions.write(self.result(result)?) }
    }

    /// A dense result under another shape, as elements of type `T`.
    fn write_as<T: bytemuck::Pod>(
        &self,
        result: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> Result<StridedMut<'a, T>, LaunchError> {
        let own = self.result(result)?;
        let dtype = if size_of::<T>() == 1 { DType::Bool } else { own.dtype };
        let (shape, strides) = (shape.iter().copied(), strides.iter().copied());
        let (shape, strides) = (shape.collect(), strides.collect());
        let shaped = BoundTensor { dtype, shape, strides, ..own.clone() };
        if shaped.span_bytes() > own.span_bytes() {
            return Err(LaunchError::Overlap);
        }
        self.give_out(result)?;
        // SAFETY: the bytes are among the result's own; as in `write`.
        unsafe { self.regions.write(&shaped) }
    }
}

/// Runs one step.
pub(crate) fn launch(kernel: &Kernel, step: &BoundLaunch, regions: &Regions<'_>) -> Launched {
    if kernel.tail != Tail::None {
        return Err(LaunchError::NoKernel);
    }
    let tensors = Tensors::new(step, regions)?;
    let t = &tensors;
    match &kernel.op {
        Op::Constant(op) => constant(op, t),
        Op::DimValue(_) => {
            let value = step.scalars.first().copied().unwrap_or(0);
            fill(t.write::<i64>(0)?, &[value])
        }
        Op::Iota(_) => {
            let count = step.results.first().and_then(|at| at.shape.first()).copied().unwrap_or(0);
            let values: Vec<i64> = (0..count as i64).collect();
            fill(t.write::<i64>(0)?, &values)
        }
        Op::Unary(op) => unary(*op, kernel, t),
        Op::Binary(op) => binary(*op, kernel, t),
        Op::Compare(op) => compare(*op, kernel, t),
        Op::Select => match kernel.results.first() {
            Some(DType::I64) => {
                Ok(kernels::select(t.read(0)?, t.read::<u64>(1)?, t.read(2)?, t.write(0)?)?)
            }
            Some(DType::Bool) => {
                Ok(kernels::select(t.read(0)?, t.read::<u8>(1)?, t.read(2)?, t.write(0)?)?)
            }
            _ => Ok(kernels::select(t.read(0)?, t.read::<u32>(1)?, t.read(2)?, t.write(0)?)?),
        },
        Op::Cast(_) => cast(kernel, t),
        Op::Gather(op) => gather(*op, kernel, t),
        Op::Reduce(op) => Ok(kernels::reduce(t.read(0)?, *op, t.write(0)?)?),
        Op::ArgMax(op) => Ok(kernels::arg_max(t.read(0)?, *op, t.write(0)?)?),
        Op::Softmax(op) => softmax(*op, t),
        Op::Sample => sample(t),
        Op::Matmul(op) => matmul(*op, kernel, t),
        Op::RmsNorm(op) => {
            let weight = weight_ref(kernel.operands[1], t.dense(1)?)?;
            Ok(kernels::rms_norm(t.read(0)?, weight, op.epsilon.get(), t.write(0)?)?)
        }
        Op::AddRmsNorm(op) => {
            let weight = weight_ref(kernel.operands[2], t.dense(2)?)?;
            let (x, residual) = (t.read(0)?, t.read(1)?);
            let (sum, normed) = (t.write(0)?, t.write(1)?);
            Ok(kernels::add_rms_norm(x, residual, weight, op.epsilon.get(), sum, normed)?)
        }
        Op::Rope(op) => {
            Ok(kernels::rope(t.read(0)?, t.dense(1)?, op.theta.get(), op.layout, t.write(0)?)?)
        }
        Op::Swiglu => Ok(kernels::swiglu(t.read(0)?, t.read(1)?, t.write(0)?)?),
        Op::Attention(op) => {
            let (scale, mask) = scale_and_mask(*op);
            Ok(kernels::attention(t.read(0)?, t.read(1)?, t.read(2)?, scale, mask, t.write(0)?)?)
        }
        Op::DiffAttention(op) => {
            let (scale, mask) = scale_and_mask(op.attention());
            let (q, k, v, lambda) = (t.read(0)?, t.read(1)?, t.read(2)?, t.read(3)?);
            Ok(kernels::diff_attention(q, k, v, lambda, scale, mask, t.write(0)?)?)
        }
        Op::Input(_)
        | Op::Weight(_)
        | Op::Return(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Broadcast(_)
        | Op::KvAppend(_) => Err(LaunchError::NoKernel),
    }
}

fn scale_and_mask(op: Attention) -> (f32, kernels::Mask) {
    let mask = match op.mask {
        Mask::Full => kernels::Mask::Full,
        Mask::Causal => kernels::Mask::Causal,
        Mask::SlidingWindow { window } => kernels::Mask::SlidingWindow(window as usize),
    };
    (op.scale.get() as f32, mask)
}

/// Writes a dense result from as many values, or from one.
fn fill<T: bytemuck::Pod + Send + Sync>(out: StridedMut<'_, T>, values: &[T]) -> Launched {
    let shape = out.shape().to_vec();
    let values = match values {
        [_] => StridedRef::new(values, &shape, &vec![0; shape.len()])?,
        _ => StridedRef::dense(values, &shape)?,
    };
    Ok(kernels::map(values, out, |value| value)?)
}

fn constant(op: &Constant, t: &Tensors<'_, '_>) -> Launched {
    match (&op.values, op.ty.dtype) {
        (Literal::Reals(values), _) => {
            let values: Vec<f32> = values.iter().map(|value| value.get() as f32).collect();
            fill(t.write(0)?, &values)
        }
        (Literal::Ints(values), DType::I32) => {
            let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
            fill(t.write(0)?, &values)
        }
        (Literal::Ints(values), _) => fill(t.write(0)?, values),
        (Literal::Bools(values), _) => {
            let values: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
            fill(t.write(0)?, &values)
        }
    }
}

fn unary(op: UnaryOp, kernel: &Kernel, t: &Tensors<'_, '_>) -> Launched {
    let real = |f: fn(f32) -> f32| Ok(kernels::map(t.read::<f32>(0)?, t.write(0)?, f)?);
    match (op, kernel.results.first()) {
        (UnaryOp::Not, _) => Ok(kernels::map(t.read::<u8>(0)?, t.write(0)?, |x: u8| x ^ 1)?),
        (UnaryOp::Neg, Some(DType::I64)) => {
            Ok(kernels::map(t.read(0)?, t.write(0)?, i64::wrapping_neg)?)
        }
        (UnaryOp::Neg, Some(DType::I32)) => {
            Ok(kernels::map(t.read(0)?, t.write(0)?, i32::wrapping_neg)?)
        }
        (UnaryOp::Abs, Some(DType::I64)) => {
            Ok(kernels::map(t.read(0)?, t.write(0)?, i64::wrapping_abs)?)
        }
        (UnaryOp::Abs, Some(DType::I32)) => {
            Ok(kernels::map(t.read(0)?, t.write(0)?, i32::wrapping_abs)?)
        }
        (UnaryOp::Neg, _) => real(|x| -x),
        (UnaryOp::Abs, _) => real(f32::abs),
        (UnaryOp::Exp, _) => real(f32::exp),
        (UnaryOp::Log, _) => real(f32::ln),
        (UnaryOp::Sqrt, _) => real(f32::sqrt),
        (UnaryOp::Rsqrt, _) => real(|x| 1.0 / x.sqrt()),
        (UnaryOp::Reciprocal, _) => real(|x| 1.0 / x),
        (UnaryOp::Sin, _) => real(f32::sin),
        (UnaryOp::Cos, _) => real(f32::cos),
        (UnaryOp::Tanh, _) => real(f32::tanh),
        (UnaryOp::Erf, _) => real(libm::erff),
        (UnaryOp::Sigmoid, _) => real(sigmoid),
        (UnaryOp::Silu, _) => real(|x| x * sigmoid(x)),
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn nan_max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

fn nan_min(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }
}

fn binary(op: BinaryOp, kernel: &Kernel, t: &Tensors<'_, '_>) -> Launched {
    match kernel.results.first() {
        Some(DType::I64) => {
            Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, |a, b| integer(op, a, b))?)
        }
        Some(DType::I32) => {
            // Widening to i64 and taking the low half is the wrapping arithmetic of i32.
            Ok(kernels::map2(t.read::<i32>(0)?, t.read::<i32>(1)?, t.write(0)?, |a, b| {
                integer(op, i64::from(a), i64::from(b)) as i32
            })?)
        }
        Some(DType::Bool) => {
            let f = |a: u8, b: u8| if op == BinaryOp::And { a & b } else { a | b };
            Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, f)?)
        }
        _ => {
            let f: fn(f32, f32) -> f32 = match op {
                BinaryOp::Add => |a, b| a + b,
                BinaryOp::Sub => |a, b| a - b,
                BinaryOp::Mul => |a, b| a * b,
                BinaryOp::Div => |a, b| a / b,
                BinaryOp::Pow => f32::powf,
                BinaryOp::Max => nan_max,
                BinaryOp::Min => nan_min,
                BinaryOp::And | BinaryOp::Or => return Err(LaunchError::NoKernel),
            };
            Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, f)?)
        }
    }
}

fn integer(op: BinaryOp, a: i64, b: i64) -> i64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div if b == 0 => 0,
        BinaryOp::Div => a.wrapping_div(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        // Inference admits these for floats and truth values only.
        BinaryOp::Pow | BinaryOp::And | BinaryOp::Or => 0,
    }
}

fn compare(op: CompareOp, kernel: &Kernel, t: &Tensors<'_, '_>) -> Launched {
    fn holds<T: PartialOrd>(op: CompareOp, a: T, b: T) -> u8 {
        u8::from(match op {
            CompareOp::Eq => a == b,
            CompareOp::Ne => a != b,
            CompareOp::Lt => a < b,
            CompareOp::Le => a <= b,
            CompareOp::Gt => a > b,
            CompareOp::Ge => a >= b,
        })
    }
    match kernel.operands.first() {
        Some(DType::I64) => {
            Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, |a: i64, b| holds(op, a, b))?)
        }
        Some(DType::I32) => {
            Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, |a: i32, b| holds(op, a, b))?)
        }
        _ => Ok(kernels::map2(t.read(0)?, t.read(1)?, t.write(0)?, |a: f32, b| holds(op, a, b))?),
    }
}

fn softmax(op: Softmax, t: &Tensors<'_, '_>) -> Launched {
    let x = t.read::<f32>(0)?;
    let is_last = op.axis + 1 == x.shape().len() && x.strides().last() == Some(&1);
    if is_last {
        Ok(kernels::softmax(x, t.write(0)?)?)
    } else {
        Ok(kernels::softmax_along(x, op.axis, t.write(0)?)?)
    }
}

fn sample(t: &Tensors<'_, '_>) -> Launched {
    let missing = |operand| LaunchError::NotDense { operand };
    let rules = kernels::Rules {
        temperature: *t.dense::<f32>(1)?.first().ok_or(missing(1))?,
        top_k: *t.dense::<i64>(2)?.first().ok_or(missing(2))?,
        top_p: *t.dense::<f32>(3)?.first().ok_or(missing(3))?,
    };
    Ok(kernels::sample(t.read(0)?, rules, t.dense(4)?, t.write(0)?)?)
}

/// Rows of any type, moved byte by byte: `data [outer, n, inner]` is dense.
fn gather(op: Gather, kernel: &Kernel, t: &Tensors<'_, '_>) -> Launched {
    let shape = &t.at(0)?.shape;
    let size = shape[op.axis];
    let width = usize::try_from(kernel.operands[0].bytes()).unwrap_or(1);
    let inner: usize = shape[op.axis + 1..].iter().product::<usize>() * width;
    let outer: usize = shape[..op.axis].iter().product();
    let indices: Vec<i64> = if kernel.operands[1] == DType::I64 {
        t.dense::<i64>(1)?.to_vec()
    } else {
        t.dense::<i32>(1)?.iter().map(|index| i64::from(*index)).collect()
    };
    let mut rows = Vec::with_capacity(indices.len());
    for index in indices {
        let row = usize::try_from(index).ok().filter(|row| *row < size);
        rows.push(row.ok_or(LaunchError::Index { index, size })?);
    }
    let data = t.dense::<u8>(0)?;
    let per_outer = rows.len();
    let count = outer * per_outer;
    if inner == 0 || count == 0 {
        return Ok(());
    }
    let out = t.write_as::<u8>(0, &[count, inner], &[inner, 1])?;
    Ok(kernels::fill_rows(out, |row, to| {
        let start = (row / per_outer * size + rows[row % per_outer]) * inner;
        to.copy_from_slice(&data[start..start + inner]);
    })?)
}

fn matmul(op: Matmul, kernel: &Kernel, t: &Tensors<'_, '_>) -> Launched {
    let (lhs, rhs) = (t.at(0)?, t.at(1)?);
    if let Storage::Weight(index) = rhs.storage
        && rhs.shape.len() == 2
        && is_whole(rhs)
    {
        return matmul_weight(op, t, &t.regions.weight(index)?.rows()?);
    }
    if kernel.operands[1] != DType::F32 {
        return Err(LaunchError::PackedWeight);
    }
    let (lhs, rhs) = (batched(lhs, &t.result(0)?.shape), batched(rhs, &t.result(0)?.shape));
    let (lhs, rhs) = (t.read_as::<f32>(0, &lhs)?, t.read_as::<f32>(1, &rhs)?);
    Ok(kernels::matmul_batched(lhs, rhs, op.transpose_rhs, t.write(0)?)?)
}

fn is_whole(at: &BoundTensor) -> bool {
    let dense = kernels::dense_strides(&at.shape);
    // Without elements, strides do not matter.
    at.byte_offset == 0 && (at.shape.contains(&0) || at.strides.iter().eq(&dense))
}

/// The operand with the batch axes of the result: missing ones and those of size 1 are read again and
/// again.
fn batched(at: &BoundTensor, result: &[usize]) -> BoundTensor {
    let (own, batch) = (at.shape.len() - 2, result.len() - 2);
    let mut strides = vec![0; batch];
    for axis in 0..own {
        let stride = if at.shape[axis] == 1 { 0 } else { at.strides[axis] };
        strides[axis + batch - own] = stride;
    }
    let shape = result[..batch].iter().chain(&at.shape[own..]).copied().collect();
    let strides = strides.iter().chain(&at.strides[own..]).copied().collect();
    BoundTensor { shape, strides, ..at.clone() }
}

/// A product with a stored matrix: all tokens of all sequences are rows of one product. Both sides are
/// dense: the target asks for it, and results are.
fn matmul_weight(op: Matmul, t: &Tensors<'_, '_>, blocks: &[WeightRows<'_>]) -> Launched {
    let (x, out) = (t.at(0)?, t.result(0)?);
    let rows: usize = out.shape[..out.shape.len() - 1].iter().product();
    let (k, n) = (x.shape[x.shape.len() - 1], out.shape[out.shape.len() - 1]);
    let x = BoundTensor {
        shape: [rows, k].into_iter().collect(),
        strides: [k, 1].into_iter().collect(),
        ..x.clone()
    };
    let x = t.read_as::<f32>(0, &x)?;
    let out = t.write_as::<f32>(0, &[rows, n], &[n, 1])?;
    match blocks {
        [block] if !op.transpose_rhs => Ok(kernels::matmul_weight_kn(x, *block, out)?),
        _ => Ok(kernels::matmul_weight(x, blocks, out)?),
    }
}
