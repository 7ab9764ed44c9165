//! Growth of a key or value cache.

use crate::error::{Infer, bad_attribute};
use crate::ops::layout::Concat;
use crate::ops::operands::Operands;
use crate::tensor_type::TensorType;

/// `kv_append(cache, new)`: the cache with the new tokens behind the old ones along an axis.
///
/// It means what `concat` means, and it promises more: the result is the next value of the state
/// `cache`, so a device writes `new` into the state's storage and copies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvAppend {
    /// The axis of tokens.
    pub axis: usize,
}

impl KvAppend {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [cache, _] = operands.exactly()?;
        if self.axis >= cache.rank() {
            return Err(bad_attribute("axis", self.axis, format!("below {}", cache.rank())));
        }
        Concat { axis: self.axis }.infer(operands)
    }
}
