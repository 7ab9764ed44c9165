//! A compiled model while it generates.

use minuend_ir::DType;
use minuend_models::{ModelConfig, SAMPLE_ARGUMENTS, TOKEN_OUTPUT};
use minuend_plan::Output;
use minuend_runtime::{HostTensor, Input, Session};

use crate::error::{Error, RequestError};
use crate::generate::Continue;
use crate::sampling::{Rules, Sampler};
use crate::token_model::{Logits, TokenModel, check_tokens, one_by_one};

/// A session of a compiled model: its key/value cache and temporary memory.
pub struct ModelSession {
    config: ModelConfig,
    session: Session,
    /// Index of the output [`TOKEN_OUTPUT`], where the program has it.
    token_output: Option<usize>,
    /// The program draws that token, by arguments that are rules and random numbers.
    is_sampled: bool,
    /// The rules that the device holds.
    held_rules: Option<Rules>,
}

/// Index of the output with the logits.
const LOGITS: usize = 0;

impl ModelSession {
    pub(crate) fn new(config: &ModelConfig, session: Session) -> ModelSession {
        let outputs = &session.program().outputs;
        let is_token =
            |output: &Output| &*output.name == TOKEN_OUTPUT && output.tensor.dtype == DType::I64;
        let token_output = outputs.iter().position(is_token);
        let arguments = session.program().arguments.iter().skip(1);
        let is_sampled = arguments.map(|argument| &*argument.name).eq(SAMPLE_ARGUMENTS);
        let config = config.clone();
        ModelSession { config, session, token_output, is_sampled, held_rules: None }
    }

    /// The session of the runtime below.
    pub fn runtime(&self) -> &Session {
        &self.session
    }

    /// Feeds tokens and reads nothing: the step is given to the device, which may still be at work when
    /// this returns.
    ///
    /// # Errors
    /// As [`TokenModel::feed`].
    pub fn enqueue(&mut self, ids: &[u32], batch: usize) -> Result<(), Error> {
        self.run(ids, batch, None).map(|_| ())
    }

    /// Waits until the steps given so far are done.
    ///
    /// # Errors
    /// [`Error::Run`] if one of them failed.
    pub fn synchronize(&mut self) -> Result<(), Error> {
        Ok(self.session.synchronize()?)
    }

    /// Extends texts by tokens that the program chooses, behind the first step, which has been given. Where
    /// it pays, the device is given the step behind a token before the token is here: the host's work on a
    /// step goes on while the device is at the one before.
    fn extend_by_program(
        &mut self,
        output: usize,
        (batch, most): (usize, usize),
        sampler: &mut Sampler,
        on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
    ) -> Result<(), Error> {
        let (rules, runs_ahead) = (sampler.rules(), self.session.runs_ahead());
        let mut pending = self.session.start_reading(output)?;
        for chosen in 1..=most {
            let ahead = if runs_ahead && chosen < most && self.position() < self.capacity() {
                self.give(Input::LastOutput(output), rules, &sampler.uniforms(batch))?;
                Some(self.session.start_reading(output)?)
            } else {
                None
            };
            let tokens = token_ids(self.session.finish_reading(pending)?.to_i64());
            let goes_on = tokens.as_ref().is_ok_and(|tokens| on_tokens(tokens) == Continue::Yes);
            pending = match ahead {
                Some(next) if goes_on => next,
                Some(next) => {
                    // Whatever it gives: the step is taken back.
                    let _ = self.session.finish_reading(next);
                    self.session.rewind(self.session.position().saturating_sub(1));
                    return Ok(tokens.map(drop)?);
                }
                None if goes_on && chosen < most => {
                    let ids = self.checked_ids(&tokens?, batch)?;
                    self.give(Input::Host(&ids), rules, &sampler.uniforms(batch))?;
                    self.session.start_reading(output)?
                }
                None => return Ok(tokens.map(drop)?),
            }
        }
        Ok(())
    }

    /// Tokens of `batch` sequences as an argument.
    fn checked_ids(&self, ids: &[u32], batch: usize) -> Result<HostTensor, RequestError> {
        let count = check_tokens(&self.config, self.position(), ids, batch)?;
        let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        HostTensor::from_i64(&[batch, count], &values)
            .ok_or(RequestError::RaggedBatch { tokens: values.len(), batch })
    }

    /// Gives the device a step. Rules and random numbers, one for each sequence, are for programs that
    /// draw tokens.
    fn give(&mut self, ids: Input<'_>, rules: Rules, uniforms: &[f32]) -> Result<(), Error> {
        if !self.is_sampled {
            return Ok(self.session.give(&[ids])?);
        }
        let settings = [
            HostTensor::from_f32(&[], &[rules.temperature]),
            HostTensor::from_i64(&[], &[rules.top_k]),
            HostTensor::from_f32(&[], &[rules.top_p]),
        ];
        let is_held = self.held_rules.replace(rules) == Some(rules);
        let settings = settings.iter().flatten();
        let settings =
            settings.map(|tensor| if is_held { Input::Kept } else { Input::Host(tensor) });
        let uniforms = HostTensor::from_f32(&[uniforms.len(), 1], uniforms);
        let uniforms = uniforms.iter().map(Input::Host);
        let inputs: Vec<Input<'_>> = [ids].into_iter().chain(settings).chain(uniforms).collect();
        let given = self.session.give(&inputs);
        if given.is_err() {
            self.held_rules = None;
        }
        Ok(given?)
    }

    /// Feeds tokens and reads an output, if one is wanted. A token that the program draws is the most
    /// likely one.
    fn run(
        &mut self,
        ids: &[u32],
        batch: usize,
        output: Option<usize>,
    ) -> Result<Option<HostTensor>, Error> {
        let ids = self.checked_ids(ids, batch)?;
        self.give(Input::Host(&ids), Rules::GREEDY, &vec![0.0; batch])?;
        Ok(output.map(|output| self.session.read(output)).transpose()?)
    }
}

impl TokenModel for ModelSession {
    fn feed(&mut self, ids: &[u32], batch: usize) -> Result<Logits, Error> {
        let logits = self.run(ids, batch, Some(LOGITS))?;
        let values = logits.as_ref().and_then(HostTensor::to_f32).unwrap_or_default();
        let tokens = logits.and_then(|logits| logits.shape().get(1).copied()).unwrap_or(0);
        Ok(Logits { batch, tokens, vocab_size: self.config.vocab_size, values })
    }

    fn feed_greedy(&mut self, ids: &[u32], batch: usize) -> Result<Vec<u32>, Error> {
        let Some(output) = self.token_output else {
            return Ok(self.feed(ids, batch)?.most_likely_tokens()?);
        };
        let tokens = self.run(ids, batch, Some(output))?.and_then(|tokens| tokens.to_i64());
        Ok(token_ids(tokens)?)
    }

    fn extend(
        &mut self,
        ids: &[u32],
        batch: usize,
        most: usize,
        sampler: &mut Sampler,
        on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
    ) -> Result<(), Error> {
        match self.token_output {
            Some(output) if most > 0 && (self.is_sampled || sampler.is_greedy()) => {
                let ids = self.checked_ids(ids, batch)?;
                self.give(Input::Host(&ids), sampler.rules(), &sampler.uniforms(batch))?;
                self.extend_by_program(output, (batch, most), sampler, on_tokens)
            }
            _ => one_by_one(self, ids, batch, most, sampler, on_tokens),
        }
    }

    fn reset(&mut self) {
        self.session.reset();
        self.held_rules = None;
    }

    fn position(&self) -> usize {
        usize::try_from(self.session.position()).unwrap_or(usize::MAX)
    }

    fn capacity(&self) -> usize {
        let memory = usize::try_from(self.session.capacity()).unwrap_or(usize::MAX);
        memory.min(self.config.max_positions)
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }
}

/// Ids of chosen tokens. The program gives -1 where no logit is finite.
fn token_ids(tokens: Option<Vec<i64>>) -> Result<Vec<u32>, RequestError> {
    let token = |id: i64| u32::try_from(id).map_err(|_| RequestError::NoFiniteLogit);
    tokens.unwrap_or_default().into_iter().map(token).collect()
}
