//! The launches of a run, kept for the next: between two tokens of a sequence few steps change.

use std::sync::Arc;

use minuend_codegen::cuda::{CudaError, CudaLimits, KernelSpec, Work, Works, copies, works};
use minuend_codegen::{LaunchPlaces, TensorPlace};
use minuend_plan::{BoundProgram, BoundStep, BoundTensor, Program};
use minuend_runtime::DeviceError;
use smallvec::SmallVec;

use crate::gpu::Gpu;
use crate::launch::PreparedWork;

/// The steps of the last run, in order.
#[derive(Default)]
pub(crate) struct Planned {
    pub(crate) steps: Vec<PlannedStep>,
    /// What the kernels were chosen by.
    limits: Option<Arc<CudaLimits>>,
}

/// A step with all that was found for it.
pub(crate) struct PlannedStep {
    pub(crate) bound: Arc<BoundStep>,
    pub(crate) works: Works,
    /// As `works`, with addresses; empty until they are found.
    pub(crate) prepared: SmallVec<[PreparedWork; 2]>,
    /// It is not what it was when the graph was last brought up to date.
    pub(crate) is_changed: bool,
}

impl Planned {
    /// Chooses kernels for every step that is not what it was in the last run. Gives the number of
    /// steps that were kept.
    pub(crate) fn update(
        &mut self,
        gpu: &Gpu,
        limits: &Arc<CudaLimits>,
        program: &Program,
        bound: &BoundProgram,
    ) -> Result<usize, DeviceError> {
        let is_same = self.limits.as_ref().is_some_and(|old| Arc::ptr_eq(old, limits));
        if !is_same {
            self.steps.clear();
            self.limits = Some(Arc::clone(limits));
        }
        self.steps.truncate(bound.steps.len());
        let mut kept = 0;
        for (index, step) in bound.steps.iter().enumerate() {
            if self.steps.get(index).is_some_and(|planned| Arc::ptr_eq(&planned.bound, step)) {
                kept += 1;
                continue;
            }
            let chosen = works_of(program, step, limits)
                .map_err(|error| step_error(gpu, index, step, program, &error));
            let works = chosen.inspect_err(|_| self.steps.truncate(index))?;
            let bound = Arc::clone(step);
            let prepared = SmallVec::new();
            let planned = PlannedStep { bound, works, prepared, is_changed: true };
            match self.steps.get_mut(index) {
                Some(old) => *old = planned,
                None => self.steps.push(planned),
            }
        }
        Ok(kept)
    }

    /// The kernels of steps that are not prepared yet.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &KernelSpec> {
        let steps = self.steps.iter().filter(|step| step.prepared.len() < step.works.steps.len());
        steps.flat_map(|step| &step.works.steps).filter_map(|work| match work {
            Work::Kernel(launch) => Some(&launch.spec),
            Work::Product(_) => None,
        })
    }

    /// A buffer was replaced: no address holds any more.
    pub(crate) fn forget_addresses(&mut self) {
        for step in &mut self.steps {
            step.prepared.clear();
            step.is_changed = true;
        }
    }

    /// Bytes of scratch memory that some step needs.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.works.scratch_bytes).max().unwrap_or(0)
    }

    /// Every prepared work, in order.
    pub(crate) fn works(&self) -> impl Iterator<Item = &PreparedWork> {
        self.steps.iter().flat_map(|step| &step.prepared)
    }
}

fn works_of(program: &Program, step: &BoundStep, limits: &CudaLimits) -> Result<Works, CudaError> {
    match step {
        BoundStep::Copy(copy) => copies(&copy.from.place(), &copy.to.place(), limits),
        BoundStep::Launch(launch) => {
            let Some(kernel) = program.kernels.get(launch.kernel) else {
                return Ok(Works::default());
            };
            let operands: SmallVec<[TensorPlace<'_>; 6]> =
                launch.operands.iter().map(BoundTensor::place).collect();
            let results: SmallVec<[TensorPlace<'_>; 2]> =
                launch.results.iter().map(BoundTensor::place).collect();
            let scalars = &launch.scalars;
            let launch = LaunchPlaces { kernel, operands: &operands, results: &results, scalars };
            works(&launch, limits)
        }
    }
}

fn step_error(
    gpu: &Gpu,
    index: usize,
    step: &BoundStep,
    program: &Program,
    error: &CudaError,
) -> DeviceError {
    let kernel = match step {
        BoundStep::Copy(_) => "copy".to_string(),
        BoundStep::Launch(launch) => {
            program.kernels.get(launch.kernel).map(|kernel| kernel.name()).unwrap_or_default()
        }
    };
    DeviceError::Kernel { step: index, kernel, reason: format!("device {}: {error}", gpu.name()) }
}
