//! A compiled model while it generates.

use minuend_models::ModelConfig;
use minuend_runtime::{HostTensor, Session};

use crate::error::{Error, RequestError};
use crate::token_model::{Logits, TokenModel, check_tokens};

/// A session of a compiled model: its key/value cache and temporary memory.
pub struct ModelSession {
    config: ModelConfig,
    session: Session,
}

impl ModelSession {
    pub(crate) fn new(config: &ModelConfig, session: Session) -> ModelSession {
        ModelSession { config: config.clone(), session }
    }

    /// The session of the runtime below.
    pub fn runtime(&self) -> &Session {
        &self.session
    }
}

impl TokenModel for ModelSession {
    fn feed(&mut self, ids: &[u32], batch: usize) -> Result<Logits, Error> {
        let count = check_tokens(&self.config, self.position(), ids, batch)?;
        let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let ids = HostTensor::from_i64(&[batch, count], &values)
            .ok_or(RequestError::RaggedBatch { tokens: values.len(), batch })?;
        let outputs = self.session.run(&[ids])?;
        let logits = outputs.first();
        let values = logits.and_then(HostTensor::to_f32).unwrap_or_default();
        let tokens = logits.and_then(|logits| logits.shape().get(1).copied()).unwrap_or(0);
        Ok(Logits { batch, tokens, vocab_size: self.config.vocab_size, values })
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
