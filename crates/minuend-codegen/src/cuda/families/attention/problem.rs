//! The operands of an attention launch.

use minuend_ir::DType;
use minuend_ir::ops::{Attention, Mask};

use crate::cuda::error::CudaError;
use crate::cuda::families::unsupported;
use crate::place::{LaunchPlaces, TensorPlace};

/// A launch of `attention`, or of `diff_attention` if `lambda` is there. All tensors have rank 4, one
/// element type, and a dense last axis.
pub(super) struct Problem<'a> {
    /// `[batch, heads * streams, queries, head_dim]`.
    pub(super) q: &'a TensorPlace<'a>,
    /// `[batch, kv_heads, keys, head_dim]`.
    pub(super) k: &'a TensorPlace<'a>,
    /// `[batch, kv_heads, keys, value_dim]`.
    pub(super) v: &'a TensorPlace<'a>,
    /// `[batch, heads, queries, 1]`, before the sigmoid.
    pub(super) lambda: Option<&'a TensorPlace<'a>>,
    /// `[batch, heads, queries, value_dim]`.
    pub(super) out: &'a TensorPlace<'a>,
    /// Which keys a query sees. Query `i` stands at position `i + keys - queries`.
    pub(super) mask: Mask,
    /// Factor of the scores.
    pub(super) scale: f32,
    /// The type of all elements.
    pub(super) dtype: DType,
    pub(super) batch: usize,
    /// Output heads.
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
    pub(super) value_dim: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn of(
        launch: &LaunchPlaces<'a>,
        op: Attention,
        paired: bool,
    ) -> Result<Problem<'a>, CudaError> {
        let refuse = |reason| Err(unsupported(launch.kernel.op.mnemonic(), reason));
        let (operands, lambda) = match launch.operands {
            [q, k, v] if !paired => ([q, k, v], None),
            [q, k, v, lambda] if paired => ([q, k, v], Some(lambda)),
            _ => return refuse("the number of operands is not that of the op"),
        };
        let [q, k, v] = operands;
        let [out] = launch.results else { return refuse("it has one result") };
        let is_dense = |place: &TensorPlace<'_>| {
            place.shape.len() == 4 && (place.shape[3] <= 1 || place.strides[3] == 1)
        };
        if ![q, k, v, out].into_iter().all(is_dense) || lambda.is_some_and(|l| l.shape.len() != 4) {
            return refuse("an operand's last axis is strided");
        }
        let others = [k, v, out].into_iter().chain(lambda);
        if !q.dtype.is_float() || others.into_iter().any(|place| place.dtype != q.dtype) {
            return refuse("its tensors are not of one float type");
        }
        let problem = Problem {
            q,
            k,
            v,
            lambda,
            out,
            mask: op.mask,
            scale: op.scale.get() as f32,
            dtype: q.dtype,
            batch: out.shape[0],
            heads: out.shape[1],
            kv_heads: k.shape[1],
            queries: out.shape[2],
            keys: k.shape[2],
            head_dim: q.shape[3],
            value_dim: out.shape[3],
        };
        if problem.kv_heads == 0 || !problem.heads.is_multiple_of(problem.kv_heads) {
            return refuse("its heads are no multiple of its K/V heads");
        }
        Ok(problem)
    }

    /// Softmaxes that an output head is made of.
    pub(super) fn streams(&self) -> usize {
        if self.lambda.is_some() { 2 } else { 1 }
    }

    /// Output heads of a K/V head.
    pub(super) fn group_heads(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// True if a query sees no key behind its own position.
    pub(super) fn is_causal(&self) -> bool {
        self.mask != Mask::Full
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

/// Elements between batches, heads and tokens; 0 along an axis of one.
pub(super) fn strides(place: &TensorPlace<'_>) -> [usize; 3] {
    std::array::from_fn(|axis| if place.shape[axis] <= 1 { 0 } else { place.strides[axis] })
}
