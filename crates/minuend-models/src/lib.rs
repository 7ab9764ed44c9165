//! Checkpoint directories: configs, safetensors, tokenizers, model graphs in primitive ops.
//!
//! A checkpoint is a Hugging Face style directory: `config.json`, `model.safetensors` (or
//! `model.safetensors.index.json` and its shards), and optionally `generation_config.json` and
//! `tokenizer.json`. [`Checkpoint::open`] maps the weights, reads the config and compares the two:
//! a checkpoint that opens has every tensor its config asks for, in the right shape, and no other.
//!
//! Files are untrusted. Nothing is allocated from a length that has not been compared with the
//! size of the file it came from, and no input makes this crate panic.

mod bounded_read;
mod checkpoint;
mod config;
mod config_keys;
mod error;
mod expected;
mod generation;
mod graph;
mod heads;
mod names;
mod rope;
mod safetensors_file;
mod shapes;
mod shards;
mod tensor;
mod tensor_file;
mod token_stream;
mod tokenizer;
mod tokenizer_check;

pub use checkpoint::Checkpoint;
pub use config::{Architecture, ModelConfig};
pub use error::{
    ConfigProblem, ExpectedProblem, IndexProblem, ModelError, SafetensorsProblem, TensorProblem,
};
pub use expected::{ExpectedGroup, ExpectedOutputs, GreedyContinuation};
pub use generation::GenerationConfig;
pub use graph::{LogitRows, SAMPLE_ARGUMENTS, TOKEN_OUTPUT, language_model};
pub use minuend_ir::ops::RopeLayout;
pub use rope::Rope;
pub use shapes::{TensorRole, TensorSpec, tensors};
pub use tensor::{StoredDtype, Tensor};
pub use tensor_file::{FileTensor, read_tensors, write_tensors};
pub use token_stream::TokenStream;
pub use tokenizer::Tokenizer;
pub use tokenizer_check::TokenizerProblem;
