//! One operator applied to given tensors, with the results that it should have.

use std::fmt;

use minuend::ir::DType;
use minuend_interp::{Data, Tensor};
use minuend_onnx::OnnxModel;
use minuend_onnx::proto::AttributeProto;
use minuend_tests::onnx::run::{import, interpreted};
use minuend_tests::onnx::writer::{OPSET, Writer, element_type};

/// An input of the operator.
#[derive(Clone, Debug)]
enum Given {
    /// An argument of the graph, or stored, as the check says.
    Tensor(Tensor),
    /// A tensor that the operator must know: a `Constant` node.
    Known(Tensor),
    /// Left out.
    Nothing,
}

/// See the module. Made by [`case`].
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) op: &'static str,
    what: &'static str,
    opset: i64,
    inputs: Vec<Given>,
    attributes: Vec<AttributeProto>,
    expected: Vec<Tensor>,
    /// Output of the operator that each expected tensor is.
    outputs: Vec<usize>,
    /// Its sizes must be numbers.
    is_fixed: bool,
}

/// An operator of the default opset.
pub(crate) fn case(op: &'static str, what: &'static str) -> Case {
    Case {
        op,
        what,
        opset: OPSET,
        inputs: Vec::new(),
        attributes: Vec::new(),
        expected: Vec::new(),
        outputs: Vec::new(),
        is_fixed: false,
    }
}

impl Case {
    /// An input; an argument in some of the checks.
    pub(crate) fn of(mut self, tensor: Tensor) -> Case {
        self.inputs.push(Given::Tensor(tensor));
        self
    }

    /// An input that is a constant of the file in every check.
    pub(crate) fn known(mut self, tensor: Tensor) -> Case {
        self.inputs.push(Given::Known(tensor));
        self
    }

    /// An input that is left out.
    pub(crate) fn nothing(mut self) -> Case {
        self.inputs.push(Given::Nothing);
        self
    }

    pub(crate) fn with(mut self, attribute: AttributeProto) -> Case {
        self.attributes.push(attribute);
        self
    }

    pub(crate) fn opset(self, opset: i64) -> Case {
        Case { opset, ..self }
    }

    /// The operator is not for sizes by name, or is refused there.
    pub(crate) fn fixed(self) -> Case {
        Case { is_fixed: true, ..self }
    }

    /// The next output.
    pub(crate) fn gives(self, tensor: Tensor) -> Case {
        let output = self.outputs.last().map_or(0, |last| last + 1);
        self.gives_as(output, tensor)
    }

    /// The output of that number; those in between are not asked for.
    pub(crate) fn gives_as(mut self, output: usize, tensor: Tensor) -> Case {
        self.outputs.push(output);
        self.expected.push(tensor);
        self
    }

    /// The file; `dim` is the text of the size of an argument's axis, `None` stores all inputs.
    fn model(&self, dim: Option<&dyn Fn(usize) -> String>) -> Result<OnnxModel, String> {
        let mut w = Writer::new(self.opset);
        let mut names = Vec::new();
        for (index, given) in self.inputs.iter().enumerate() {
            names.push(match (given, dim) {
                (Given::Nothing, _) => String::new(),
                (Given::Known(tensor), _) => w.constant(tensor),
                (Given::Tensor(tensor), None) => w.stored(tensor),
                (Given::Tensor(tensor), Some(dim)) => {
                    let dims: Vec<String> = tensor.shape().iter().map(|size| dim(*size)).collect();
                    let ty = element_type(tensor.dtype());
                    w.input(&format!("x{index}"), ty, &dims.join(", "))
                }
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let count = self.outputs.last().map_or(1, |last| last + 1);
        let results = w.nodes(self.op, &names, &self.attributes, count);
        for (output, name) in results.iter().enumerate() {
            if self.outputs.is_empty() || self.outputs.contains(&output) {
                w.output(name);
            } else if let Some(node) = w.graph.node.last_mut() {
                node.output[output].clear();
            }
        }
        import(w.bytes()).map_err(|error| error.to_string())
    }

    fn arguments(&self) -> Vec<Tensor> {
        let tensors = self.inputs.iter().filter_map(|given| match given {
            Given::Tensor(tensor) => Some(tensor.clone()),
            Given::Known(_) | Given::Nothing => None,
        });
        tensors.collect()
    }

    fn check(&self, model: Result<OnnxModel, String>, inputs: &[Tensor]) -> Result<(), String> {
        let found = interpreted(&model?, inputs).map_err(|error| error.to_string())?;
        assert_eq!(found.len(), self.expected.len());
        let mut pairs = found.iter().zip(&self.expected);
        pairs.try_for_each(|(found, expected)| same(found, expected))
    }

    pub(crate) fn check_with_fixed_sizes(&self) -> Result<(), String> {
        self.check(self.model(Some(&|size| size.to_string())), &self.arguments())
    }

    pub(crate) fn check_with_symbols(&self) -> Result<(), String> {
        if self.is_fixed {
            return Ok(());
        }
        self.check(self.model(Some(&named)), &self.arguments())
    }

    pub(crate) fn check_stored(&self) -> Result<(), String> {
        self.check(self.model(None), &[])
    }

    /// What the importer says where it refuses the case, with sizes that are numbers and with names.
    pub(crate) fn outcome(&self) -> Result<(), String> {
        let with_symbols = self.model(Some(&named)).map(|_| ());
        self.model(Some(&|size| size.to_string())).map(|_| ()).and(with_symbols)
    }

    /// The error of a case that is refused.
    pub(crate) fn refusal(&self) -> String {
        let refused = self.model(Some(&|size| size.to_string())).err();
        refused.unwrap_or_else(|| panic!("{self}: it is not refused"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.op, self.what)
    }
}

/// Axes of one size have one name; those of size 1 are repeated, and have none.
fn named(size: usize) -> String {
    if size == 1 { "1".into() } else { format!("n{size}") }
}

/// Runs the graph of sizes by name with every size above 1 one larger, and compares it with a graph that
/// is made for these sizes. False where the operator is not for them.
pub(crate) fn other_sizes(case: &Case) -> Result<bool, String> {
    let has_symbol =
        case.arguments().iter().any(|tensor| tensor.shape().iter().any(|size| *size > 1));
    if case.is_fixed || !has_symbol {
        return Ok(false);
    }
    let larger = |tensor: &Tensor| -> Tensor {
        let grown = |size: &usize| if *size > 1 { size + 1 } else { *size };
        let shape: Vec<usize> = tensor.shape().iter().map(grown).collect();
        let count: usize = shape.iter().product();
        // The values again and again, so that indices stay in range.
        let data = match tensor.data() {
            Data::Reals(values) => Data::Reals(repeated(values, count)),
            Data::Ints(values) => Data::Ints(repeated(values, count)),
            Data::Bools(values) => Data::Bools(repeated(values, count)),
        };
        Tensor::new(tensor.dtype(), &shape, data).unwrap()
    };
    let mut grown = case.clone();
    for given in &mut grown.inputs {
        if let Given::Tensor(tensor) = given {
            *tensor = larger(tensor);
        }
    }
    let inputs = grown.arguments();
    let fixed = grown.model(Some(&|size| size.to_string()));
    let Ok(expected) = fixed.and_then(|m| interpreted(&m, &inputs).map_err(|e| e.to_string()))
    else {
        return Ok(false);
    };
    // Sizes that the graph does not take are said, not computed wrongly.
    let Ok(found) = interpreted(&case.model(Some(&named))?, &inputs) else { return Ok(false) };
    found.iter().zip(&expected).try_for_each(|(found, expected)| same(found, expected))?;
    Ok(true)
}

fn repeated<T: Clone>(values: &[T], count: usize) -> Vec<T> {
    values.iter().cloned().cycle().take(count).collect()
}

/// Equality; of reals up to the rounding of numbers that the file holds in f32.
fn same(found: &Tensor, expected: &Tensor) -> Result<(), String> {
    let ty = |tensor: &Tensor| (tensor.dtype(), tensor.shape().to_vec());
    if ty(found) != ty(expected) {
        return Err(format!("{:?}, expected {:?}", ty(found), ty(expected)));
    }
    let is_same = match (found.data(), expected.data()) {
        (Data::Reals(a), Data::Reals(b)) => a.iter().zip(b).all(|(a, b)| is_near(*a, *b)),
        (a, b) => a == b,
    };
    if is_same {
        Ok(())
    } else {
        Err(format!("{:?}, expected {:?}", found.data(), expected.data()))
    }
}

fn is_near(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * (1.0 + b.abs())
}

/// A tensor of i32.
pub(crate) fn ints32(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_ints(DType::I32, shape, values.to_vec()).unwrap()
}

/// A tensor of f16, of values that f16 has.
pub(crate) fn halves(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_reals(DType::F16, shape, values.to_vec()).unwrap()
}
