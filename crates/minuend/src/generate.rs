//! Continuing a text token by token.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sampling::{Sampler, Sampling};
use crate::token_model::TokenModel;

/// How far and how to continue.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens to add.
    pub max_new_tokens: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// Tokens that end the text; they are not part of it.
    pub eos_ids: Vec<u32>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model chose an end token.
    EndOfText,
    /// As many tokens as asked for.
    Length,
    /// The model's context, or the session's memory, is full.
    Context,
    /// The callback asked to stop.
    Stopped,
}

/// Whether generation goes on behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// Go on.
    Yes,
    /// Stop here.
    No,
}

/// A generated continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The tokens added, without an end token.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Time to feed the prompt and to choose the token behind it.
    pub prefill_time: Duration,
    /// Time for all steps behind the prompt.
    pub decode_time: Duration,
    /// Number of those steps, one token each.
    pub decode_steps: usize,
}

impl Generation {
    /// Tokens per second behind the prompt; `None` if there was no step.
    pub fn decode_tokens_per_s(&self) -> Option<f64> {
        (self.decode_steps > 0).then(|| self.decode_steps as f64 / self.decode_time.as_secs_f64())
    }
}

/// Feeds `prompt` to a model and continues it. `on_token` sees each token as it is chosen. Where
/// tokens are chosen is the model's matter, see [`TokenModel::extend`].
///
/// # Errors
/// [`Error::Request`] for an empty or too long prompt and for sampling settings out of range;
/// whatever the model gives otherwise.
pub fn generate(
    model: &mut dyn TokenModel,
    prompt: &[u32],
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(u32) -> Continue,
) -> Result<Generation, Error> {
    let room = model.capacity().saturating_sub(model.position()).saturating_sub(prompt.len());
    generate_by(room, options, on_token, &mut |most, sampler, on_tokens| {
        model.extend(prompt, 1, most, sampler, on_tokens)
    })
}

/// Feeds the prompt, then chooses tokens, that many at most: as [`TokenModel::extend`] without the tokens and
/// their number of sequences, which is 1.
type Extend<'a> =
    &'a mut dyn FnMut(usize, &mut Sampler, &mut dyn FnMut(&[u32]) -> Continue) -> Result<(), Error>;

/// [`generate`] by any means of extending a text. `room` is how many tokens can be fed behind the prompt.
pub(crate) fn generate_by(
    room: usize,
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(u32) -> Continue,
    extend: Extend<'_>,
) -> Result<Generation, Error> {
    let mut sampler = Sampler::new(&options.sampling)?;
    // Choosing a token takes no room; feeding it does.
    let most = options.max_new_tokens.max(1).min(room.saturating_add(1));
    let (mut token_ids, mut finish) = (Vec::new(), Finish::Context);
    let started = Instant::now();
    let (mut prefill_time, mut seen) = (Duration::ZERO, 0usize);
    extend(most, &mut sampler, &mut |tokens| {
        let Some(token) = tokens.first().copied() else { return Continue::No };
        if seen == 0 {
            prefill_time = started.elapsed();
        }
        seen += 1;
        let end = if options.max_new_tokens == 0 {
            Some(Finish::Length)
        } else if options.eos_ids.contains(&token) {
            Some(Finish::EndOfText)
        } else {
            token_ids.push(token);
            if on_token(token) == Continue::No {
                Some(Finish::Stopped)
            } else {
                (token_ids.len() == options.max_new_tokens).then_some(Finish::Length)
            }
        };
        match end {
            None => Continue::Yes,
            Some(reason) => {
                finish = reason;
                Continue::No
            }
        }
    })?;
    let decode_time = started.elapsed().saturating_sub(prefill_time);
    let decode_steps = seen.saturating_sub(1);
    Ok(Generation { token_ids, finish, prefill_time, decode_time, decode_steps })
}
