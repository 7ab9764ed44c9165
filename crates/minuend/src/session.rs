//! A compiled model while it generates.

use minuend_ir::DType;
use minuend_models::{ModelConfig, TOKEN_OUTPUT};
use minuend_plan::Output;
use minuend_runtime::{HostTensor, Input, Session};

use crate::error::{Error, RequestError};
use crate::generate::Continue;
use crate::token_model::{Logits, TokenModel, check_tokens, one_by_one};

/// A session of a compiled model: its key/value cache and temporary memory.
pub struct ModelSession {
    config: ModelConfig,
    session: Session,
    /// Index of the output [`TOKEN_OUTPUT`], where the program has it.
    token_output: Option<usize>,
}

/// Index of the output with the logits.
const LOGITS: usize = 0;

impl ModelSession {
    pub(crate) fn new(config: &ModelConfig, session: Session) -> ModelSession {
        let outputs = &session.program().outputs;
        let is_token =
            |output: &Output| &*output.name == TOKEN_OUTPUT && output.tensor.dtype == DType::I64;
        let token_output = outputs.iter().position(is_token);
        ModelSession { config: config.clone(), session, token_output }
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
        self.run(ids, batch, &[]).map(|_| ())
    }

    /// Waits until the steps given so far are done.
    ///
    /// # Errors
    /// [`Error::Run`] if one of them failed.
    pub fn synchronize(&mut self) -> Result<(), Error> {
        Ok(self.session.synchronize()?)
    }

    /// Gives the device the step behind a token before the token is here: the host's work on a step goes
    /// on while the device is at the one before. The first step has been given.
    fn run_ahead(
        &mut self,
        output: usize,
        most: usize,
        on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
    ) -> Result<(), Error> {
        let mut pending = self.session.start_reading(output)?;
        for chosen in 1..=most {
            let ahead = if chosen < most && self.position() < self.capacity() {
                self.session.give(&[Input::LastOutput(output)])?;
                Some(self.session.start_reading(output)?)
            } else {
                None
            };
            let tokens = token_ids(self.session.finish_reading(pending)?.to_i64());
            let goes_on = tokens.as_ref().is_ok_and(|tokens| on_tokens(tokens) == Continue::Yes);
            match ahead {
                Some(next) if goes_on => pending = next,
                Some(next) => {
                    // Whatever it gives: the step is taken back.
                    let _ = self.session.finish_reading(next);
                    self.session.rewind(self.session.position().saturating_sub(1));
                    return Ok(tokens.map(drop)?);
                }
                None => return Ok(tokens.map(drop)?),
            }
        }
        Ok(())
    }

    /// Feeds tokens and reads at most one output.
    fn run(
        &mut self,
        ids: &[u32],
        batch: usize,
        outputs: &[usize],
    ) -> Result<Option<HostTensor>, Error> {
        let count = check_tokens(&self.config, self.position(), ids, batch)?;
        let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let ids = HostTensor::from_i64(&[batch, count], &values)
            .ok_or(RequestError::RaggedBatch { tokens: values.len(), batch })?;
        Ok(self.session.run_for(&[ids], outputs)?.pop())
    }
}

impl TokenModel for ModelSession {
    fn feed(&mut self, ids: &[u32], batch: usize) -> Result<Logits, Error> {
        let logits = self.run(ids, batch, &[LOGITS])?;
        let values = logits.as_ref().and_then(HostTensor::to_f32).unwrap_or_default();
        let tokens = logits.and_then(|logits| logits.shape().get(1).copied()).unwrap_or(0);
        Ok(Logits { batch, tokens, vocab_size: self.config.vocab_size, values })
    }

    fn feed_greedy(&mut self, ids: &[u32], batch: usize) -> Result<Vec<u32>, Error> {
        let Some(output) = self.token_output else {
            return Ok(self.feed(ids, batch)?.most_likely_tokens()?);
        };
        let tokens = self.run(ids, batch, &[output])?.and_then(|tokens| tokens.to_i64());
        Ok(token_ids(tokens)?)
    }

    fn feed_greedily(
        &mut self,
        ids: &[u32],
        batch: usize,
        most: usize,
        on_tokens: &mut dyn FnMut(&[u32]) -> Continue,
    ) -> Result<(), Error> {
        match self.token_output {
            Some(output) if self.session.runs_ahead() && most > 0 => {
                self.enqueue(ids, batch)?;
                self.run_ahead(output, most, on_tokens)
            }
            _ => one_by_one(self, ids, batch, most, on_tokens),
        }
    }

    fn reset(&mut self) {
        self.session.reset();
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
