//! A graph under test together with the values of its arguments.

use std::collections::HashMap;
use std::sync::Arc;

use minuend_interp::{EvalError, Outcome, Tensor, evaluate};
use minuend_ir::{DType, Graph, SymbolTable, TensorType, ValueId};

/// A graph and its inputs, in order of declaration.
pub(crate) struct Case {
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<Tensor>,
    noise: u64,
}

impl Case {
    pub(crate) fn new() -> Case {
        Case {
            graph: Graph::new("case", SymbolTable::default()),
            inputs: Vec::new(),
            noise: 20_260_120,
        }
    }

    /// An argument with the type of its value.
    pub(crate) fn given(&mut self, value: Tensor) -> ValueId {
        let ty = TensorType::fixed(value.dtype(), value.shape());
        self.inputs.push(value);
        self.graph.argument(&format!("x{}", self.inputs.len()), ty).unwrap()
    }

    pub(crate) fn reals(&mut self, shape: &[usize], values: &[f64]) -> ValueId {
        self.given(Tensor::from_reals(DType::F32, shape, values.to_vec()).unwrap())
    }

    pub(crate) fn ints(&mut self, shape: &[usize], values: &[i64]) -> ValueId {
        self.given(Tensor::from_ints(DType::I64, shape, values.to_vec()).unwrap())
    }

    pub(crate) fn small_ints(&mut self, shape: &[usize], values: &[i64]) -> ValueId {
        self.given(Tensor::from_ints(DType::I32, shape, values.to_vec()).unwrap())
    }

    pub(crate) fn bools(&mut self, shape: &[usize], values: &[bool]) -> ValueId {
        self.given(Tensor::from_bools(shape, values.to_vec()).unwrap())
    }

    /// An f32 argument of reproducible values between -2 and 2.
    pub(crate) fn noise(&mut self, shape: &[usize]) -> ValueId {
        self.noise_of(DType::F32, shape)
    }

    pub(crate) fn noise_of(&mut self, dtype: DType, shape: &[usize]) -> ValueId {
        let values = (0..shape.iter().product()).map(|_| self.next_noise()).collect();
        self.given(Tensor::from_reals(dtype, shape, values).unwrap())
    }

    /// A linear congruential generator (Knuth's MMIX constants).
    fn next_noise(&mut self) -> f64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005);
        self.noise = self.noise.wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 32) as f64 / f64::from(1u32 << 30) - 2.0
    }

    pub(crate) fn evaluate(&mut self, outputs: &[ValueId]) -> Result<Outcome, EvalError> {
        self.graph.set_return(outputs, &[]).unwrap();
        evaluate(&self.graph, &self.inputs, &no_weights())
    }

    pub(crate) fn outputs(&mut self, outputs: &[ValueId]) -> Vec<Tensor> {
        self.evaluate(outputs).unwrap().outputs
    }

    pub(crate) fn output(&mut self, output: ValueId) -> Tensor {
        self.outputs(&[output]).remove(0)
    }

    /// The one output, which must be floats of that shape.
    pub(crate) fn real_output(&mut self, output: ValueId, shape: &[usize]) -> Vec<f64> {
        let tensor = self.output(output);
        assert_eq!(tensor.shape(), shape);
        tensor.reals().unwrap().to_vec()
    }

    /// The message of the error that evaluation must end in.
    pub(crate) fn error(&mut self, output: ValueId) -> String {
        self.evaluate(&[output]).unwrap_err().to_string()
    }
}

pub(crate) fn no_weights() -> HashMap<String, Arc<Tensor>> {
    HashMap::new()
}

/// Equal up to `tolerance`, absolute for values below 1 and relative above. NaN equals NaN.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        let same = found == expected || (found.is_nan() && expected.is_nan());
        assert!(close || same, "value {index} is {found}, expected {expected}");
    }
}
