//! A model on the float64 reference interpreter.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use minuend_interp::{Tensor, TensorError, Weights, evaluate};
use minuend_ir::order::topological;
use minuend_ir::{DType, Graph, Op};
use minuend_models::ModelConfig;
use minuend_runtime::{DeviceError, WeightSource};

use crate::error::Error;
use crate::token_model::{Logits, TokenModel, check_tokens};

/// Evaluates a model's source graph, nothing fused and nothing compiled.
pub struct InterpretedModel<'m> {
    config: ModelConfig,
    graph: Graph,
    weights: WidenedWeights<'m>,
    states: Vec<Tensor>,
    position: usize,
}

/// Stored tensors in the types that the graph declares, as devices load them, then widened to float64
/// when first asked for.
pub(crate) struct WidenedWeights<'m> {
    source: &'m dyn WeightSource,
    declared: HashMap<String, DType>,
    widened: RefCell<HashMap<String, Arc<Tensor>>>,
    /// Why a tensor could not be converted.
    failure: RefCell<Option<DeviceError>>,
}

impl<'m> WidenedWeights<'m> {
    pub(crate) fn new(graph: &Graph, source: &'m dyn WeightSource) -> WidenedWeights<'m> {
        let mut declared = HashMap::new();
        for at in topological(graph) {
            if let Op::Weight(weight) = &graph.node(at).op {
                let names = weight.parts.iter().map(|name| (name.to_string(), weight.ty.dtype));
                declared.extend(names);
            }
        }
        let (widened, failure) = (RefCell::default(), RefCell::default());
        WidenedWeights { source, declared, widened, failure }
    }

    /// Why a tensor could not be converted, if one could not.
    pub(crate) fn take_failure(&self) -> Option<DeviceError> {
        self.failure.take()
    }
}

impl Weights for WidenedWeights<'_> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        if let Some(tensor) = self.widened.borrow().get(name) {
            return Some(Arc::clone(tensor));
        }
        let stored = self.source.stored(name)?;
        let declared = self.declared.get(name).copied().unwrap_or(stored.dtype);
        let converted = stored.converted(name, declared);
        let converted = converted.map_err(|error| self.failure.replace(Some(error))).ok()?;
        let stored = converted.unwrap_or(stored);
        let tensor = Tensor::from_bytes(stored.dtype, &stored.shape, &stored.data).ok()?;
        let tensor = Arc::new(tensor);
        self.widened.borrow_mut().insert(name.to_string(), Arc::clone(&tensor));
        Some(tensor)
    }
}

impl<'m> InterpretedModel<'m> {
    pub(crate) fn new(
        config: &ModelConfig,
        graph: Graph,
        source: &'m dyn WeightSource,
    ) -> InterpretedModel<'m> {
        let weights = WidenedWeights::new(&graph, source);
        InterpretedModel { config: config.clone(), graph, weights, states: Vec::new(), position: 0 }
    }

    /// Caches without tokens, for `batch` sequences.
    fn empty_states(&self, batch: usize) -> Result<Vec<Tensor>, TensorError> {
        let shape = [batch, self.config.kv_heads, 0, self.config.head_dim];
        let states = self.graph.states();
        let dtype = |state: &minuend_ir::State| self.graph.ty(state.input).dtype;
        let empty = states.iter().map(|state| Tensor::from_reals(dtype(state), &shape, Vec::new()));
        empty.collect()
    }
}

impl TokenModel for InterpretedModel<'_> {
    fn feed(&mut self, ids: &[u32], batch: usize) -> Result<Logits, Error> {
        let count = check_tokens(&self.config, self.position, ids, batch)?;
        if self.position == 0 {
            self.states = self.empty_states(batch)?;
        }
        let ids = ids.iter().map(|id| i64::from(*id)).collect();
        let ids = Tensor::from_ints(DType::I64, &[batch, count], ids)?;
        let mut inputs = vec![ids];
        inputs.extend(self.states.iter().cloned());
        let outcome = evaluate(&self.graph, &inputs, &self.weights);
        if let Some(failure) = self.weights.take_failure() {
            return Err(failure.into());
        }
        let outcome = outcome?;
        self.states = outcome.next_states;
        self.position += count;
        let logits = outcome.outputs.first();
        let values = logits.and_then(Tensor::reals).unwrap_or_default();
        let values = values.iter().map(|value| *value as f32).collect();
        let tokens = logits.and_then(|logits| logits.shape().get(1).copied()).unwrap_or(0);
        Ok(Logits { batch, tokens, vocab_size: self.config.vocab_size, values })
    }

    fn reset(&mut self) {
        self.states.clear();
        self.position = 0;
    }

    fn position(&self) -> usize {
        self.position
    }

    fn capacity(&self) -> usize {
        self.config.max_positions
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }
}
