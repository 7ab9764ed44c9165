//! Weights that tell how many of them have been asked for.

use std::cell::Cell;

use minuend_plan::{Program, WeightSlot};
use minuend_runtime::{StoredTensor, WeightSource};

/// A source of weights for one load of a program.
pub(crate) struct ReportingWeights<'a> {
    source: &'a dyn WeightSource,
    /// Elements of the tensors asked for so far. They may be stored in another type than they are loaded
    /// in, so bytes are told in proportion.
    elements: Cell<u64>,
    all_elements: u64,
    all_bytes: u64,
    loaded: &'a dyn Fn(u64, u64),
}

impl<'a> ReportingWeights<'a> {
    pub(crate) fn new(
        source: &'a dyn WeightSource,
        program: &Program,
        loaded: &'a dyn Fn(u64, u64),
    ) -> ReportingWeights<'a> {
        let elements = |slot: &WeightSlot| {
            u64::try_from(slot.ty.elements().as_const().unwrap_or(0)).unwrap_or(0)
        };
        let all_elements = program.weights.iter().map(elements).fold(0, u64::saturating_add);
        let all_bytes = program.weight_bytes();
        ReportingWeights { source, elements: Cell::new(0), all_elements, all_bytes, loaded }
    }
}

impl WeightSource for ReportingWeights<'_> {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let share = self.elements.get() as f64 / self.all_elements.max(1) as f64;
        (self.loaded)((share * self.all_bytes as f64) as u64, self.all_bytes);
        let tensor = self.source.stored(name)?;
        let elements = tensor.data.len() as u64 / tensor.dtype.bytes();
        self.elements.set(self.elements.get().saturating_add(elements));
        Some(tensor)
    }
}
