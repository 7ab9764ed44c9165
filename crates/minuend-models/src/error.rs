//! Everything that can be wrong with a checkpoint directory.

use std::fmt;

use crate::TokenizerProblem;

/// Why a checkpoint, one of its files or a text could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The sizes of a config do not make a graph.
    #[error("the model's graph cannot be built: {0}")]
    Graph(#[from] minuend_ir::TypeError),
    /// The ranges of a config's sizes do not make symbols.
    #[error("the model's graph cannot be built: {0}")]
    Symbols(#[from] minuend_ir::SymbolError),
    /// A file could not be opened, read or mapped.
    #[error("{path}: cannot read the file: {source}")]
    Io {
        /// Path of the file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The path of a checkpoint is not a directory.
    #[error(
        "{path}: not a directory, expected a checkpoint directory with config.json and \
         model.safetensors"
    )]
    NotADirectory {
        /// The path as given.
        path: String,
    },
    /// The path of a file names a directory, a pipe or a device.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// Path of the entry.
        path: String,
    },
    /// A JSON file is larger than any file of its kind.
    #[error("{path}: {found} bytes, expected at most {limit} in a file of this kind")]
    TooLarge {
        /// Path of the file.
        path: String,
        /// Size of the file in bytes.
        found: u64,
        /// Largest accepted size in bytes.
        limit: u64,
    },
    /// A file is not the JSON it should be.
    #[error("{path}: invalid JSON: {source}")]
    Json {
        /// Path of the file.
        path: String,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },
    /// A config has missing, invalid or unsupported keys; all of them are listed.
    #[error("{path}: {}", Listed { items: problems, separator: "; " })]
    Config {
        /// Path of the file, or the label given with the text.
        path: String,
        /// Every problem found.
        problems: Vec<ConfigProblem>,
    },
    /// The gate projection has one row per query head: the two-gate "V3" form.
    #[error(
        "{file}: tensor `{tensor}` has {rows} rows for {rows} query heads of width {head_dim}: the \
         two-gate \"V3\" variant, expected {} rows, one gate per pair of query heads",
        rows / 2
    )]
    TwoGateVariant {
        /// File of the tensor.
        file: String,
        /// Name of the gate projection in the file.
        tensor: String,
        /// Its number of rows.
        rows: usize,
        /// Width of one head.
        head_dim: usize,
    },
    /// The directory holds no safetensors weights.
    #[error(
        "{path}: neither model.safetensors nor model.safetensors.index.json found; convert other \
         formats with `save_pretrained(..., safe_serialization=True)`"
    )]
    NoWeights {
        /// Path of the directory.
        path: String,
    },
    /// A safetensors file is malformed.
    #[error("{path}: {problem}")]
    Safetensors {
        /// Path of the file.
        path: String,
        /// What is wrong with it.
        problem: SafetensorsProblem,
    },
    /// `model.safetensors.index.json` is malformed or disagrees with its shards.
    #[error("{path}: {}", Listed { items: problems, separator: "; " })]
    Index {
        /// Path of the index.
        path: String,
        /// Every problem found.
        problems: Vec<IndexProblem>,
    },
    /// The tensors are not those that the config asks for; one line each.
    #[error(
        "{path}: {} tensors do not fit config.json\n  {}",
        problems.len(),
        Listed { items: problems, separator: "\n  " }
    )]
    Tensors {
        /// Path of the checkpoint directory.
        path: String,
        /// Every tensor that is missing, unused, misshapen or of another dtype.
        problems: Vec<TensorProblem>,
    },
    /// The checkpoint has no tokenizer, which only text input and output need.
    #[error("{path}: no such file; text needs a tokenizer, token ids can be used without one")]
    NoTokenizer {
        /// Path where `tokenizer.json` is expected.
        path: String,
    },
    /// `tokenizer.json` asks for something that is not supported; all of it is listed.
    #[error("{path}: {}", Listed { items: problems, separator: "; " })]
    TokenizerFile {
        /// Path of the file.
        path: String,
        /// Every problem found.
        problems: Vec<TokenizerProblem>,
    },
    /// The tokenizer refused a text or an id sequence.
    #[error("{path}: {message}")]
    Tokenizer {
        /// Path of the file.
        path: String,
        /// What the tokenizer said.
        message: String,
    },
    /// The tokenizer gave an id that the embedding does not have.
    #[error(
        "{path}: token id {id} is not below the vocab_size {vocab_size} of config.json; the \
         tokenizer belongs to another model"
    )]
    TokenOutsideVocabulary {
        /// Path of the tokenizer file.
        path: String,
        /// The offending id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A file of expected outputs has unknown, missing or misshapen tensors.
    #[error("{path}: {}", Listed { items: problems, separator: "; " })]
    Expected {
        /// Path of the file.
        path: String,
        /// Every problem found.
        problems: Vec<ExpectedProblem>,
    },
    /// A file has tensors of types that no graph computes in.
    #[error(
        "{path}: {}; expected F64, F32, F16, BF16, I64, I32, I8, U8 or BOOL",
        problems.join(", ")
    )]
    TensorTypes {
        /// Path of the file.
        path: String,
        /// Every such tensor with its type.
        problems: Vec<String>,
    },
    /// A file could not be written.
    #[error("{path}: cannot write the file: {reason}")]
    Write {
        /// Path of the file.
        path: String,
        /// What the system says.
        reason: String,
    },
}

/// One problem of `config.json` or `generation_config.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The text is JSON, but not an object.
    #[error("expected a JSON object of config keys")]
    NotAnObject,
    /// Keys without which the model is not defined.
    #[error("missing {}", keys.join(", "))]
    Missing {
        /// All missing keys.
        keys: Vec<String>,
    },
    /// A key whose value has the wrong type, is out of range or contradicts another key.
    #[error("`{key}` is {found}, expected {expected}")]
    Invalid {
        /// The key, dotted when nested.
        key: String,
        /// Its value.
        found: String,
        /// Accepted values.
        expected: String,
    },
    /// A meaningful value that asks for something that is not implemented.
    #[error("`{key}` is {found}, which is not supported; supported: {supported}")]
    Unsupported {
        /// The key, dotted when nested.
        key: String,
        /// Its value.
        found: String,
        /// What is supported.
        supported: String,
    },
}

/// What is wrong with the bytes of a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsProblem {
    /// Shorter than the eight bytes of the header length.
    #[error("truncated: {found} bytes, expected at least 8 for the header length")]
    TooShort {
        /// Size of the file in bytes.
        found: u64,
    },
    /// The header would end after the file.
    #[error(
        "truncated or not safetensors: the header length is {header} bytes, but only {available} \
         bytes follow it"
    )]
    HeaderPastEnd {
        /// Declared length of the header.
        header: u64,
        /// Bytes of the file after the length field.
        available: u64,
    },
    /// The header is longer than the format allows.
    #[error("the header length is {header} bytes, expected at most {limit}")]
    HeaderTooLarge {
        /// Declared length of the header.
        header: u64,
        /// Longest header that the format allows.
        limit: u64,
    },
    /// The header is not a JSON object of tensor descriptions.
    #[error("invalid header: {0}")]
    HeaderJson(serde_json::Error),
    /// A tensor's byte range does not start where the one before ends.
    #[error("tensor `{tensor}`: its byte range overlaps another one or leaves a gap before it")]
    Range {
        /// Name of the tensor.
        tensor: String,
    },
    /// A byte range, shape and dtype that contradict each other, or a size that overflows.
    #[error("invalid header: {0}")]
    Layout(safetensors::SafeTensorError),
    /// The file is longer or shorter than its header says.
    #[error(
        "truncated or damaged: the header describes {expected} bytes of tensors, found {found}"
    )]
    DataLength {
        /// End of the last tensor.
        expected: u64,
        /// Bytes after the header.
        found: u64,
    },
}

/// One problem of `model.safetensors.index.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// `weight_map` lists nothing.
    #[error("`weight_map` is empty, expected tensor names and their files")]
    Empty,
    /// A shard that is not a file name inside the directory.
    #[error("tensor `{tensor}`: shard {shard:?} is not a plain file name inside the directory")]
    ShardName {
        /// First tensor of the shard.
        tensor: String,
        /// The shard as listed.
        shard: String,
    },
    /// A tensor that its shard does not hold.
    #[error("tensor `{tensor}` is listed in {shard}, which does not hold it")]
    NotInShard {
        /// Name of the tensor.
        tensor: String,
        /// File name of the shard.
        shard: String,
    },
    /// A tensor of a shard that the index does not list there.
    #[error("tensor `{tensor}` is in {shard}, but the index does not list it there")]
    NotListed {
        /// Name of the tensor.
        tensor: String,
        /// File name of the shard.
        shard: String,
    },
}

/// One tensor that does not fit the config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorProblem {
    /// The config asks for a tensor that no file holds.
    #[error("{file}: tensor `{tensor}`: missing, expected shape {expected:?}")]
    Missing {
        /// The weights file, or the index of the shards.
        file: String,
        /// Canonical name.
        tensor: String,
        /// Shape by the config.
        expected: Vec<usize>,
    },
    /// A tensor that the model does not use.
    #[error("{file}: tensor `{tensor}`: found shape {found:?}, expected no tensor of this name")]
    Unused {
        /// File of the tensor.
        file: String,
        /// Name in the file.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor of another shape than the config gives.
    #[error("{file}: tensor `{tensor}`: found shape {found:?}, expected {expected:?}")]
    Shape {
        /// File of the tensor.
        file: String,
        /// Name in the file.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// Shape by the config.
        expected: Vec<usize>,
    },
    /// A tensor that is not floating point of 16 or 32 bits.
    #[error("{file}: tensor `{tensor}`: found dtype {found}, expected F32, F16 or BF16")]
    Dtype {
        /// File of the tensor.
        file: String,
        /// Name in the file.
        tensor: String,
        /// Its dtype as the file spells it.
        found: String,
    },
    /// Two spellings of one weight.
    #[error("{file}: tensor `{tensor}`: a second spelling of `{canonical}`, expected one of them")]
    Duplicate {
        /// File of the tensor.
        file: String,
        /// Name in the file.
        tensor: String,
        /// The name that both stand for.
        canonical: String,
    },
    /// A tied head that is stored, and is not the embedding.
    #[error(
        "{file}: tensor `{tensor}`: differs from the embedding, expected equal bytes because \
         `tie_word_embeddings` is true"
    )]
    TiedHeadDiffers {
        /// File of the tensor.
        file: String,
        /// Name in the file.
        tensor: String,
    },
}

/// One problem of a file of expected outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectedProblem {
    /// A tensor whose name is none of the known ones.
    #[error(
        "tensor `{tensor}`: unknown, expected input_ids, logits or greedy_from_N, optionally after \
         a group name and a dot"
    )]
    Unknown {
        /// Name of the tensor.
        tensor: String,
    },
    /// A group without one of its two tensors.
    #[error("tensor `{tensor}`: missing, expected input_ids and logits in every group")]
    Missing {
        /// Name of the absent tensor.
        tensor: String,
    },
    /// A tensor of another dtype or shape than its kind has.
    #[error("tensor `{tensor}`: found {found}, expected {expected}")]
    Layout {
        /// Name of the tensor.
        tensor: String,
        /// Its dtype and shape.
        found: String,
        /// The dtype and shape of its kind.
        expected: String,
    },
    /// A token id that is negative or not below the width of the logits.
    #[error("tensor `{tensor}`: token id {id} is not in the vocabulary of {vocab_size}")]
    TokenId {
        /// Name of the tensor.
        tensor: String,
        /// The offending id.
        id: i64,
        /// Last dimension of the logits.
        vocab_size: usize,
    },
    /// The file has no group at all.
    #[error("no tensors found, expected at least input_ids and logits")]
    Empty,
}

/// Displays items one after the other.
struct Listed<'a, T> {
    items: &'a [T],
    separator: &'static str,
}

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                f.write_str(self.separator)?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
