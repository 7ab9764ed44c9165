//! Models: a config, weights, and what belongs to them.

use std::path::Path;
use std::sync::Arc;

use minuend_codegen::Target;
use minuend_ir::{DType, Graph};
use minuend_models::{Checkpoint, LogitRows, ModelConfig, StoredDtype, Tokenizer, language_model};
use minuend_runtime::{Device, Executable, StoredTensor, WeightSource};

use crate::activations::Activations;
use crate::compile::{CompileOptions, Compiled, compile};
use crate::error::Error;
use crate::interpreted::InterpretedModel;
use crate::load::load;
use crate::random_weights::RandomWeights;
use crate::session::ModelSession;

/// A language model that is not compiled yet.
pub struct Model {
    config: ModelConfig,
    weights: Weights,
    activations: Activations,
}

enum Weights {
    Checkpoint(Arc<Checkpoint>),
    Random(RandomWeights),
    None,
}

impl Model {
    /// Opens a checkpoint directory. Weights are mapped, not read.
    ///
    /// # Errors
    /// [`Error::Model`] for anything wrong with the directory, its config or its tensors.
    pub fn open(directory: impl AsRef<Path>) -> Result<Model, Error> {
        let checkpoint = Checkpoint::open(directory)?;
        let config = checkpoint.config.clone();
        Ok(Model::new(config, Weights::Checkpoint(Arc::new(checkpoint))))
    }

    /// A model of that shape with random weights, for measurements.
    pub fn random(config: ModelConfig, seed: u64) -> Model {
        let weights = Weights::Random(RandomWeights::new(&config, seed));
        Model::new(config, weights)
    }

    /// A model of that shape without weights: it can be compiled and inspected, not loaded.
    pub fn without_weights(config: ModelConfig) -> Model {
        Model::new(config, Weights::None)
    }

    fn new(config: ModelConfig, weights: Weights) -> Model {
        Model { config, weights, activations: Activations::Auto }
    }

    /// The same model with activations of another type; of a new model it is [`Activations::Auto`].
    pub fn with_activations(self, activations: Activations) -> Model {
        Model { activations, ..self }
    }

    /// The type of the model's activations on a target.
    ///
    /// # Errors
    /// [`Error::Request`] if it was asked for and the target has no kernels for it.
    pub fn activation_dtype(&self, target: &dyn Target) -> Result<DType, Error> {
        Ok(self.activations.dtype(target, self.config.stored_dtype)?)
    }

    /// Dimensions and conventions.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The directory the model came from, if it did.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match &self.weights {
            Weights::Checkpoint(checkpoint) => Some(checkpoint),
            Weights::Random(_) | Weights::None => None,
        }
    }

    /// The model's tokenizer; `None` for random weights.
    ///
    /// # Errors
    /// [`Error::Model`] if the checkpoint has none, or a damaged one.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, Error> {
        Ok(self.checkpoint().map(Checkpoint::tokenizer).transpose()?)
    }

    /// Tokens that end a text.
    pub fn eos_ids(&self) -> &[u32] {
        self.checkpoint().map_or(&self.config.eos_ids, Checkpoint::eos_ids)
    }

    /// The model's graph in primitive ops, for no target in particular: its activations are f32 unless
    /// another type is asked for.
    ///
    /// # Errors
    /// [`Error::Model`] if the config's sizes do not make a graph.
    pub fn graph(&self, rows: LogitRows) -> Result<Graph, Error> {
        self.graph_in(rows, self.activations.dtype_anywhere())
    }

    /// The model's graph in primitive ops, with the activations that [`Model::compile`] gives it on a
    /// target.
    ///
    /// # Errors
    /// As [`Model::graph`] and [`Model::activation_dtype`].
    pub fn graph_for(&self, target: &dyn Target, rows: LogitRows) -> Result<Graph, Error> {
        self.graph_in(rows, self.activation_dtype(target)?)
    }

    fn graph_in(&self, rows: LogitRows, activations: DType) -> Result<Graph, Error> {
        let stored = |name: &str| match &self.weights {
            Weights::Checkpoint(checkpoint) => {
                checkpoint.weight(name).map_or(StoredDtype::F32, |tensor| tensor.dtype)
            }
            Weights::Random(_) | Weights::None => self.config.stored_dtype,
        };
        Ok(language_model(&self.config, &stored, rows, activations)?)
    }

    /// Compiles the model and loads it on a device, behind the check of
    /// [`load_checked`](crate::load_checked) unless the options leave it out.
    ///
    /// # Errors
    /// [`Error::Compile`] or [`Error::Device`]; [`Error::Request`] for activations that the device does
    /// not have.
    pub fn compile(
        &self,
        device: &dyn Device,
        rows: LogitRows,
        options: &CompileOptions,
    ) -> Result<CompiledModel, Error> {
        self.compile_reporting(device, rows, options, &|_, _| {})
    }

    /// As [`Model::compile`]; `loaded` sees how many bytes of how many are given to the device before each
    /// tensor.
    ///
    /// # Errors
    /// As [`Model::compile`].
    pub fn compile_reporting(
        &self,
        device: &dyn Device,
        rows: LogitRows,
        options: &CompileOptions,
        loaded: &dyn Fn(u64, u64),
    ) -> Result<CompiledModel, Error> {
        let activations = self.activation_dtype(device.target())?;
        let Compiled { program, report, time, plan_time, .. } =
            compile(self.graph_in(rows, activations)?, device.target(), options)?;
        let (executable, load_time) = load(device, program, self, options, loaded)?;
        Ok(CompiledModel {
            config: self.config.clone(),
            executable,
            report,
            compile_time: time,
            plan_time,
            load_time,
            device: device.name(),
            activations,
        })
    }

    /// The model on the float64 reference interpreter: slow, and the definition of right. It rounds no
    /// activation. Weights are the values that a device would load, rounded where 16-bit activations are
    /// asked for. It gives logits and no tokens, so that [`LogitRows::Sampled`] is [`LogitRows::Last`].
    ///
    /// # Errors
    /// [`Error::Model`] if the config's sizes do not make a graph.
    pub fn interpreted(&self, rows: LogitRows) -> Result<InterpretedModel<'_>, Error> {
        let rows = match rows {
            LogitRows::Sampled => LogitRows::Last,
            rows => rows,
        };
        Ok(InterpretedModel::new(&self.config, self.graph(rows)?, self))
    }
}

impl WeightSource for Model {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        match &self.weights {
            Weights::None => None,
            Weights::Random(weights) => weights.stored(name),
            Weights::Checkpoint(checkpoint) => {
                let tensor = checkpoint.weight(name)?;
                let (shape, data) = (tensor.shape.clone(), tensor.data.clone());
                Some(StoredTensor { dtype: tensor.dtype.dtype(), shape, data })
            }
        }
    }
}

/// A model compiled and loaded on a device: immutable, shared by any number of sessions.
#[derive(Clone)]
pub struct CompiledModel {
    config: ModelConfig,
    executable: Executable,
    /// Passes, rewrites and near-misses.
    pub report: minuend_passes::PipelineReport,
    /// Time for passes and plan.
    pub compile_time: std::time::Duration,
    /// The part of `compile_time` that the plan took.
    pub plan_time: std::time::Duration,
    /// Time to check kernels and to make them and the weights ready.
    pub load_time: std::time::Duration,
    /// The device, in words.
    pub device: String,
    /// Element type of the activations.
    pub activations: DType,
}

impl CompiledModel {
    /// Dimensions and conventions.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The compiled program.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// A session with memory for `tokens` tokens of each sequence; at most the model's context.
    ///
    /// # Errors
    /// [`Error::Device`] if the device has no room.
    pub fn session(&self, tokens: usize) -> Result<ModelSession, Error> {
        let capacity = tokens.min(self.config.max_positions);
        let session = self.executable.session(capacity as u64)?;
        Ok(ModelSession::new(&self.config, session))
    }
}
