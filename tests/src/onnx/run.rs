//! Runs imported models: on the interpreter, and on a device with the tensors that the file stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minuend::ir::{DType, Graph, Op};
use minuend::{
    CompileOptions, Device, Error, HostTensor, StoredTensor, WeightSource, compile, load_checked,
};
use minuend_conform::random_values::bytes_of;
use minuend_interp::{EvalError, Tensor, Weights, evaluate};
use minuend_onnx::{ImportOptions, OnnxError, OnnxModel};

/// Imports a file's bytes, which errors call `model.onnx`.
pub fn import(bytes: Vec<u8>) -> Result<OnnxModel, OnnxError> {
    OnnxModel::from_bytes(bytes, "model.onnx", &ImportOptions::default())
}

/// Every file of `tests/fixtures/onnx`.
pub fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/onnx");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    files
}

/// The tensors of an imported file, as devices load them.
pub struct FileWeights<'m>(pub &'m OnnxModel);

/// Stored tensors in the types that a graph declares, the values as they are stored: the interpreter
/// rounds nothing.
struct DeclaredWeights<'a> {
    model: &'a OnnxModel,
    graph: &'a Graph,
}

impl Weights for DeclaredWeights<'_> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        let stored = self.model.weight(name)?;
        let tensor = Tensor::from_bytes(stored.dtype, &stored.shape, &stored.data).ok()?;
        let declared = self.graph.node_ids().find_map(|id| match &self.graph.node(id).op {
            Op::Weight(weight) if weight.parts.iter().any(|part| **part == *name) => {
                Some(weight.ty.dtype)
            }
            _ => None,
        });
        match (tensor.reals(), declared) {
            (Some(values), Some(dtype)) => {
                Tensor::from_reals(dtype, &stored.shape, values.to_vec()).ok().map(Arc::new)
            }
            _ => Some(Arc::new(tensor)),
        }
    }
}

impl WeightSource for FileWeights<'_> {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let weight = self.0.weight(name)?;
        Some(StoredTensor { dtype: weight.dtype, shape: weight.shape, data: weight.data })
    }
}

/// What the imported graph computes on the interpreter.
pub fn interpreted(model: &OnnxModel, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    interpreted_graph(model.graph(), model, inputs)
}

/// What a graph made of the imported one computes on the interpreter.
pub fn interpreted_graph(
    graph: &Graph,
    model: &OnnxModel,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, EvalError> {
    Ok(evaluate(graph, inputs, &DeclaredWeights { model, graph })?.outputs)
}

/// A model that is loaded on a device.
pub struct Loaded(minuend::Executable);

impl Loaded {
    /// Compiles a model for a device and loads it.
    ///
    /// # Errors
    /// What the compiler or the device says.
    pub fn new(model: &OnnxModel, device: &dyn Device) -> Result<Loaded, Error> {
        let options = CompileOptions::default();
        let compiled = compile(model.graph().clone(), device.target(), &options)?;
        Ok(Loaded(load_checked(device, compiled.program, &FileWeights(model))?))
    }

    /// The outputs of one run.
    pub fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let inputs: Vec<HostTensor> = inputs.iter().map(host).collect();
        let outputs = self.0.session(0).unwrap().run(&inputs).unwrap();
        outputs.iter().map(tensor).collect()
    }
}

fn host(tensor: &Tensor) -> HostTensor {
    HostTensor::from_bytes(tensor.dtype(), tensor.shape(), bytes_of(tensor)).unwrap()
}

fn tensor(host: &HostTensor) -> Tensor {
    Tensor::from_bytes(host.dtype(), host.shape(), host.bytes()).unwrap()
}

/// `|found - expected| / |expected|` by L2 norms; infinite where shapes differ or a number is NaN.
pub fn relative_l2(found: &Tensor, expected: &Tensor) -> f64 {
    let (Some(a), Some(b)) = (found.reals(), expected.reals()) else { return f64::INFINITY };
    if found.shape() != expected.shape() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
    let ratio = distance / norm(&mut b.iter().copied());
    if distance == 0.0 {
        0.0
    } else if ratio.is_nan() {
        f64::INFINITY
    } else {
        ratio
    }
}

/// Random reals in -1..1.
pub fn random_reals(seed: u64, shape: &[usize]) -> Tensor {
    use minuend_conform::random_values::{RandomValues, Values};
    RandomValues::new(seed).tensor(DType::F32, shape, &Values::Within(1.0)).unwrap()
}
