//! ONNX files: a graph of named tensors, and its weights.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minuend_codegen::Target;
use minuend_ir::order::topological;
use minuend_ir::{DType, Graph, Op};
use minuend_models::StoredDtype;
use minuend_onnx::ImportOptions;
use minuend_passes::PipelineReport;
use minuend_runtime::{Device, Executable, HostTensor, Session, StoredTensor, WeightSource};

use crate::activations::Activations;
use crate::check::tolerance_behind;
use crate::compile::{CompileOptions, Compiled, compile, fuse};
use crate::error::Error;
use crate::interpreted_onnx::InterpretedOnnxModel;
use crate::load::load;
use crate::signature::Signature;
use crate::tensor_model::TensorModel;

/// The graph of an ONNX file with its weights, not compiled yet.
///
/// [`Activations::Auto`] keeps the float types of the file where the target has kernels for all of them, and
/// computes everything in f32 elsewhere. Any other choice computes everything that is of a float type in
/// that one.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    path: PathBuf,
    /// In the types of the file.
    imported: minuend_onnx::OnnxModel,
    activations: Activations,
}

impl OnnxModel {
    /// Reads a file. Tensor data is mapped and not read; the file, and files of external data beside it, must
    /// not be changed as long as the model lives.
    ///
    /// # Errors
    /// [`Error::Onnx`] with everything that is damaged or not supported.
    pub fn open(path: impl AsRef<Path>) -> Result<OnnxModel, Error> {
        let path = path.as_ref().to_path_buf();
        let imported = minuend_onnx::OnnxModel::open(&path, &ImportOptions::default())?;
        Ok(OnnxModel { path, imported, activations: Activations::Auto })
    }

    /// The same model with activations of another type; of a new model it is [`Activations::Auto`].
    pub fn with_activations(self, activations: Activations) -> OnnxModel {
        OnnxModel { activations, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program that wrote the file, as it calls itself.
    pub fn producer(&self) -> &str {
        self.imported.producer()
    }

    /// Version of the standard operators.
    pub fn opset(&self) -> i64 {
        self.imported.opset()
    }

    /// Nodes of the file, functions expanded.
    pub fn nodes(&self) -> usize {
        self.imported.nodes()
    }

    /// What is unusual about the file.
    pub fn notes(&self) -> &[String] {
        self.imported.notes()
    }

    /// What the graph takes and gives, in the types of the file.
    pub fn signature(&self) -> Signature {
        Signature::of(self.imported.graph(), self.imported.output_names())
    }

    /// The graph in primitive ops, for no target in particular: in the types of the file unless another type
    /// is asked for.
    ///
    /// # Errors
    /// [`Error::Onnx`] if the file cannot be read in that type.
    pub fn graph(&self) -> Result<Graph, Error> {
        Ok(self.imported_in(self.asked_for())?.graph().clone())
    }

    /// The graph in primitive ops, with the activations that [`OnnxModel::compile`] gives it on a target.
    ///
    /// # Errors
    /// As [`OnnxModel::graph`], and [`Error::Request`] if a type is asked for that the target has no kernels
    /// for.
    pub fn graph_for(&self, target: &dyn Target) -> Result<Graph, Error> {
        Ok(self.imported_in(self.chosen_for(target)?)?.graph().clone())
    }

    /// The one type to compute in, if another one than the file's own is asked for.
    fn asked_for(&self) -> Option<DType> {
        match self.activations {
            Activations::Auto => None,
            Activations::Of(dtype) => Some(dtype),
        }
    }

    fn chosen_for(&self, target: &dyn Target) -> Result<Option<DType>, Error> {
        if self.activations == Activations::Auto {
            let supported = target.activation_dtypes();
            let has_all =
                float_types(self.imported.graph()).iter().all(|dtype| supported.contains(dtype));
            return Ok(if has_all { None } else { Some(DType::F32) });
        }
        Ok(Some(self.activations.dtype(target, StoredDtype::F32)?))
    }

    /// The file with everything of a float type in that one, or as it is.
    fn imported_in(
        &self,
        activations: Option<DType>,
    ) -> Result<Cow<'_, minuend_onnx::OnnxModel>, Error> {
        let own = float_types(self.imported.graph());
        match activations {
            Some(dtype) if own.iter().any(|own| *own != dtype) => {
                let options = ImportOptions { activations };
                Ok(Cow::Owned(minuend_onnx::OnnxModel::open(&self.path, &options)?))
            }
            Some(_) | None => Ok(Cow::Borrowed(&self.imported)),
        }
    }

    /// Largest relative L2 error of outputs against exact ones, where activations are of that type: 1e-5 in
    /// f32, and in 16 bits what [`logits_tolerance`](crate::logits_tolerance) gives a language model of as many
    /// layers as the fused graph has attention ops (softmaxes that stay alone counted too).
    ///
    /// # Errors
    /// [`Error::Compile`] if a pass fails.
    pub fn tolerance(&self, activations: DType) -> Result<f64, Error> {
        let layers = match activations {
            DType::F16 | DType::Bf16 => {
                let mut graph = self.imported.graph().clone();
                fuse(&mut graph, &CompileOptions::default())?;
                let ops = graph.op_counts();
                let count = |op: &str| ops.get(op).copied().unwrap_or(0);
                count("attention") + count("diff_attention") + count("softmax")
            }
            DType::F32 | DType::I64 | DType::I32 | DType::Bool => 0,
        };
        Ok(tolerance_behind(activations, layers))
    }

    /// Compiles the graph and loads it on a device, behind the check of
    /// [`load_checked`](crate::load_checked) unless the options leave it out.
    ///
    /// # Errors
    /// [`Error::Compile`] or [`Error::Device`]; [`Error::Request`] for activations that the device does not
    /// have.
    pub fn compile(
        &self,
        device: &dyn Device,
        options: &CompileOptions,
    ) -> Result<CompiledOnnxModel, Error> {
        self.compile_reporting(device, options, &|_, _| {})
    }

    /// As [`OnnxModel::compile`]; `loaded` sees how many bytes of how many are given to the device before each
    /// tensor.
    ///
    /// # Errors
    /// As [`OnnxModel::compile`].
    pub fn compile_reporting(
        &self,
        device: &dyn Device,
        options: &CompileOptions,
        loaded: &dyn Fn(u64, u64),
    ) -> Result<CompiledOnnxModel, Error> {
        let imported = self.imported_in(self.chosen_for(device.target())?)?;
        let signature = Signature::of(imported.graph(), imported.output_names());
        let activations = coarsest(imported.graph());
        let Compiled { program, report, time, plan_time, .. } =
            compile(imported.graph().clone(), device.target(), options)?;
        let (executable, load_time) = load(device, program, &Stored(&imported), options, loaded)?;
        Ok(CompiledOnnxModel {
            signature,
            executable,
            report,
            compile_time: time,
            plan_time,
            load_time,
            device: device.name(),
            activations,
        })
    }

    /// The graph on the float64 reference interpreter: slow, and the definition of right. It rounds no
    /// activation. Where activations in 16 bits are asked for, weights are rounded as a device rounds them.
    ///
    /// # Errors
    /// As [`OnnxModel::graph`].
    pub fn interpreted(&self) -> Result<InterpretedOnnxModel<'_>, Error> {
        let imported = self.imported_in(self.asked_for())?;
        let signature = Signature::of(imported.graph(), imported.output_names());
        let activations = coarsest(imported.graph());
        let graph = imported.graph().clone();
        Ok(InterpretedOnnxModel::new(graph, signature, activations, self))
    }
}

/// Weights are stored tensors of the file, in their stored types; the type of activations does not
/// change them.
impl WeightSource for OnnxModel {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        Stored(&self.imported).stored(name)
    }
}

/// The stored tensors of one import.
struct Stored<'a>(&'a minuend_onnx::OnnxModel);

impl WeightSource for Stored<'_> {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let minuend_onnx::WeightData { dtype, shape, data } = self.0.weight(name)?;
        Some(StoredTensor { dtype, shape, data })
    }
}

/// The float types that a graph computes in; those of weights do not count, for kernels widen them.
fn float_types(graph: &Graph) -> BTreeSet<DType> {
    let nodes = topological(graph).into_iter().map(|id| graph.node(id));
    let computed = nodes.filter(|node| !matches!(node.op, Op::Weight(_)));
    let types = computed.flat_map(|node| node.results.iter().map(|ty| ty.dtype));
    types.filter(|dtype| dtype.is_float()).collect()
}

/// The least exact float type that a graph computes in; f32 if there is none.
fn coarsest(graph: &Graph) -> DType {
    let types = float_types(graph);
    let found = [DType::Bf16, DType::F16].into_iter().find(|dtype| types.contains(dtype));
    found.unwrap_or(DType::F32)
}

/// An ONNX graph compiled and loaded on a device: immutable, shared by any number of sessions.
#[derive(Clone)]
pub struct CompiledOnnxModel {
    signature: Signature,
    executable: Executable,
    /// Passes, rewrites and near-misses.
    pub report: PipelineReport,
    /// Time for passes and plan.
    pub compile_time: Duration,
    /// The part of `compile_time` that the plan took.
    pub plan_time: Duration,
    /// Time to check kernels and to make them and the weights ready.
    pub load_time: Duration,
    /// The device, in words.
    pub device: String,
    /// The least exact float type that is computed in.
    pub activations: DType,
}

impl CompiledOnnxModel {
    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The compiled program.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// A session, which keeps its memory from run to run.
    ///
    /// # Errors
    /// [`Error::Device`] if the device has no room.
    pub fn session(&self) -> Result<OnnxSession, Error> {
        // No state grows: what a file keeps from run to run are inputs and outputs.
        let session = self.executable.session(0)?;
        Ok(OnnxSession { signature: self.signature.clone(), session })
    }

    /// Runs once on named tensors, in a session of its own.
    ///
    /// # Errors
    /// As [`TensorModel::run`].
    pub fn run(
        &self,
        inputs: Vec<(String, HostTensor)>,
    ) -> Result<Vec<(String, HostTensor)>, Error> {
        self.session()?.run(inputs)
    }
}

/// A compiled ONNX graph while it runs.
pub struct OnnxSession {
    signature: Signature,
    session: Session,
}

impl OnnxSession {
    /// The session of the runtime below.
    pub fn runtime(&self) -> &Session {
        &self.session
    }
}

impl TensorModel for OnnxSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run_in_order(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, Error> {
        Ok(self.session.run(&inputs)?)
    }
}
