//! Comparing a model with stored outputs.

use minuend_models::{ExpectedGroup, ExpectedOutputs, GreedyContinuation};

use crate::error::{Error, RequestError};
use crate::sampling::most_likely;
use crate::token_model::TokenModel;

/// What one stored output and the model's own have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputCheck {
    /// The output: `logits`, `prompt0.logits`, `greedy_from_4`.
    pub name: String,
    /// What was compared.
    pub kind: CheckKind,
    /// Whether it is close enough.
    pub passed: bool,
}

/// How far an output is from the stored one.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// Logits.
    Logits {
        /// `||found - expected|| / ||expected||`, in L2.
        relative_l2: f64,
        /// Largest absolute error over the root mean square of the expected values.
        worst_over_rms: f64,
    },
    /// Greedy tokens.
    Tokens {
        /// Tokens compared.
        compared: usize,
        /// Tokens that differ.
        different: usize,
        /// Sequence and position of the first that differs.
        first_difference: Option<(usize, usize)>,
    },
}

/// Runs every group of stored inputs and compares. The model must give logits of all tokens.
///
/// # Errors
/// [`RequestError::OtherVocabulary`] if the outputs are of another model; whatever the model gives
/// otherwise.
pub fn check_outputs(
    model: &mut dyn TokenModel,
    expected: &ExpectedOutputs,
    tolerance: f64,
) -> Result<Vec<OutputCheck>, Error> {
    let mut checks = Vec::new();
    for group in &expected.groups {
        let name = |what: &str| match group.name.as_str() {
            "" => what.to_string(),
            group => format!("{group}.{what}"),
        };
        let (found, vocab_size) = (group.vocab_size, model.config().vocab_size);
        if found != vocab_size {
            let (group, expected) = (name("logits"), vocab_size);
            return Err(RequestError::OtherVocabulary { group, found, expected }.into());
        }
        checks.push(check_logits(model, group, name("logits"), tolerance)?);
        for greedy in &group.greedy {
            let name = name(&format!("greedy_from_{}", greedy.prompt_tokens));
            checks.push(check_greedy(model, group.batch, greedy, name)?);
        }
    }
    Ok(checks)
}

fn check_logits(
    model: &mut dyn TokenModel,
    group: &ExpectedGroup,
    name: String,
    tolerance: f64,
) -> Result<OutputCheck, Error> {
    model.reset();
    let found = model.feed(&group.input_ids, group.batch)?;
    let (relative_l2, worst_over_rms) = errors(&found.values, &group.logits);
    // NaN compares as not close.
    let passed = relative_l2 <= tolerance;
    Ok(OutputCheck { name, kind: CheckKind::Logits { relative_l2, worst_over_rms }, passed })
}

/// Relative L2 error, and largest error over the root mean square of the expected values.
pub fn errors(found: &[f32], expected: &[f32]) -> (f64, f64) {
    if found.len() != expected.len() {
        return (f64::INFINITY, f64::INFINITY);
    }
    let (mut error, mut norm, mut worst) = (0.0f64, 0.0f64, 0.0f64);
    for (found, expected) in found.iter().zip(expected) {
        let difference = f64::from(*found) - f64::from(*expected);
        error += difference * difference;
        norm += f64::from(*expected) * f64::from(*expected);
        let is_worse = difference.is_nan() || difference.abs() > worst;
        worst = if is_worse && !worst.is_nan() { difference.abs() } else { worst };
    }
    let rms = (norm / expected.len().max(1) as f64).sqrt();
    if error == 0.0 {
        return (0.0, 0.0);
    }
    ((error / norm).sqrt(), worst / rms)
}

fn check_greedy(
    model: &mut dyn TokenModel,
    batch: usize,
    greedy: &GreedyContinuation,
    name: String,
) -> Result<OutputCheck, Error> {
    model.reset();
    let row = greedy.prompt_tokens + greedy.new_tokens;
    let expected = |sequence: usize, position: usize| greedy.ids[sequence * row + position];
    let prompt: Vec<u32> = (0..batch)
        .flat_map(|sequence| (0..greedy.prompt_tokens).map(move |at| expected(sequence, at)))
        .collect();
    let (mut different, mut first_difference) = (0, None);
    let mut next = prompt;
    for position in greedy.prompt_tokens..row {
        let logits = model.feed(&next, batch)?;
        next.clear();
        for sequence in 0..batch {
            let found = most_likely(logits.last(sequence));
            if found != Some(expected(sequence, position)) {
                different += 1;
                first_difference.get_or_insert((sequence, position));
            }
            // The model goes on with its own tokens, as a user's would.
            next.push(found.unwrap_or_default());
        }
    }
    let compared = batch * greedy.new_tokens;
    let kind = CheckKind::Tokens { compared, different, first_difference };
    Ok(OutputCheck { name, kind, passed: different == 0 })
}
