//! Caches that grow in place.

use minuend_ir::{NodeId, Op, ValueId};

use super::Planner;
use crate::error::PlanError;
use crate::program::{Storage, TensorRef};

/// A cache with the new tokens, and the part of its memory that they take.
struct Growth {
    grown: TensorRef,
    tail: TensorRef,
}

impl Planner<'_> {
    /// Growth in place where the result is the state's next value; otherwise a concatenation.
    pub(super) fn append(
        &mut self,
        axis: usize,
        value: ValueId,
        cache: ValueId,
        new: ValueId,
    ) -> Result<(), PlanError> {
        let Some(Growth { grown, tail }) = self.growth(axis, value, cache) else {
            return self.concat(axis, value, &[cache, new]);
        };
        let (mut from, label) = (self.place(new), self.label(value));
        // A kernel may have written the new tokens where they belong.
        if from != tail {
            if from.storage == tail.storage {
                // A part of the state itself: a copy must not read what it writes.
                from = self.copy_dense(from, label.clone());
            }
            self.copy(from, tail, label);
        }
        self.places.insert(value, grown);
        Ok(())
    }

    /// Where the result of an append lies if the state grows in place.
    fn growth(&self, axis: usize, value: ValueId, cache: ValueId) -> Option<Growth> {
        let is_next = self.states.iter().any(|state| state.input == cache && state.next == value);
        let old = self.places.get(&cache).filter(|_| is_next)?;
        let slot = match old.storage {
            Storage::State(index) => self.program.states.get(index),
            Storage::Block(_) | Storage::Argument(_) | Storage::Weight(_) => None,
        };
        slot.filter(|slot| slot.growing_axis == Some(axis))?;
        let grown = TensorRef { shape: self.graph.ty(value).shape.clone(), ..old.clone() };
        let (start, end) = (old.shape[axis].clone(), grown.shape[axis].clone());
        let tail = self.part(&grown, axis, start, end, value).ok()?;
        Some(Growth { grown, tail })
    }

    /// The memory behind a cache's tokens, if `value` goes there and nowhere else and the kernel of `op`
    /// can write it there: kernels of rope write any strides. Nothing else reads or writes that memory
    /// before the append.
    pub(super) fn cache_tail(
        &self,
        op: &Op,
        value: ValueId,
        operands: &[TensorRef],
    ) -> Option<TensorRef> {
        if !matches!(op, Op::Rope(_)) {
            return None;
        }
        let uses = self.graph.uses(value);
        let mut live = uses.iter().filter(|(user, _)| self.live.contains(user));
        let (Some((user, 1)), None) = (live.next(), live.next()) else { return None };
        let user: NodeId = *user;
        let Op::KvAppend(append) = &self.graph.node(user).op else { return None };
        let cache = *self.graph.operands(user).first()?;
        let Growth { tail, .. } = self.growth(append.axis, user.result(0), cache)?;
        let is_apart = operands.iter().all(|operand| operand.storage != tail.storage);
        (is_apart && tail.shape == self.graph.ty(value).shape).then_some(tail)
    }
}
