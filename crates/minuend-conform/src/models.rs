//! Whole models: logits and greedy continuations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minuend::ir::DType;
use minuend::{
    Activations, CheckKind, CompileOptions, Continue, Device, ExpectedOutputs, GenerateOptions,
    LogitRows, Logits, Model, ModelConfig, Sampling, TokenModel, check_outputs, errors, generate,
};
use minuend_interp::Tensor;

use crate::accuracy::Accuracy;
use crate::check::Verdict;
use crate::divergence::Suspect;
use crate::error::ConformError;

/// Small models of every family with random weights.
const BUILT_IN: [(&str, &str); 4] = [
    (
        "random diff_v2",
        r#"{"model_type": "diff_v2", "vocab_size": 53, "hidden_size": 40, "intermediate_size": 56,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "torch_dtype": "float32"}"#,
    ),
    (
        "random diff_v2 of f16, window",
        r#"{"model_type": "diff_v2", "vocab_size": 53, "hidden_size": 40, "intermediate_size": 56,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "torch_dtype": "float16", "qk_norm": true, "sliding_window": 5, "rope_interleaved": false}"#,
    ),
    (
        "random llama",
        r#"{"model_type": "llama", "vocab_size": 53, "hidden_size": 40, "intermediate_size": 56,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "torch_dtype": "float32", "tie_word_embeddings": true}"#,
    ),
    (
        "random qwen3 of bf16",
        r#"{"model_type": "qwen3", "vocab_size": 53, "hidden_size": 40, "intermediate_size": 56,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "torch_dtype": "bfloat16"}"#,
    ),
];

/// Seed of random weights.
const SEED: u64 = 1;

/// Where a model comes from.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// A config with random weights.
    Random {
        /// The name in reports.
        name: &'static str,
        /// The text of its `config.json`.
        config: &'static str,
    },
    /// A checkpoint directory.
    Directory(PathBuf),
}

/// The models that need no files.
pub fn built_in() -> Vec<ModelSource> {
    BUILT_IN.iter().map(|(name, config)| ModelSource::Random { name, config }).collect()
}

impl ModelSource {
    /// The name in reports: that of the directory.
    pub fn name(&self) -> String {
        match self {
            ModelSource::Random { name, .. } => (*name).to_string(),
            ModelSource::Directory(path) => directory_name(path),
        }
    }

    /// The name in reports of the model with activations of that type.
    pub fn name_in(&self, activations: DType) -> String {
        match activations {
            DType::F32 => self.name(),
            other => format!("{}, activations {other}", self.name()),
        }
    }

    /// The model with activations of that type, and what it must give: the outputs stored in the directory
    /// as `expected.safetensors`, or what the interpreter gives for a short prompt.
    ///
    /// # Errors
    /// [`ConformError::Model`], which names the directory.
    pub fn open(&self, activations: DType) -> Result<ModelCase, ConformError> {
        let at = |source: ConformError| ConformError::Model {
            directory: self.name(),
            source: Box::new(source),
        };
        self.open_unnamed(activations).map_err(at)
    }

    fn open_unnamed(&self, activations: DType) -> Result<ModelCase, ConformError> {
        let name = self.name_in(activations);
        let of = Activations::Of(activations);
        match self {
            ModelSource::Random { config, .. } => {
                let config = ModelConfig::from_json_str(&self.name(), config)?;
                let model = Model::random(config, SEED).with_activations(of);
                let expected = Expected::computed(&model, 2, &[7, 1, 4])?;
                Ok(ModelCase { name, model, activations, expected })
            }
            ModelSource::Directory(path) => {
                let model = Model::open(path)?.with_activations(of);
                let stored = path.join("expected.safetensors");
                let expected = if stored.is_file() {
                    Expected::Stored(ExpectedOutputs::open(&stored)?)
                } else {
                    Expected::computed(&model, 1, &[5, 1, 2])?
                };
                Ok(ModelCase { name, model, activations, expected })
            }
        }
    }
}

fn directory_name(path: &Path) -> String {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = canonical.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| path.display().to_string())
}

/// A model and what it must give.
pub struct ModelCase {
    /// The name in reports.
    pub name: String,
    model: Model,
    /// Element type of its activations.
    activations: DType,
    expected: Expected,
}

enum Expected {
    Stored(ExpectedOutputs),
    Computed { chunks: Vec<Chunk>, prompt: Vec<u32>, greedy: Vec<u32> },
}

/// Token ids `[batch, tokens]`, fed at once, and their logits.
struct Chunk {
    ids: Vec<u32>,
    batch: usize,
    logits: Logits,
}

/// Tokens that a greedy continuation adds.
const NEW_TOKENS: usize = 4;

/// Standard deviations within which the errors of the logits of small vocabularies lie.
const DEVIATIONS: f64 = 4.0;

/// Most tokens of the prompt on which a diverging node is looked for: the interpreter is slow.
const TRACED_TOKENS: usize = 16;

impl Expected {
    /// What the interpreter gives for chunks of a prompt, and how it goes on behind a prompt.
    fn computed(model: &Model, batch: usize, chunks: &[usize]) -> Result<Expected, ConformError> {
        let mut interpreted = model.interpreted(LogitRows::All)?;
        let mut fed = Vec::new();
        let mut start = 0;
        for tokens in chunks {
            let ids = prompt(model, start, batch * tokens);
            start += ids.len();
            let logits = interpreted.feed(&ids, batch)?;
            fed.push(Chunk { ids, batch, logits });
        }
        let prompt = prompt(model, 1, 5);
        let greedy = greedy(&mut interpreted, &prompt)?;
        Ok(Expected::Computed { chunks: fed, prompt, greedy })
    }
}

/// Token ids that are a function of their place.
fn prompt(model: &Model, start: usize, count: usize) -> Vec<u32> {
    let vocabulary = model.config().vocab_size.max(1);
    let id = |at: usize| (at * at * 31 + at * 7 + 3) % vocabulary;
    (start..start + count).map(|at| u32::try_from(id(at)).unwrap_or(0)).collect()
}

fn greedy(model: &mut dyn TokenModel, prompt: &[u32]) -> Result<Vec<u32>, ConformError> {
    model.reset();
    let (sampling, eos_ids) = (Sampling::greedy(), Vec::new());
    let options = GenerateOptions { max_new_tokens: NEW_TOKENS, sampling, eos_ids };
    Ok(generate(model, prompt, &options, &mut |_| Continue::Yes)?.token_ids)
}

impl ModelCase {
    /// Runs the model on a device: a verdict for each kind of output, by name.
    ///
    /// # Errors
    /// What cannot be compiled or run.
    pub fn check(
        &self,
        device: &dyn Device,
        accuracy: Accuracy,
    ) -> Result<Vec<(String, Verdict)>, ConformError> {
        let started = Instant::now();
        // A variant that is wrong must show here, and not be refused.
        let options = CompileOptions { without_canary: true, ..CompileOptions::default() };
        let compiled = self.model.compile(device, LogitRows::All, &options)?;
        let mut session = compiled.session(self.tokens())?;
        let tolerance = accuracy.logits_tolerance(self.activations, self.model.config());
        let mut verdicts = match &self.expected {
            Expected::Stored(expected) => {
                let checks = check_outputs(&mut session, expected, tolerance)?;
                let verdict = |kind: &CheckKind| match *kind {
                    CheckKind::Logits { relative_l2, .. } => logits_verdict(relative_l2, tolerance),
                    CheckKind::Tokens { compared, different, .. } => {
                        tokens_verdict(compared, different)
                    }
                };
                checks.into_iter().map(|check| (check.name, verdict(&check.kind))).collect()
            }
            Expected::Computed { chunks, prompt, greedy: expected } => {
                let mut worst = 0.0f64;
                for chunk in chunks {
                    let found = session.feed(&chunk.ids, chunk.batch)?;
                    let (relative_l2, _) = errors(&found.values, &chunk.logits.values);
                    let is_worse = relative_l2.is_nan() || relative_l2 > worst;
                    worst = if is_worse && !worst.is_nan() { relative_l2 } else { worst };
                }
                let found = greedy(&mut session, prompt)?;
                let different = if found == *expected {
                    0
                } else {
                    self.unlikely_tokens(prompt, &found, tolerance)?
                };
                let compared = expected.len();
                vec![
                    ("logits".to_string(), logits_verdict(worst, tolerance)),
                    ("greedy tokens".to_string(), tokens_verdict(compared, different)),
                ]
            }
        };
        // The outputs come of one session: its time is that of the first.
        if let Some((_, verdict)) = verdicts.first_mut() {
            verdict.time = started.elapsed();
        }
        Ok(verdicts)
    }

    /// How many of the tokens that a device goes on with are not the interpreter's, whose logits of the same
    /// text say so by more than errors of both logits can make up for; tokens that are missing are among
    /// them. `error` is the relative L2 error of logits.
    fn unlikely_tokens(
        &self,
        prompt: &[u32],
        found: &[u32],
        error: f64,
    ) -> Result<usize, ConformError> {
        let mut interpreted = self.model.interpreted(LogitRows::All)?;
        let mut unlikely = NEW_TOKENS.saturating_sub(found.len());
        let mut next = prompt;
        for token in found.chunks(1) {
            let logits = interpreted.feed(next, 1)?;
            let logits = logits.last(0);
            let squares: f64 = logits.iter().map(|logit| f64::from(*logit).powi(2)).sum();
            let deviation = error * (squares / logits.len().max(1) as f64).sqrt();
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let logit = token.first().and_then(|token| logits.get(usize::try_from(*token).ok()?));
            let is_near = |logit: &f32| f64::from(largest - logit) <= 2.0 * DEVIATIONS * deviation;
            unlikely += usize::from(!logit.is_some_and(is_near));
            next = token;
        }
        Ok(unlikely)
    }

    /// Tokens of each sequence that the checks feed at most.
    fn tokens(&self) -> usize {
        match &self.expected {
            Expected::Stored(expected) => {
                let of_group = |group: &minuend::ExpectedGroup| {
                    let greedy = group.greedy.iter();
                    let greedy = greedy.map(|one| one.prompt_tokens.saturating_add(one.new_tokens));
                    greedy.max().unwrap_or(0).max(group.tokens)
                };
                expected.groups.iter().map(of_group).max().unwrap_or(1)
            }
            Expected::Computed { .. } => 32,
        }
    }

    /// The first node of the fused graph at which a device leaves the interpreter, on the first prompt.
    ///
    /// # Errors
    /// What cannot be compiled or run.
    pub fn first_diverging_node(
        &self,
        device: &dyn Device,
        accuracy: Accuracy,
    ) -> Result<Option<String>, ConformError> {
        let mut graph = self.model.graph(LogitRows::All)?;
        minuend::fuse(&mut graph, &CompileOptions::default())?;
        let row = match &self.expected {
            Expected::Stored(expected) => {
                let group = expected.groups.first();
                group.map_or(&[][..], |group| group.input_ids.get(..group.tokens).unwrap_or(&[]))
            }
            Expected::Computed { prompt, .. } => prompt,
        };
        let row = row.get(..TRACED_TOKENS).unwrap_or(row);
        let ids = row.iter().map(|id| i64::from(*id)).collect();
        let ids = Tensor::from_ints(DType::I64, &[1, row.len()], ids)?;
        let (weights, runs) = (&self.model, &[vec![ids]]);
        let surely_wrong = accuracy.surely_wrong(self.activations);
        let capacity = self.tokens() as u64;
        Suspect { graph: &graph, weights, runs, capacity, device, surely_wrong }
            .first_diverging_node()
    }
}

fn logits_verdict(relative_l2: f64, tolerance: f64) -> Verdict {
    let max_error = if relative_l2.is_nan() { f64::INFINITY } else { relative_l2 / tolerance };
    let fault = (max_error > 1.0).then(|| {
        format!("the relative L2 error of the logits is {relative_l2:e}, allowed {tolerance:e}")
    });
    Verdict { max_error, relative_l2, fault, time: Duration::ZERO }
}

fn tokens_verdict(compared: usize, different: usize) -> Verdict {
    let max_error = if different == 0 { 0.0 } else { f64::INFINITY };
    let fault = (different > 0).then(|| format!("{different} of {compared} greedy tokens differ"));
    Verdict { max_error, relative_l2: 0.0, fault, time: Duration::ZERO }
}
