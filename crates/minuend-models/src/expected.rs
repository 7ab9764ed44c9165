//! Files of expected outputs, to verify a model against.
//!
//! Each group holds `input_ids` and `logits`, and optionally `greedy_from_N`; the names stand alone
//! or after the name of the group and a dot.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;

use crate::safetensors_file::{self, StoredTensor};
use crate::{ExpectedProblem, ModelError};

/// The content of a file of expected outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedOutputs {
    /// All groups, sorted by name.
    pub groups: Vec<ExpectedGroup>,
}

/// Inputs and the logits that a model gives for them.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedGroup {
    /// Name before the dot; empty for plain names.
    pub name: String,
    /// Number of sequences `B`.
    pub batch: usize,
    /// Tokens per sequence `T`.
    pub tokens: usize,
    /// Width of the logits `V`.
    pub vocab_size: usize,
    /// Token ids `[B, T]`, each below `vocab_size`.
    pub input_ids: Vec<u32>,
    /// Logits `[B, T, V]`.
    pub logits: Vec<f32>,
    /// Greedy continuations, sorted by length of the prompt.
    pub greedy: Vec<GreedyContinuation>,
}

/// What greedy decoding gives after the first tokens of each sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreedyContinuation {
    /// Number of leading tokens `N` of each row that are the prompt.
    pub prompt_tokens: usize,
    /// Number of tokens `M` of each row that follow.
    pub new_tokens: usize,
    /// Token ids `[B, N + M]`, each below `vocab_size`.
    pub ids: Vec<u32>,
}

/// The tensors of one group as stored.
#[derive(Default)]
struct StoredGroup {
    input_ids: Option<StoredTensor>,
    logits: Option<StoredTensor>,
    greedy: BTreeMap<usize, StoredTensor>,
}

impl ExpectedOutputs {
    /// Reads a file of expected outputs. The file must not change meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed, or [`ModelError::Expected`] with every unknown,
    /// missing or misshapen tensor and every id outside the vocabulary.
    pub fn open(path: impl AsRef<Path>) -> Result<ExpectedOutputs, ModelError> {
        let path = path.as_ref();
        let mut problems = Vec::new();
        let mut stored: BTreeMap<String, StoredGroup> = BTreeMap::new();
        for (tensor, value) in safetensors_file::open(path)? {
            let (group, kind) = tensor.rsplit_once('.').unwrap_or(("", &tensor));
            let prompt = kind.strip_prefix("greedy_from_").and_then(decimal);
            match (kind, prompt) {
                ("input_ids", _) => {
                    stored.entry(group.to_owned()).or_default().input_ids = Some(value);
                }
                ("logits", _) => stored.entry(group.to_owned()).or_default().logits = Some(value),
                (_, Some(prompt)) => {
                    stored.entry(group.to_owned()).or_default().greedy.insert(prompt, value);
                }
                _ => problems.push(ExpectedProblem::Unknown { tensor }),
            }
        }
        if stored.is_empty() && problems.is_empty() {
            problems.push(ExpectedProblem::Empty);
        }
        let mut groups = Vec::new();
        for (name, group) in stored {
            match read_group(name, group) {
                Ok(group) => groups.push(group),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(ExpectedOutputs { groups })
        } else {
            Err(ModelError::Expected { path: path.display().to_string(), problems })
        }
    }
}

/// Checks and decodes one group; gives its first problem.
fn read_group(name: String, stored: StoredGroup) -> Result<ExpectedGroup, ExpectedProblem> {
    let full = |kind: &str| match name.as_str() {
        "" => kind.to_owned(),
        group => format!("{group}.{kind}"),
    };
    let missing = |kind| ExpectedProblem::Missing { tensor: full(kind) };
    let ids = stored.input_ids.ok_or_else(|| missing("input_ids"))?;
    let logits = stored.logits.ok_or_else(|| missing("logits"))?;

    let (Dtype::I64, &[batch, tokens]) = (ids.dtype, ids.shape.as_slice()) else {
        return Err(layout(full("input_ids"), &ids, "I64 [B, T]"));
    };
    let vocab_size = match (logits.dtype, logits.shape.as_slice()) {
        (Dtype::F32, &[b, t, v]) if (b, t) == (batch, tokens) => v,
        _ => {
            let expected = format!("F32 [{batch}, {tokens}, V]");
            return Err(layout(full("logits"), &logits, expected));
        }
    };
    if batch == 0 || tokens == 0 || vocab_size == 0 {
        return Err(layout(full("logits"), &logits, "no dimension of 0"));
    }
    let input_ids = token_ids(full("input_ids"), &ids, vocab_size)?;
    let logits = logits.data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();

    let mut greedy = Vec::new();
    for (prompt_tokens, tensor) in stored.greedy {
        let full = full(&format!("greedy_from_{prompt_tokens}"));
        let width = match (tensor.dtype, tensor.shape.as_slice()) {
            (Dtype::I64, &[b, width])
                if b == batch && prompt_tokens > 0 && width > prompt_tokens =>
            {
                width
            }
            _ => {
                let expected = format!(
                    "I64 [{batch}, N + M] with a prompt of N = {prompt_tokens} > 0 and M > 0"
                );
                return Err(layout(full, &tensor, expected));
            }
        };
        let ids = token_ids(full, &tensor, vocab_size)?;
        greedy.push(GreedyContinuation { prompt_tokens, new_tokens: width - prompt_tokens, ids });
    }
    Ok(ExpectedGroup { name, batch, tokens, vocab_size, input_ids, logits, greedy })
}

/// Decodes ids of type I64, all of which must be in the vocabulary.
fn token_ids(
    name: String,
    tensor: &StoredTensor,
    vocab_size: usize,
) -> Result<Vec<u32>, ExpectedProblem> {
    let decode = |&bytes: &[u8; 8]| {
        let id = i64::from_le_bytes(bytes);
        let in_vocabulary = usize::try_from(id).is_ok_and(|id| id < vocab_size);
        u32::try_from(id).ok().filter(|_| in_vocabulary).ok_or(id)
    };
    tensor
        .data
        .as_chunks()
        .0
        .iter()
        .map(decode)
        .collect::<Result<Vec<u32>, i64>>()
        .map_err(|id| ExpectedProblem::TokenId { tensor: name, id, vocab_size })
}

/// A number in its shortest decimal form, so that no two names mean the same.
fn decimal(digits: &str) -> Option<usize> {
    digits.parse::<usize>().ok().filter(|n| n.to_string() == digits)
}

fn layout(tensor: String, found: &StoredTensor, expected: impl Into<String>) -> ExpectedProblem {
    let found = format!("{:?} {:?}", found.dtype, found.shape);
    ExpectedProblem::Layout { tensor, found, expected: expected.into() }
}
