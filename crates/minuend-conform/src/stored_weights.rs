//! The weights that a device loads, for the interpreter.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use minuend::WeightSource;
use minuend_interp::{Tensor, Weights};

/// Stored tensors in float64, widened when first asked for.
pub struct StoredWeights<'w> {
    source: &'w dyn WeightSource,
    widened: RefCell<HashMap<String, Arc<Tensor>>>,
}

impl<'w> StoredWeights<'w> {
    /// The tensors of a source.
    pub fn new(source: &'w dyn WeightSource) -> StoredWeights<'w> {
        StoredWeights { source, widened: RefCell::new(HashMap::new()) }
    }
}

impl Weights for StoredWeights<'_> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        if let Some(tensor) = self.widened.borrow().get(name) {
            return Some(Arc::clone(tensor));
        }
        let stored = self.source.stored(name)?;
        let tensor = Tensor::from_bytes(stored.dtype, &stored.shape, &stored.data).ok()?;
        let tensor = Arc::new(tensor);
        self.widened.borrow_mut().insert(name.to_string(), Arc::clone(&tensor));
        Some(tensor)
    }
}
