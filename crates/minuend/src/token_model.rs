//! What generation and verification ask of a model, wherever it runs.

use minuend_models::ModelConfig;

use crate::error::{Error, RequestError};
use crate::generate::Continue;
use crate::sampling::{Sampler, most_likely};

/// Logits of some tokens of some sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// Number of sequences.
    pub batch: usize,
    /// Tokens of each sequence that have logits: those fed, or the last one.
    pub tokens: usize,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// `[batch, tokens, vocab_size]`, row-major.
    pub values: Vec<f32>,
}

impl Logits {
    /// Logits of the last token of a sequence.
    pub fn last(&self, sequence: usize) -> &[f32] {
        let row = (sequence + 1) * self.tokens;
        let range = row.saturating_sub(1) * self.vocab_size..row * self.vocab_size;
        self.values.get(range).unwrap_or(&[])
    }

    /// The most likely next token of each sequence; of equals the lowest id.
    ///
    /// # Errors
    /// [`RequestError::NoFiniteLogit`] if no logit of a sequence's last token is finite.
    pub fn most_likely_tokens(&self) -> Result<Vec<u32>, RequestError> {
        let next = |sequence| most_likely(self.last(sequence)).ok_or(RequestError::NoFiniteLogit);
        (0..self.batch).map(next).collect()
    }
}

/// A model that is fed tokens and remembers them.
pub trait TokenModel {
    /// Feeds the next tokens of `batch` sequences, `ids` being `[batch, n]` row-major, and returns their
    /// logits.
    fn feed(&mut self, ids: &[u32], batch: usize) -> Result<Logits, Error>;

    /// Feeds tokens as [`TokenModel::feed`] does and returns the most likely next token of each sequence,
    /// of equals the one with the lowest id.
    ///
    /// # Errors
    /// As [`TokenModel::feed`], and [`RequestError::NoFiniteLogit`] if no logit of a sequence's last
    /// token is finite. The tokens have been fed all the same.
    fn feed_greedy(&mut self, ids: &[u32], batch: usize) -> Result<Vec<u32>, Error> {
        Ok(self.feed(ids, batch)?.most_likely_tokens()?)
    }

    /// Feeds tokens, `ids` being `[batch, n]`, then again and again the next token of each sequence, `most`
    /// times altogether. `on_tokens` sees what is chosen, one token for each sequence; when it says no, or
    /// behind the last time, what was chosen last is not fed any more.
    ///
    /// The sampler says how tokens are chosen. A model may choose them itself, with the sampler's random
    /// numbers, and take numbers for one time more than `on_tokens` is called.
    ///
    /// # Errors
    /// As [`TokenModel::feed_greedy`].
    fn extend(
        &mut self,
        ids: &[u32],
        batch: usize,
        most: usize,
        sampler: &mut Sampler,
        on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
    ) -> Result<(), Error> {
        one_by_one(self, ids, batch, most, sampler, on_tokens)
    }

    /// Forgets all tokens.
    fn reset(&mut self);

    /// Tokens fed to each sequence since the last reset.
    fn position(&self) -> usize;

    /// Most tokens of a sequence that fit: the model's context, or less where memory is for fewer.
    fn capacity(&self) -> usize;

    /// Dimensions of the model.
    fn config(&self) -> &ModelConfig;
}

/// [`TokenModel::extend`] where the host chooses the tokens that are drawn.
pub(crate) fn one_by_one<M: TokenModel + ?Sized>(
    model: &mut M,
    ids: &[u32],
    batch: usize,
    most: usize,
    sampler: &mut Sampler,
    on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
) -> Result<(), Error> {
    let mut next = ids.to_vec();
    for _ in 0..most {
        next = if sampler.is_greedy() {
            model.feed_greedy(&next, batch)?
        } else {
            let logits = model.feed(&next, batch)?;
            let chosen = (0..batch).map(|sequence| sampler.choose(logits.last(sequence)));
            chosen.collect::<Result<_, _>>()?
        };
        if on_tokens(&next) == Continue::No {
            break;
        }
    }
    Ok(())
}

/// Checks what every implementation of [`TokenModel::feed`] must refuse; gives tokens per sequence.
pub(crate) fn check_tokens(
    config: &ModelConfig,
    position: usize,
    ids: &[u32],
    batch: usize,
) -> Result<usize, RequestError> {
    if ids.is_empty() || batch == 0 {
        return Err(RequestError::EmptyPrompt);
    }
    if !ids.len().is_multiple_of(batch) {
        return Err(RequestError::RaggedBatch { tokens: ids.len(), batch });
    }
    let count = ids.len() / batch;
    let (tokens, limit) = (position + count, config.max_positions);
    if tokens > limit {
        return Err(RequestError::PromptTooLong { tokens, limit });
    }
    match ids.iter().find(|id| **id as usize >= config.vocab_size) {
        Some(id) => Err(RequestError::TokenOutOfRange { id: *id, vocab_size: config.vocab_size }),
        None => Ok(count),
    }
}
