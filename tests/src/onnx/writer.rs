//! Writes ONNX models as exporters do: nodes with attributes, stored tensors, sizes by name, functions.

use bytes::Bytes;
use minuend::ir::DType;
use minuend_conform::random_values::bytes_of;
use minuend_interp::Tensor;
use minuend_onnx::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, Message, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    attribute_type, data_type,
};

/// The opset of a model that says nothing else.
pub const OPSET: i64 = 18;

/// A graph under construction. Names of values are given out by the writer unless a method takes one.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The graph so far.
    pub graph: GraphProto,
    /// Functions that nodes may call.
    pub functions: Vec<FunctionProto>,
    opset: i64,
    count: usize,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new(OPSET)
    }
}

impl Writer {
    /// An empty graph whose nodes are of that opset.
    pub fn new(opset: i64) -> Writer {
        let graph = GraphProto { name: "main".into(), ..GraphProto::default() };
        Writer { graph, functions: Vec::new(), opset, count: 0 }
    }

    /// A name that no value has.
    fn fresh(&mut self, stem: &str) -> String {
        self.count += 1;
        format!("/{stem}_{}", self.count)
    }

    /// An input of the graph; `dims` as in [`dims`].
    pub fn input(&mut self, name: &str, element_type: i32, dims: &str) -> String {
        self.graph.input.push(value_info(name, element_type, dims));
        name.to_string()
    }

    /// An initializer, its data in `raw_data`.
    pub fn stored(&mut self, tensor: &Tensor) -> String {
        let name = self.fresh("stored");
        self.named(&name, tensor)
    }

    /// An initializer of that name.
    pub fn named(&mut self, name: &str, tensor: &Tensor) -> String {
        self.graph.initializer.push(tensor_proto(name, tensor));
        name.to_string()
    }

    /// A `Constant` node of an i64 vector, as exporters write the numbers of shape arithmetic.
    pub fn constant_ints(&mut self, values: &[i64]) -> String {
        let tensor = ints(&[values.len()], values);
        self.constant(&tensor)
    }

    /// A `Constant` node of an i64 scalar.
    pub fn constant_int(&mut self, value: i64) -> String {
        self.constant(&ints(&[], &[value]))
    }

    /// A `Constant` node of an f32 scalar.
    pub fn constant_real(&mut self, value: f64) -> String {
        self.constant(&reals(&[], &[value]))
    }

    /// A `Constant` node.
    pub fn constant(&mut self, tensor: &Tensor) -> String {
        self.node("Constant", &[], &[of_tensor("value", tensor)])
    }

    /// A node of one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        let mut outputs = self.nodes(op, inputs, attributes, 1);
        outputs.remove(0)
    }

    /// A node of several outputs. An empty name of an input leaves it out.
    pub fn nodes(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
        outputs: usize,
    ) -> Vec<String> {
        self.of_domain("", op, inputs, attributes, outputs)
    }

    /// A node of another operator set, or a call of a function.
    pub fn of_domain(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
        outputs: usize,
    ) -> Vec<String> {
        let name = self.fresh(op);
        let outputs: Vec<String> =
            (0..outputs).map(|output| format!("{name}_output_{output}")).collect();
        let mut node = node_proto(op, inputs, &[], attributes);
        (node.name, node.domain, node.output) = (name, domain.to_string(), outputs.clone());
        self.graph.node.push(node);
        outputs
    }

    /// An output of the graph, whose type the file does not say.
    pub fn output(&mut self, name: &str) {
        self.graph.output.push(ValueInfoProto { name: name.to_string(), r#type: None });
    }

    /// An output of that name, which is the value.
    pub fn output_as(&mut self, name: &str, value: &str) {
        let node = node_proto("Identity", &[value], &[name], &[]);
        self.graph.node.push(NodeProto { name: format!("/{name}"), ..node });
        self.output(name);
    }

    /// The file.
    pub fn model(&self) -> ModelProto {
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        let mut domains: Vec<&str> = self.functions.iter().map(|f| f.domain.as_str()).collect();
        domains.retain(|domain| !domain.is_empty());
        domains.sort_unstable();
        domains.dedup();
        let mut opset_import = vec![opset("", self.opset)];
        opset_import.extend(domains.into_iter().map(|domain| opset(domain, 1)));
        ModelProto {
            ir_version: 8,
            producer_name: "writer".into(),
            producer_version: "1".into(),
            graph: Some(self.graph.clone()),
            opset_import,
            functions: self.functions.clone(),
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.model().encode_to_vec()
    }
}

/// A function of the file. Its nodes are of the standard operators.
pub fn function(
    domain: &str,
    name: &str,
    inputs: &[&str],
    outputs: &[&str],
    nodes: Vec<NodeProto>,
) -> FunctionProto {
    FunctionProto {
        name: name.into(),
        input: owned(inputs),
        output: owned(outputs),
        node: nodes,
        opset_import: vec![
            OperatorSetIdProto { domain: String::new(), version: OPSET },
            OperatorSetIdProto { domain: domain.into(), version: 1 },
        ],
        domain: domain.into(),
        ..FunctionProto::default()
    }
}

/// A node without a name.
pub fn node_proto(
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[AttributeProto],
) -> NodeProto {
    NodeProto {
        input: owned(inputs),
        output: owned(outputs),
        op_type: op.into(),
        attribute: attributes.to_vec(),
        ..NodeProto::default()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// The type of an input; `dims` as in [`dims`].
pub fn value_info(name: &str, element_type: i32, dims: &str) -> ValueInfoProto {
    let shape = Some(TensorShapeProto { dim: self::dims(dims) });
    let tensor_type = Some(TensorTypeProto { elem_type: element_type, shape });
    ValueInfoProto { name: name.to_string(), r#type: Some(TypeProto { tensor_type }) }
}

/// Sizes with commas between them: a number, a name, or `?` for one that the file does not say. `batch, 3, ?`.
pub fn dims(text: &str) -> Vec<DimensionProto> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let dim = |word: &str| match word.parse::<i64>() {
        Ok(size) => DimensionProto { dim_value: Some(size), dim_param: None },
        Err(_) if word == "?" => DimensionProto::default(),
        Err(_) => DimensionProto { dim_value: None, dim_param: Some(word.to_string()) },
    };
    words.map(dim).collect()
}

/// The number of an element type in the schema.
pub fn element_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => data_type::FLOAT,
        DType::F16 => data_type::FLOAT16,
        DType::Bf16 => data_type::BFLOAT16,
        DType::I64 => data_type::INT64,
        DType::I32 => data_type::INT32,
        DType::Bool => data_type::BOOL,
    }
}

/// A stored tensor, its data in `raw_data`.
pub fn tensor_proto(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape().iter().map(|size| *size as i64).collect(),
        data_type: element_type(tensor.dtype()),
        name: name.to_string(),
        raw_data: Some(bytes_of(tensor).into()),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, ty: i32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: ty, ..AttributeProto::default() }
}

/// An attribute of an integer.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, attribute_type::INT) }
}

/// An attribute of integers.
pub fn of_ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, attribute_type::INTS) }
}

/// An attribute of a float.
pub fn real(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, attribute_type::FLOAT) }
}

/// An attribute of floats.
pub fn of_reals(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, attribute_type::FLOATS) }
}

/// An attribute of text.
pub fn text(name: &str, text: &str) -> AttributeProto {
    let s = Bytes::copy_from_slice(text.as_bytes());
    AttributeProto { s, ..attribute(name, attribute_type::STRING) }
}

/// An attribute of a tensor.
pub fn of_tensor(name: &str, tensor: &Tensor) -> AttributeProto {
    AttributeProto { t: Some(tensor_proto("", tensor)), ..attribute(name, attribute_type::TENSOR) }
}

/// An attribute of a graph.
pub fn of_graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, attribute_type::GRAPH) }
}

/// An attribute that the caller of a function gives.
pub fn referred(name: &str, ref_attr_name: &str, ty: i32) -> AttributeProto {
    AttributeProto { ref_attr_name: ref_attr_name.into(), ..attribute(name, ty) }
}

/// A tensor of f32.
pub fn reals(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_reals(DType::F32, shape, values.to_vec()).unwrap()
}

/// A tensor of i64.
pub fn ints(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_ints(DType::I64, shape, values.to_vec()).unwrap()
}

/// A tensor of truth values, written as 0 and 1.
pub fn truths(shape: &[usize], values: &[u8]) -> Tensor {
    Tensor::from_bools(shape, values.iter().map(|value| *value != 0).collect()).unwrap()
}
