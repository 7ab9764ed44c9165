//! An ONNX graph on the float64 reference interpreter.

use minuend_interp::{Data, Tensor, evaluate};
use minuend_ir::{DType, Graph};
use minuend_runtime::{HostTensor, WeightSource};

use crate::error::Error;
use crate::interpreted::WidenedWeights;
use crate::signature::Signature;
use crate::tensor_model::TensorModel;

/// Evaluates the graph of a file as it is, nothing fused and nothing compiled. Outputs of a float type are
/// given in f32.
pub struct InterpretedOnnxModel<'m> {
    graph: Graph,
    signature: Signature,
    weights: WidenedWeights<'m>,
    /// The float type that devices would compute in.
    pub activations: DType,
}

impl<'m> InterpretedOnnxModel<'m> {
    pub(crate) fn new(
        graph: Graph,
        signature: Signature,
        activations: DType,
        source: &'m dyn WeightSource,
    ) -> InterpretedOnnxModel<'m> {
        let weights = WidenedWeights::new(&graph, source);
        InterpretedOnnxModel { graph, signature, weights, activations }
    }
}

impl TensorModel for InterpretedOnnxModel<'_> {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run_in_order(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, Error> {
        let inputs = inputs.iter();
        let inputs = inputs.map(|t| Tensor::from_bytes(t.dtype(), t.shape(), t.bytes()));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outcome = evaluate(&self.graph, &inputs, &self.weights);
        if let Some(failure) = self.weights.take_failure() {
            return Err(failure.into());
        }
        // The number of values of a tensor fits its shape.
        Ok(outcome?.outputs.iter().filter_map(narrowed).collect())
    }
}

fn narrowed(tensor: &Tensor) -> Option<HostTensor> {
    let shape = tensor.shape();
    match tensor.data() {
        Data::Reals(values) => {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            HostTensor::from_f32(shape, &values)
        }
        Data::Ints(values) if tensor.dtype() == DType::I32 => {
            // Integers wrap around at the ends of their type.
            let bytes = values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect();
            HostTensor::from_bytes(DType::I32, shape, bytes)
        }
        Data::Ints(values) => HostTensor::from_i64(shape, values),
        Data::Bools(values) => HostTensor::from_bytes(
            DType::Bool,
            shape,
            values.iter().copied().map(u8::from).collect(),
        ),
    }
}
