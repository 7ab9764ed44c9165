//! Growth of a key or value cache.

use std::sync::Arc;

use minuend_ir::ops::KvAppend;

use crate::ops::{Computed, layout};
use crate::tensor::Tensor;

/// The cache with the new tokens behind the old ones: a concatenation.
pub(crate) fn kv_append(op: KvAppend, operands: &[Arc<Tensor>]) -> Computed {
    layout::concat(op.axis, operands)
}
