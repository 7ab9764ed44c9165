//! Trained tensors for problems: one table that both the interpreter and the devices read.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use minuend::{StoredTensor, WeightSource};
use minuend_interp::{Tensor, Weights};

use crate::random_values::bytes_of;

/// Tensors by name.
#[derive(Clone, Default)]
pub struct WeightTable(HashMap<String, Entry>);

/// A tensor, and its bytes as a file would hold them.
#[derive(Clone)]
struct Entry {
    tensor: Arc<Tensor>,
    /// Kept, for how they are aligned may decide how they are summed.
    bytes: Bytes,
}

impl WeightTable {
    /// Adds a tensor.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        let bytes = Bytes::from(bytes_of(&tensor));
        self.0.insert(name.to_string(), Entry { tensor: Arc::new(tensor), bytes });
    }
}

impl Weights for WeightTable {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        self.0.get(name).map(|entry| Arc::clone(&entry.tensor))
    }
}

impl WeightSource for WeightTable {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let Entry { tensor, bytes } = self.0.get(name)?;
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        Some(StoredTensor { dtype, shape, data: bytes.clone() })
    }
}
