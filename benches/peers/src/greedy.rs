//! Greedy generation, the same loop for every library.

use std::time::{Duration, Instant};

use minuend::{ModelSession, TokenModel, most_likely};

use crate::Outcome;

/// A language model with a cache of keys and values.
pub(crate) trait Greedy {
    /// Forgets all tokens.
    fn reset(&mut self) -> Outcome<()>;

    /// Feeds the next tokens; gives the logits of the last of them, on the host.
    fn feed(&mut self, ids: &[u32]) -> Outcome<Vec<f32>>;
}

impl Greedy for ModelSession {
    fn reset(&mut self) -> Outcome<()> {
        TokenModel::reset(self);
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Outcome<Vec<f32>> {
        Ok(TokenModel::feed(self, ids, 1)?.values)
    }
}

/// One greedy continuation.
pub(crate) struct Continuation {
    /// Time to feed the prompt.
    pub(crate) prefill: Duration,
    /// Time of all steps behind it.
    pub(crate) decode: Duration,
    /// The token chosen behind the prompt, then behind each step.
    pub(crate) tokens: Vec<u32>,
}

/// Feeds the prompt, then `steps` times the token that the model holds for most likely.
pub(crate) fn generate(
    model: &mut dyn Greedy,
    prompt: &[u32],
    steps: usize,
) -> Outcome<Continuation> {
    model.reset()?;
    let started = Instant::now();
    let mut token = choose(&model.feed(prompt)?)?;
    let prefill = started.elapsed();
    let mut tokens = vec![token];
    let started = Instant::now();
    for _ in 0..steps {
        token = choose(&model.feed(&[token])?)?;
        tokens.push(token);
    }
    Ok(Continuation { prefill, decode: started.elapsed(), tokens })
}

/// Logits behind the prompt and behind each of the tokens, one row after the other.
pub(crate) fn forced_logits(
    model: &mut dyn Greedy,
    prompt: &[u32],
    tokens: &[u32],
) -> Outcome<Vec<f32>> {
    model.reset()?;
    let mut logits = model.feed(prompt)?;
    for token in tokens {
        logits.extend(model.feed(&[*token])?);
    }
    Ok(logits)
}

fn choose(logits: &[f32]) -> Outcome<u32> {
    Ok(most_likely(logits).ok_or("no logit is finite")?)
}
