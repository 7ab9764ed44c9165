//! In which element type a fused op takes its operands and leaves its result.
//!
//! Front ends widen to f32 around norms, gates and rotations and narrow behind them. The fused ops do
//! that inside, so they read and write the narrow values directly.

use minuend_ir::{DType, Emit, Emitted, Graph, Op, PatchBuilder, ValueId};
use smallvec::{SmallVec, smallvec};

use crate::matcher::without_float_casts;

/// The element type of a fused op and the values that its result replaces.
pub(crate) struct Storage {
    /// The element type.
    pub(crate) dtype: DType,
    replaced: SmallVec<[ValueId; 2]>,
}

impl Storage {
    /// The storage of an op that computes `result` from operands that are stored as `native`: the
    /// native type if every user narrows or widens the result to it, else the result's own.
    pub(crate) fn of(graph: &Graph, result: ValueId, native: DType) -> Storage {
        let own = graph.ty(result).dtype;
        if own != native
            && let Some(replaced) = casts_to(graph, result, native)
        {
            return Storage { dtype: native, replaced };
        }
        Storage { dtype: own, replaced: smallvec![result] }
    }

    /// The source of the operand's casts, in this element type.
    pub(crate) fn operand(
        &self,
        graph: &Graph,
        patch: &mut PatchBuilder<'_>,
        operand: ValueId,
    ) -> Emitted {
        patch.cast(without_float_casts(graph, operand), self.dtype)
    }

    /// Lets the users of the old result read the new one.
    pub(crate) fn replace(&self, patch: &mut PatchBuilder<'_>, new: ValueId) {
        for old in &self.replaced {
            patch.replace(*old, new);
        }
    }
}

/// The users of a value, if it has some and all of them are casts to that type.
fn casts_to(graph: &Graph, value: ValueId, dtype: DType) -> Option<SmallVec<[ValueId; 2]>> {
    let uses = graph.uses(value);
    let casts = uses.iter().map(|(user, _)| match &graph.node(*user).op {
        Op::Cast(cast) if cast.to == dtype => Some(user.result(0)),
        _ => None,
    });
    if uses.is_empty() { None } else { casts.collect() }
}
