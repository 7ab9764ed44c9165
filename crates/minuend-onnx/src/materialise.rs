//! What becomes of a value of the file that the graph computes with: sizes, literals, formulas, weights.

use std::rc::Rc;

use minuend_ir::ops::{Constant, Literal};
use minuend_ir::{DType, Dim, Emit, Op, Real, TensorType, ValueId};
use smallvec::SmallVec;

use crate::formula;
use crate::import::Importer;
use crate::node::Refusal;
use crate::stored::Stored;
use crate::value::{Sizes, Value};

/// A stored vector of up to so many floats is a literal, which passes can read: frequencies, scales.
const MOST_LITERAL_REALS: usize = 256;
/// Stored truth values and integers are literals up to this many.
const MOST_LITERALS: usize = 1 << 20;

impl Importer {
    /// A value as a value of the graph.
    pub(crate) fn tensor(&mut self, value: &Value) -> Result<ValueId, Refusal> {
        match value {
            Value::Tensor(value) => Ok(*value),
            Value::Sizes(sizes) => self.sizes_tensor(sizes),
            Value::Stored(stored) => self.stored_tensor(stored),
            Value::Unknown => Err(Refusal::Narrowed),
        }
    }

    fn sizes_tensor(&mut self, sizes: &Sizes) -> Result<ValueId, Refusal> {
        if let Some(ints) = sizes.as_ints() {
            let ty = TensorType::fixed(sizes.dtype, &sizes.shape);
            let constant = Constant { ty, values: Literal::Ints(ints.into()) };
            return Ok(self.graph.value(Op::Constant(constant), &[])?);
        }
        let parts: SmallVec<[ValueId; 8]> = sizes
            .elements
            .iter()
            .map(|size| {
                let size = self.graph.dim(size.clone())?;
                self.graph.reshape(size, &[Dim::one()])
            })
            .collect::<Result<_, _>>()?;
        let joined = match parts.as_slice() {
            [part] => *part,
            parts => self.graph.concat(0, parts)?,
        };
        let shape: Vec<Dim> = sizes.shape.iter().copied().map(Dim::from).collect();
        let joined = self.graph.reshape(joined, &shape)?;
        Ok(self.graph.cast(joined, sizes.dtype)?)
    }

    /// A weight, as a value of that type.
    pub(crate) fn weight(&mut self, stored: &Rc<Stored>, to: DType) -> Result<ValueId, Refusal> {
        let name = self.weights.add(stored);
        let ty = TensorType::fixed(loaded_dtype(stored, to), &stored.shape);
        let weight = self.graph.weight(&name, ty)?;
        Ok(self.graph.cast(weight, to)?)
    }

    /// A literal, an expression that computes it, or a weight.
    pub(crate) fn stored_tensor(&mut self, stored: &Rc<Stored>) -> Result<ValueId, Refusal> {
        // Only initializers and nodes have names, and these are unique.
        if let Some(value) = self.materialised.get(&stored.name).filter(|_| !stored.name.is_empty())
        {
            return Ok(*value);
        }
        let to = self.activation(stored.dtype);
        let value = match (formula::of(stored, &mut self.graph)?, literal(stored)) {
            (Some(value), _) => self.graph.cast(value, to)?,
            (None, Some(values)) => {
                // A literal is exact in any type; it is rounded where it is computed with.
                let ty = TensorType::fixed(to, &stored.shape);
                self.graph.value(Op::Constant(Constant { ty, values }), &[])?
            }
            (None, None) if stored.dtype.is_float() => self.weight(stored, to)?,
            (None, None) => {
                let found = format!(
                    "a constant of {} elements of type {}",
                    stored.elements(),
                    stored.dtype
                );
                return Err(Refusal::new(found, format!("expected at most {MOST_LITERALS}")));
            }
        };
        if !stored.name.is_empty() {
            self.materialised.insert(stored.name.clone(), value);
        }
        Ok(value)
    }
}

/// True for floats that are neither a literal nor computed by a formula.
pub(crate) fn is_weight(stored: &Stored) -> bool {
    stored.dtype.is_float() && stored.formula().is_none() && literal(stored).is_none()
}

/// The element type in which a stored float tensor is loaded that is computed with in type `to`. To 16 bits
/// it is converted once, when it is loaded; otherwise kernels widen it as they read it.
pub(crate) fn loaded_dtype(stored: &Stored, to: DType) -> DType {
    if matches!(to, DType::F16 | DType::Bf16) { to } else { stored.dtype }
}

/// The values of a tensor that is small, or that passes should read.
fn literal(stored: &Stored) -> Option<Literal> {
    let count = stored.elements();
    let is_vector = stored.shape.iter().filter(|size| **size != 1).count() <= 1;
    match stored.dtype {
        DType::F32 | DType::F16 | DType::Bf16 => {
            if count > MOST_LITERAL_REALS || !is_vector || count == 0 {
                return None;
            }
            Some(Literal::Reals(stored.reals()?.into_iter().map(Real::new).collect()))
        }
        DType::I64 | DType::I32 => {
            let values = stored.ints().filter(|_| count <= MOST_LITERALS)?;
            Some(Literal::Ints(values.into()))
        }
        DType::Bool => {
            let values = stored.bools().filter(|_| count <= MOST_LITERALS)?;
            Some(Literal::Bools(values.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use minuend_ir::DType;
    use prost::Message;

    use crate::proto::{
        AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
    };
    use crate::{ImportOptions, OnnxModel};

    fn node(op_type: &str, input: &[&str], output: &str, to: Option<i32>) -> NodeProto {
        let attribute = to.map(|to| AttributeProto {
            name: "to".into(),
            i: i64::from(to),
            ..AttributeProto::default()
        });
        NodeProto {
            op_type: op_type.into(),
            input: input.iter().map(|name| (*name).to_string()).collect(),
            output: vec![output.into()],
            attribute: attribute.into_iter().collect(),
            ..NodeProto::default()
        }
    }

    fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
        let dim = |size: &i64| DimensionProto { dim_value: Some(*size), dim_param: None };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor_type = Some(TensorTypeProto { elem_type, shape });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    }

    fn floats(name: &str, dims: &[i64]) -> TensorProto {
        let count = dims.iter().product::<i64>() as usize;
        TensorProto {
            dims: dims.to_vec(),
            data_type: data_type::FLOAT,
            float_data: (0..count).map(|i| (i as f32).sin()).collect(),
            name: name.into(),
            ..TensorProto::default()
        }
    }

    /// The text of the graph of these nodes with the stored matrix `w` and vector `v`.
    fn graph(nodes: Vec<NodeProto>, x: i32, activations: Option<DType>) -> String {
        let graph = GraphProto {
            node: nodes,
            initializer: vec![floats("w", &[300, 300]), floats("v", &[300])],
            input: vec![value("x", x, &[2, 300])],
            output: vec![value("y", x, &[])],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 18 }];
        let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
        let options = ImportOptions { activations };
        let model = OnnxModel::from_bytes(model.encode_to_vec(), "model.onnx", &options).unwrap();
        minuend_ir::verify::verify(model.graph()).unwrap();
        model.graph().to_string()
    }

    #[test]
    fn weights_are_loaded_in_the_16_bits_that_are_computed_in() {
        let nodes =
            || vec![node("MatMul", &["x", "w"], "p", None), node("Add", &["p", "v"], "y", None)];
        let narrow = graph(nodes(), data_type::FLOAT, Some(DType::Bf16));
        assert!(!narrow.contains("f32") && !narrow.contains("cast"), "{narrow}");
        assert!(narrow.contains("weight {name = \"w^T\"} : bf16[300, 300]"), "{narrow}");
        let wide = graph(nodes(), data_type::FLOAT, None);
        assert!(wide.contains("weight {name = \"w^T\"} : f32[300, 300]"), "{wide}");
    }

    #[test]
    fn narrowing_casts_of_weights_are_done_at_load_and_others_stay() {
        let half = Some(data_type::FLOAT16);
        let nodes = vec![node("Cast", &["v"], "n", half), node("Add", &["x", "n"], "y", None)];
        let narrow = graph(nodes, data_type::FLOAT16, None);
        assert!(narrow.contains("weight {name = \"v\"} : f16[300]"), "{narrow}");
        assert!(!narrow.contains("cast"), "{narrow}");
        let single = Some(data_type::FLOAT);
        let nodes = vec![node("Cast", &["x"], "c", single), node("Add", &["c", "v"], "y", None)];
        let wide = graph(nodes, data_type::FLOAT16, None);
        assert!(
            wide.contains("weight {name = \"v\"} : f32[300]") && wide.contains("cast %x"),
            "{wide}"
        );
    }
}
