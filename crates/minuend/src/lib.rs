//! Compile and run Differential Transformer V2 models.
//!
//! ```no_run
//! use minuend::{CompileOptions, Continue, GenerateOptions, LogitRows, Model, Sampling};
//!
//! # fn main() -> Result<(), minuend::Error> {
//! let model = Model::open("examples/models/shakespeare-diffv2")?;
//! let device = minuend::open_device("auto", 0)?;
//! let compiled = model.compile(&*device, LogitRows::Last, &CompileOptions::default())?;
//! let mut session = compiled.session(256)?;
//! let options = GenerateOptions {
//!     max_new_tokens: 64,
//!     sampling: Sampling::greedy(),
//!     eos_ids: model.eos_ids().to_vec(),
//! };
//! let generation = minuend::generate(&mut session, &[859, 26, 199], &options, &mut |token| {
//!     eprintln!("{token}");
//!     Continue::Yes
//! })?;
//! # let _ = generation;
//! # Ok(())
//! # }
//! ```
//!
//! ONNX files are graphs of named tensors:
//!
//! ```no_run
//! use minuend::{CompileOptions, HostTensor, OnnxModel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = minuend::open_device("auto", 0)?;
//! let compiled = OnnxModel::open("model.onnx")?.compile(&*device, &CompileOptions::default())?;
//! let x = HostTensor::from_f32(&[1, 2], &[0.5, -0.5]).ok_or("two values")?;
//! for (name, tensor) in compiled.run(vec![("x".into(), x)])? {
//!     println!("{name}: {:?}", tensor.shape());
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod activations;
mod canary;
mod check;
mod compile;
mod device;
mod emit;
mod error;
mod generate;
mod inspect;
mod interpreted;
mod interpreted_onnx;
mod load;
mod model;
mod onnx_language_model;
mod onnx_model;
mod random_weights;
mod reporting_weights;
mod sampling;
mod session;
mod signature;
mod tensor_model;
mod token_model;

pub use activations::Activations;
pub use canary::load_checked;
pub use check::{CheckKind, OutputCheck, check_outputs, errors, logits_tolerance};
pub use compile::{
    CompileOptions, Compiled, bind, compile, compile_observed, fuse, raise_observed, raise_to,
};
pub use device::{DeviceInfo, VariantInfo, devices, open_device, open_target, open_variant};
pub use emit::{kernel_texts, machine_code};
pub use error::{CompileError, Error, RequestError};
pub use generate::{Continue, Finish, GenerateOptions, Generation, generate};
pub use inspect::{
    AttentionArithmetic, Cost, FusionReport, Inspection, OnnxInspection, PackedProjection,
    Parameters, RunCost, WeightTotals,
};
pub use interpreted::InterpretedModel;
pub use interpreted_onnx::InterpretedOnnxModel;
pub use minuend_codegen::{CpuTarget, KernelText, Target};
pub use minuend_ir as ir;
pub use minuend_models::{
    Architecture, Checkpoint, ExpectedGroup, ExpectedOutputs, GenerationConfig, LogitRows,
    ModelConfig, ModelError, StoredDtype, TensorRole, TokenStream, Tokenizer, tensors,
};
pub use minuend_onnx::{OnnxError, Problem as OnnxProblem};
pub use minuend_passes::{Observer, PipelineReport, Remark, VerifyMode};
pub use minuend_plan::{BindError, BoundProgram, Program};
pub use minuend_runtime::{
    Device, DeviceError, Executable, HostTensor, Input, PendingTensor, RunError, Session,
    StoredTensor, WeightSource,
};
pub use model::{CompiledModel, Model};
pub use onnx_language_model::OnnxLanguageModel;
pub use onnx_model::{CompiledOnnxModel, OnnxModel, OnnxSession};
pub use sampling::{Sampler, Sampling, most_likely};
pub use session::ModelSession;
pub use signature::{InputProblem, InputProblems, NamedType, Signature, floats, integers};
pub use tensor_model::{
    TensorCheck, TensorCheckKind, TensorChecks, TensorModel, check_tensors, read_tensors,
    write_tensors,
};
pub use token_model::{Logits, TokenModel};
