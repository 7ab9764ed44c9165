//! Comparing a model with stored outputs.

use minuend_ir::DType;
use minuend_models::{ExpectedGroup, ExpectedOutputs, GreedyContinuation, ModelConfig};

use crate::error::{Error, RequestError};
use crate::sampling::most_likely;
use crate::token_model::TokenModel;

/// Relative L2 error of logits that f32 leaves: 2^-24 for each of some hundred operations between a token
/// and its logits, which add up like a random walk, and the coarser functions of GPUs.
const SINGLE: f64 = 1e-5;

/// Values that a layer stores one behind the other: norm, projections, rotation, attention, its
/// projection, the sum; norm, gate and up, their product, its projection, the sum; and the weights
/// between, which are rounded too where they are stored in a wider type.
const STORED_IN_A_LAYER: f64 = 12.0;

/// Largest relative L2 error of the logits of a model whose activations are of that type, against exact
/// ones.
///
/// In f32 it is 1e-5. Sixteen bits leave more, for each value that is stored is off by up to `u`, 2^-8 in
/// bf16 and 2^-11 in f16, and these errors, which know nothing of each other, add up like a random walk
/// over the `12 (layers + 1)` values that are stored on the way: `u sqrt(12 (layers + 1))`.
pub fn logits_tolerance(activations: DType, config: &ModelConfig) -> f64 {
    tolerance_behind(activations, config.layers)
}

/// As [`logits_tolerance`], of a graph with so many layers.
pub(crate) fn tolerance_behind(activations: DType, layers: usize) -> f64 {
    let rounding = match activations {
        DType::Bf16 => 2f64.powi(-8),
        DType::F16 => 2f64.powi(-11),
        DType::F32 | DType::I64 | DType::I32 | DType::Bool => return SINGLE,
    };
    rounding * (STORED_IN_A_LAYER * (layers as f64 + 1.0)).sqrt()
}

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
        /// Tokens that differ, near ties not counted.
        different: usize,
        /// Tokens that differ where the logits of both are closer than the errors of logits.
        near_ties: usize,
        /// Sequence and position of the first of `different`.
        first_difference: Option<(usize, usize)>,
    },
}

/// Runs every group of stored inputs and compares. The model must give logits of all tokens.
///
/// `tolerance` is of the relative L2 error of logits. A greedy token passes if it is the expected one or
/// if the two are a near tie: errors of the size that the group's logits have can exchange them.
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
        let logits = check_logits(model, group, name("logits"), tolerance)?;
        let error = match logits.kind {
            CheckKind::Logits { relative_l2, .. } => relative_l2.min(tolerance),
            CheckKind::Tokens { .. } => tolerance,
        };
        checks.push(logits);
        for greedy in &group.greedy {
            let name = name(&format!("greedy_from_{}", greedy.prompt_tokens));
            checks.push(check_greedy(model, group.batch, greedy, name, error)?);
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
    error: f64,
) -> Result<OutputCheck, Error> {
    model.reset();
    let row = greedy.prompt_tokens + greedy.new_tokens;
    let expected = |sequence: usize, position: usize| greedy.ids[sequence * row + position];
    let prompt: Vec<u32> = (0..batch)
        .flat_map(|sequence| (0..greedy.prompt_tokens).map(move |at| expected(sequence, at)))
        .collect();
    let (mut different, mut near_ties, mut first_difference) = (0, 0, None);
    let mut next = prompt;
    for position in greedy.prompt_tokens..row {
        let logits = model.feed(&next, batch)?;
        next.clear();
        for sequence in 0..batch {
            let (found, expected) = (logits.last(sequence), expected(sequence, position));
            if most_likely(found) != Some(expected) {
                if is_near_tie(found, expected, error) {
                    near_ties += 1;
                } else {
                    different += 1;
                    first_difference.get_or_insert((sequence, position));
                }
            }
            // The text goes on as expected, so that one difference counts once.
            next.push(expected);
        }
    }
    let compared = batch * greedy.new_tokens;
    let kind = CheckKind::Tokens { compared, different, near_ties, first_difference };
    Ok(OutputCheck { name, kind, passed: different == 0 })
}

/// Standard deviations within which all errors of the logits of a vocabulary lie, if they are normal:
/// of 100 000, one lies beyond 4.3.
const DEVIATIONS: f64 = 4.0;

/// True if the logit of a token is below the largest by no more than errors of both can make up for.
/// `error` is the root mean square of all errors over that of the logits.
fn is_near_tie(logits: &[f32], token: u32, error: f64) -> bool {
    let squares: f64 = logits.iter().map(|logit| f64::from(*logit).powi(2)).sum();
    let deviation = error * (squares / logits.len().max(1) as f64).sqrt();
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let logit = usize::try_from(token).ok().and_then(|token| logits.get(token));
    // NaN compares as no tie.
    logit.is_some_and(|logit| f64::from(largest - logit) <= 2.0 * DEVIATIONS * deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ties_are_within_the_errors() {
        // The root mean square is 1.
        let logits = [1.0, -1.0, 0.98, -1.02];
        assert!(is_near_tie(&logits, 0, 0.0));
        assert!(is_near_tie(&logits, 2, 0.0026));
        assert!(!is_near_tie(&logits, 2, 0.0024));
        assert!(!is_near_tie(&logits, 1, 0.1));
        assert!(!is_near_tie(&logits, 4, 1.0));
        assert!(!is_near_tie(&[f32::NAN, 1.0], 0, 1.0));
    }
}
