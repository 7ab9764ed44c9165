//! The dispatches of a run, kept for the next: between two tokens of a sequence few steps change.

use std::sync::Arc;

use minuend_codegen::wgsl::{Dispatch, WgslLimits};
use minuend_plan::{BoundProgram, BoundStep, Program};
use minuend_runtime::DeviceError;

use crate::device::Shared;
use crate::pipelines::Pipeline;
use crate::recording::{dispatches_of, scratch_bytes};

/// The steps of the last run, in order.
#[derive(Default)]
pub(crate) struct Planned {
    pub(crate) steps: Vec<PlannedStep>,
    /// What the kernels were chosen by.
    limits: Option<Arc<WgslLimits>>,
}

/// A step with all that was found for it.
pub(crate) struct PlannedStep {
    bound: Arc<BoundStep>,
    pub(crate) dispatches: Vec<PlannedDispatch>,
}

/// A dispatch, its kernel and its bindings.
pub(crate) struct PlannedDispatch {
    pub(crate) dispatch: Dispatch,
    /// Number and kernel; `None` until it is compiled or found.
    pub(crate) kernel: Option<(usize, Arc<Pipeline>)>,
    /// Number of the bind group; `None` until it is found.
    pub(crate) bind_group: Option<usize>,
}

impl Planned {
    /// Chooses dispatches and kernels for every step that is not what it was in the last run.
    pub(crate) fn update(
        &mut self,
        shared: &Shared,
        program: &Program,
        bound: &BoundProgram,
    ) -> Result<(), DeviceError> {
        let limits = shared.limits();
        let is_same = self.limits.as_ref().is_some_and(|old| Arc::ptr_eq(old, &limits));
        if !is_same {
            self.steps.clear();
        }
        self.steps.truncate(bound.steps.len());
        for (index, step) in bound.steps.iter().enumerate() {
            if self.steps.get(index).is_some_and(|planned| Arc::ptr_eq(&planned.bound, step)) {
                continue;
            }
            let chosen = dispatches_of(&shared.gpu.name, program, index, step, &limits);
            let chosen = chosen.inspect_err(|_| self.steps.truncate(index))?;
            let dispatches = chosen.into_iter();
            let dispatches = dispatches
                .map(|dispatch| PlannedDispatch { dispatch, kernel: None, bind_group: None })
                .collect();
            let planned = PlannedStep { bound: Arc::clone(step), dispatches };
            match self.steps.get_mut(index) {
                Some(old) => *old = planned,
                None => self.steps.push(planned),
            }
        }
        self.limits = Some(limits);
        Ok(())
    }

    /// Dispatches whose kernel is not found yet.
    pub(crate) fn without_kernel(&mut self) -> impl Iterator<Item = &mut PlannedDispatch> {
        self.dispatches_mut().filter(|planned| planned.kernel.is_none())
    }

    /// Every dispatch, in order.
    pub(crate) fn dispatches_mut(&mut self) -> impl Iterator<Item = &mut PlannedDispatch> {
        self.steps.iter_mut().flat_map(|step| &mut step.dispatches)
    }

    /// A buffer was replaced.
    pub(crate) fn forget_bind_groups(&mut self) {
        self.dispatches_mut().for_each(|planned| planned.bind_group = None);
    }

    /// Scratch bytes that some dispatch needs.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        let dispatches = self.steps.iter().flat_map(|step| &step.dispatches);
        dispatches.map(|planned| scratch_bytes(&planned.dispatch)).max().unwrap_or(0)
    }
}
