//! Models that are given tensors by name, and comparing them with stored outputs.

use std::collections::BTreeMap;

use minuend_models::{FileTensor, ModelError};
use minuend_runtime::HostTensor;

use crate::check::errors;
use crate::error::{Error, RequestError};
use crate::signature::{Signature, floats, integers, names};

/// A graph that can be run, wherever that is.
pub trait TensorModel {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs it on tensors in the order of its inputs, of the types of its signature; gives the outputs in
    /// their order.
    fn run_in_order(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, Error>;

    /// Runs it on named tensors; of a map, `map.into_iter().collect()` is such a list. Gives the outputs with
    /// their names, in their order.
    ///
    /// # Errors
    /// [`Error::Inputs`] with everything that is wrong with the inputs (see [`Signature::in_order`]), and
    /// whatever the run gives.
    fn run(
        &mut self,
        inputs: Vec<(String, HostTensor)>,
    ) -> Result<Vec<(String, HostTensor)>, Error> {
        let inputs = self.signature().in_order(inputs)?;
        let outputs = self.run_in_order(inputs)?;
        let names = self.signature().outputs.iter().map(|output| output.name.clone());
        Ok(names.zip(outputs).collect())
    }
}

/// What one stored tensor and a model's own have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorCheck {
    /// The output.
    pub name: String,
    /// What was compared.
    pub kind: TensorCheckKind,
    /// Whether it is close enough.
    pub passed: bool,
}

/// How far an output is from the stored one.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorCheckKind {
    /// Of a float type.
    Floats {
        /// `||found - expected|| / ||expected||`, in L2.
        relative_l2: f64,
        /// Largest absolute error over the root mean square of the expected values.
        worst_over_rms: f64,
    },
    /// Integers and truth values, which must be equal.
    Exact {
        /// Elements compared.
        compared: usize,
        /// Elements that differ.
        different: usize,
        /// The first of them, in row-major order.
        first_difference: Option<usize>,
    },
}

/// What became of a file of inputs and expected outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorChecks {
    /// One for each output in the file, in the order of the outputs.
    pub checks: Vec<TensorCheck>,
    /// Outputs that the file does not have.
    pub not_compared: Vec<String>,
}

/// Runs a model on the tensors that have the names of its inputs, and compares its outputs with those that
/// have their names. `tolerance` is of the relative L2 error of floats.
///
/// # Errors
/// [`RequestError::UnknownTensors`] for a name that is neither, [`RequestError::NoOutputs`] if there is
/// nothing to compare, [`RequestError::OutputType`] for an output of another type or shape;
/// [`Error::Inputs`], and whatever the run gives.
pub fn check_tensors(
    model: &mut dyn TensorModel,
    mut stored: BTreeMap<String, HostTensor>,
    tolerance: f64,
) -> Result<TensorChecks, Error> {
    let signature = model.signature();
    let is_in = |types: &[crate::NamedType], name: &str| types.iter().any(|ty| ty.name == name);
    let is_known = |name: &str| is_in(&signature.inputs, name) || is_in(&signature.outputs, name);
    let unknown: Vec<&str> =
        stored.keys().map(String::as_str).filter(|name| !is_known(name)).collect();
    let (inputs, outputs) = (names(&signature.inputs), names(&signature.outputs));
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(RequestError::UnknownTensors { unknown, inputs, outputs }.into());
    }
    let expected: Vec<Option<HostTensor>> = signature
        .outputs
        .iter()
        .map(|output| taken(&mut stored, signature, &output.name))
        .collect();
    if expected.iter().all(Option::is_none) {
        return Err(RequestError::NoOutputs { outputs }.into());
    }
    let found = model.run(stored.into_iter().collect())?;
    let mut done = TensorChecks { checks: Vec::new(), not_compared: Vec::new() };
    for ((name, found), expected) in found.into_iter().zip(expected) {
        match expected {
            Some(expected) => done.checks.push(check(name, &found, &expected, tolerance)?),
            None => done.not_compared.push(name),
        }
    }
    Ok(done)
}

/// The tensor of an output; it stays where it is an input of the same name, too.
fn taken(
    stored: &mut BTreeMap<String, HostTensor>,
    signature: &Signature,
    name: &str,
) -> Option<HostTensor> {
    match signature.inputs.iter().any(|input| input.name == name) {
        true => stored.get(name).cloned(),
        false => stored.remove(name),
    }
}

fn check(
    name: String,
    found: &HostTensor,
    expected: &HostTensor,
    tolerance: f64,
) -> Result<TensorCheck, RequestError> {
    let ty = |tensor: &HostTensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
    let is_alike = found.dtype() == expected.dtype()
        || (found.dtype().is_float() && expected.dtype().is_float())
        || (found.dtype().is_int() && expected.dtype().is_int());
    if !is_alike || found.shape() != expected.shape() {
        return Err(RequestError::OutputType { name, found: ty(expected), expected: ty(found) });
    }
    let (kind, passed) = match (floats(found), floats(expected)) {
        (Some(found), Some(expected)) => {
            let (relative_l2, worst_over_rms) = errors(&found, &expected);
            // NaN compares as not close.
            let passed = relative_l2 <= tolerance;
            (TensorCheckKind::Floats { relative_l2, worst_over_rms }, passed)
        }
        _ => {
            let [found, expected] =
                [found, expected].map(|ints| integers(ints).unwrap_or_default());
            let differs = |(found, expected): (&i64, &i64)| found != expected;
            let different = found.iter().zip(&expected).filter(|pair| differs(*pair)).count();
            let first_difference = found.iter().zip(&expected).position(differs);
            let compared = expected.len();
            (TensorCheckKind::Exact { compared, different, first_difference }, different == 0)
        }
    };
    Ok(TensorCheck { name, kind, passed })
}

/// Reads named tensors from a safetensors file: the inputs of a graph, or what it should give. Floats of 64
/// bits are rounded to f32, and integers of 8 bits are widened to i32, as graphs compute in them.
///
/// # Errors
/// [`Error::Model`].
pub fn read_tensors(
    path: impl AsRef<std::path::Path>,
) -> Result<BTreeMap<String, HostTensor>, Error> {
    let label = path.as_ref().display().to_string();
    let mut tensors = BTreeMap::new();
    for (name, tensor) in minuend_models::read_tensors(path)? {
        let FileTensor { dtype, shape, data } = tensor;
        // The file's own checks leave truth values that are neither 0 nor 1.
        let decoded = HostTensor::from_bytes(dtype, &shape, data.to_vec());
        let decoded = decoded.ok_or_else(|| ModelError::TensorTypes {
            path: label.clone(),
            problems: vec![format!("tensor {name} is {dtype} with other bytes than 0 and 1")],
        })?;
        tensors.insert(name, decoded);
    }
    Ok(tensors)
}

/// Writes named tensors to a safetensors file.
///
/// # Errors
/// [`Error::Model`] if the file cannot be written.
pub fn write_tensors(
    path: impl AsRef<std::path::Path>,
    tensors: &[(String, HostTensor)],
) -> Result<(), Error> {
    let tensors = tensors.iter().map(|(name, tensor)| {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        (name.clone(), FileTensor { dtype, shape, data: tensor.bytes().to_vec().into() })
    });
    Ok(minuend_models::write_tensors(path, &tensors.collect())?)
}
