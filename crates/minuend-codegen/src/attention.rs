//! The tensors and sizes of an attention launch.

use minuend_ir::DType;
use minuend_ir::ops::{Attention, Mask};

use crate::place::{LaunchPlaces, TensorPlace};
use crate::unsupported::Unsupported;

/// A launch of `attention`, or of `diff_attention` if `lambda` is there. All tensors have rank 4, one
/// element type, and a dense last axis.
pub(crate) struct Problem<'a> {
    /// `[batch, heads * streams, queries, head_dim]`.
    pub(crate) q: &'a TensorPlace<'a>,
    /// `[batch, kv_heads, keys, head_dim]`.
    pub(crate) k: &'a TensorPlace<'a>,
    /// `[batch, kv_heads, keys, value_dim]`.
    pub(crate) v: &'a TensorPlace<'a>,
    /// `[batch, heads, queries, 1]`, before the sigmoid.
    pub(crate) lambda: Option<&'a TensorPlace<'a>>,
    /// `[batch, heads, queries, value_dim]`.
    pub(crate) out: &'a TensorPlace<'a>,
    /// Which keys a query sees. Query `i` stands at position `i + keys - queries`.
    pub(crate) mask: Mask,
    /// Factor of the scores.
    pub(crate) scale: f32,
    /// The type of all elements.
    pub(crate) dtype: DType,
    /// Batch elements.
    pub(crate) batch: usize,
    /// Output heads.
    pub(crate) heads: usize,
    /// K/V heads, of which the output heads are a multiple.
    pub(crate) kv_heads: usize,
    /// Query tokens.
    pub(crate) queries: usize,
    /// Key tokens.
    pub(crate) keys: usize,
    /// Elements of a query and of a key.
    pub(crate) head_dim: usize,
    /// Elements of a value.
    pub(crate) value_dim: usize,
}

impl<'a> Problem<'a> {
    /// The operands and the result of a launch, which has a `lambda` if it is `paired`.
    pub(crate) fn of(
        launch: &LaunchPlaces<'a>,
        op: Attention,
        paired: bool,
    ) -> Result<Problem<'a>, Unsupported> {
        let op_name = launch.kernel.op.mnemonic();
        let refuse = |reason: &str| Err(Unsupported { op: op_name, reason: reason.to_string() });
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
    pub(crate) fn streams(&self) -> usize {
        if self.lambda.is_some() { 2 } else { 1 }
    }

    /// Output heads of a K/V head.
    pub(crate) fn group_heads(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Elements between batches, heads and tokens; 0 along an axis of one.
pub(crate) fn strides(place: &TensorPlace<'_>) -> [usize; 3] {
    std::array::from_fn(|axis| if place.shape[axis] <= 1 { 0 } else { place.strides[axis] })
}
