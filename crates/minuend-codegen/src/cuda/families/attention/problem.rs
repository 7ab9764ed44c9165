//! How keys are seen and memory is moved by the kernels of attention.

use minuend_ir::ops::Mask;

use crate::attention::{Problem, strides};
use crate::cuda::error::CudaError;
use crate::cuda::launch::Arg;
use crate::place::TensorPlace;

impl Problem<'_> {
    /// True if a query sees no key behind its own position.
    pub(super) fn is_causal(&self) -> bool {
        self.mask != Mask::Full
    }

    /// Query `i` sees no key behind `i + reach`: its own position under a causal mask, otherwise any.
    pub(super) fn reach(&self) -> usize {
        if self.is_causal() { self.keys.saturating_sub(self.queries) } else { self.keys }
    }

    /// Keys up to its own position that a query sees at most; `i32::MAX` without such a limit.
    pub(super) fn window(&self) -> i32 {
        match self.mask {
            Mask::SlidingWindow { window } => i32::try_from(window).unwrap_or(i32::MAX),
            Mask::Full | Mask::Causal => i32::MAX,
        }
    }

    /// True if q, k, v and the result can be moved `bytes` (a power of two up to 256) at a time: they
    /// start at multiples of it, and their strides and rows are such multiples.
    pub(super) fn moves_by(&self, bytes: usize) -> bool {
        let element_bytes = self.dtype.bytes() as usize;
        let is_multiple = |elements: usize| (elements * element_bytes).is_multiple_of(bytes);
        let fits = |place: &TensorPlace<'_>| {
            place.byte_offset.is_multiple_of(bytes as u64)
                && is_multiple(place.shape[3])
                && strides(place).into_iter().all(is_multiple)
        };
        [self.q, self.k, self.v, self.out].into_iter().all(fits)
    }
}

/// A tensor's strides over batches, heads and tokens.
pub(super) fn stride_arg(place: &TensorPlace<'_>) -> Result<Arg, CudaError> {
    let mut all = [0; 6];
    for (to, value) in all.iter_mut().zip(strides(place)) {
        let name = "an attention stride";
        *to = i64::try_from(value).map_err(|_| CudaError::Size { name, value })?;
    }
    Ok(Arg::Strides(all))
}
