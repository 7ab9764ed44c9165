//! What can go wrong, by stage.

use minuend_interp::{EvalError, TensorError};
use minuend_ir::verify::VerifyErrors;
use minuend_ir::{DType, LegalityError};
use minuend_models::ModelError;
use minuend_onnx::OnnxError;
use minuend_passes::PassError;
use minuend_plan::{BindError, PlanError};
use minuend_runtime::{DeviceError, RunError};

use crate::signature::InputProblems;

/// Any error of this crate. Each is one line that names what was found and what was expected, but for those of
/// files and inputs that list several problems.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint or one of its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A graph that cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The reference interpreter.
    #[error(transparent)]
    Interpreter(#[from] EvalError),
    /// A tensor too large for the interpreter.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// What the caller asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// An ONNX file. Of several problems, each is on a line of its own below a headline.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// Tensors that a graph is given by name; all that is wrong with them.
    #[error(transparent)]
    Inputs(#[from] InputProblems),
}

/// Why a graph cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The target has no kernel for a step at the sizes given.
    #[error(transparent)]
    Kernel(#[from] minuend_codegen::CodegenError),
    /// The compiler for a kernel's text is not installed.
    #[error("{0}")]
    NoCompiler(String),
    /// A kernel's text does not compile.
    #[error("{0}")]
    Machine(String),
    /// A pass to leave out that does not exist.
    #[error("unknown pass '{name}', `minuend compile --time` lists the passes")]
    UnknownPass {
        /// The name as given.
        name: String,
    },
    /// A graph that cannot be lowered again.
    #[error("the graph is at level {found} already, expected one up to {wanted}")]
    Level {
        /// The graph's level.
        found: &'static str,
        /// The level asked for.
        wanted: &'static str,
    },
    /// The graph is not valid to begin with.
    #[error("the graph is not valid: {0}")]
    Invalid(#[from] VerifyErrors),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The result is not legal for the target.
    #[error(transparent)]
    Legality(#[from] LegalityError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan's sizes cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// A request that cannot be met.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A device that this build does not know.
    #[error("unknown device '{name}', expected one of {known}")]
    UnknownDevice {
        /// What was asked for.
        name: String,
        /// The devices of this build.
        known: String,
    },
    /// A kernel family that a device does not have.
    #[error("device {device} has no variant '{variant}', expected one of {known}")]
    UnknownVariant {
        /// The device, as asked for.
        device: String,
        /// The variant asked for.
        variant: String,
        /// Its variants.
        known: String,
    },
    /// A compile target that this build does not know.
    #[error("unknown target '{name}', expected one of {known}")]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// The targets of this build.
        known: String,
    },
    /// Activations in a type that a target has no kernels for.
    #[error(
        "target {target} has no kernels for activations in {dtype}, expected one of auto, \
         {supported}"
    )]
    UnsupportedActivations {
        /// The target.
        target: &'static str,
        /// The type asked for.
        dtype: DType,
        /// The types that it has.
        supported: String,
    },
    /// Activations in no type that there is.
    #[error("unknown type of activations '{name}', expected {known}")]
    UnknownActivations {
        /// What was asked for.
        name: String,
        /// What can be asked for.
        known: &'static str,
    },
    /// No tokens to start from.
    #[error("the prompt is empty, expected at least 1 token")]
    EmptyPrompt,
    /// More tokens than the model was made for.
    #[error(
        "{tokens} tokens do not fit the context of {limit} (max_position_embeddings); \
         shorten the prompt"
    )]
    PromptTooLong {
        /// Tokens given, with those already in the cache.
        tokens: usize,
        /// The model's context.
        limit: usize,
    },
    /// A token id that is not in the vocabulary.
    #[error("token {id} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The token.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// Token rows of unequal length.
    #[error("{tokens} tokens do not make {batch} sequences of equal length")]
    RaggedBatch {
        /// Tokens given.
        tokens: usize,
        /// Sequences asked for.
        batch: usize,
    },
    /// A sampling setting out of range.
    #[error("{setting} is {found}, expected {expected}")]
    Sampling {
        /// The setting, as the command line spells it.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The values that would do.
        expected: &'static str,
    },
    /// The expected outputs are those of another model.
    #[error("{group} has a vocabulary of {found}, the model has {expected}")]
    OtherVocabulary {
        /// The group of outputs.
        group: String,
        /// Its vocabulary.
        found: usize,
        /// The model's.
        expected: usize,
    },
    /// A graph that cannot continue a text.
    #[error(
        "no language model without a cache, which is what a text is continued with: {}",
        problems.join("; ")
    )]
    NotALanguageModel {
        /// Every condition that does not hold.
        problems: Vec<String>,
    },
    /// More tokens than a graph takes.
    #[error("{tokens} tokens, the graph takes at most {limit}; shorten the prompt")]
    TooManyTokens {
        /// Tokens given.
        tokens: usize,
        /// Most tokens that it takes.
        limit: usize,
    },
    /// Stored tensors that are neither inputs nor outputs of a graph.
    #[error("unknown tensors {unknown}, expected inputs ({inputs}) and outputs ({outputs})")]
    UnknownTensors {
        /// Their names.
        unknown: String,
        /// The graph's inputs.
        inputs: String,
        /// The graph's outputs.
        outputs: String,
    },
    /// Nothing to compare with.
    #[error("no expected outputs, expected at least one of {outputs}")]
    NoOutputs {
        /// The graph's outputs.
        outputs: String,
    },
    /// A stored output that cannot be compared with the graph's.
    #[error("the expected output {name} is {found}, the graph gives {expected}")]
    OutputType {
        /// The output.
        name: String,
        /// What is stored.
        found: String,
        /// What the graph gives.
        expected: String,
    },
    /// Every logit is NaN or infinite, so no token can be chosen.
    #[error("the logits of the last token are not finite; the weights may be damaged")]
    NoFiniteLogit,
}
