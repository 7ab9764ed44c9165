//! Trained tensors for problems: one table that both the interpreter and the devices read.

use std::collections::HashMap;
use std::sync::Arc;

use minuend::{StoredTensor, WeightSource};
use minuend_interp::{Tensor, Weights};

use crate::random_values::bytes_of;

/// Tensors by name.
#[derive(Clone, Default)]
pub struct WeightTable(HashMap<String, Arc<Tensor>>);

impl WeightTable {
    /// Adds a tensor.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.0.insert(name.to_string(), Arc::new(tensor));
    }

    /// True if there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl Weights for WeightTable {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        self.0.get(name).cloned()
    }
}

impl WeightSource for WeightTable {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let tensor = self.0.get(name)?;
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        Some(StoredTensor { dtype, shape, data: bytes_of(tensor).into() })
    }
}
