//! From a bound program to parts that fit a command buffer: which kernel, which bindings, which groups.

use std::sync::Arc;

use minuend_codegen::wgsl::{
    Dispatch, FIRST_GROUP, LaunchPlaces, Region, ShaderError, TensorPlace, WgslLimits, copies,
    dispatches,
};
use minuend_plan::{BoundStep, BoundTensor, Program};
use minuend_runtime::DeviceError;
use smallvec::SmallVec;

use crate::pipelines::Pipeline;

/// Most workgroups that every adapter runs in one dispatch.
const MAX_GROUPS: u64 = 65_535;

/// Work after which a dispatch is cut, in multiply-adds: a fraction of a second on a slow integrated
/// GPU, whose watchdog ends what runs for about two.
const PART_WORK: u64 = 1 << 36;

/// Work after which what is recorded is submitted.
pub(crate) const SUBMISSION_WORK: u64 = 1 << 38;

/// The dispatches of one step.
pub(crate) fn dispatches_of(
    device: &str,
    program: &Program,
    index: usize,
    step: &BoundStep,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, DeviceError> {
    let made = match step {
        BoundStep::Copy(copy) => copies(&copy.from.place(), &copy.to.place(), limits),
        BoundStep::Launch(launch) => {
            let Some(kernel) = program.kernels.get(launch.kernel) else { return Ok(Vec::new()) };
            let operands: SmallVec<[TensorPlace<'_>; 6]> =
                launch.operands.iter().map(BoundTensor::place).collect();
            let results: SmallVec<[TensorPlace<'_>; 2]> =
                launch.results.iter().map(BoundTensor::place).collect();
            let launch = LaunchPlaces {
                kernel,
                operands: &operands,
                results: &results,
                scalars: &launch.scalars,
            };
            dispatches(&launch, limits)
        }
    };
    made.map_err(|error| step_error(device, index, step, program, error))
}

/// Bytes of scratch memory that a dispatch reaches.
pub(crate) fn scratch_bytes(dispatch: &Dispatch) -> u64 {
    let scratch = dispatch
        .windows
        .iter()
        .filter(|window| window.region == Region::Scratch && window.data.is_none());
    scratch.map(|window| window.start + window.bytes).max().unwrap_or(0)
}

/// What a step computes, for error messages.
pub(crate) fn step_name(program: &Program, step: &BoundStep) -> String {
    match step {
        BoundStep::Copy(_) => "copy".into(),
        BoundStep::Launch(launch) => {
            program.kernels.get(launch.kernel).map(|kernel| kernel.name()).unwrap_or_default()
        }
    }
}

fn step_error(
    device: &str,
    index: usize,
    step: &BoundStep,
    program: &Program,
    error: ShaderError,
) -> DeviceError {
    let kernel = step_name(program, step);
    match error {
        ShaderError::Binding { needed, available } => DeviceError::Limit {
            device: device.to_string(),
            limit: "largest storage binding in bytes",
            what: format!("step {index} ({kernel})"),
            needed,
            available,
        },
        error => DeviceError::Kernel { step: index, kernel, reason: error.to_string() },
    }
}

/// Some groups of a dispatch, with everything found that encoding needs.
pub(crate) struct Part {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) pipeline_id: usize,
    pub(crate) bind_group: usize,
    pub(crate) uniform_offset: u32,
    pub(crate) groups: u32,
    pub(crate) work: u64,
}

/// First group and number of groups of each part of a dispatch.
pub(crate) fn parts(dispatch: &Dispatch) -> impl Iterator<Item = (u64, u64)> + use<> {
    let by_work = (PART_WORK / dispatch.work_per_group.max(1)).max(1);
    let (step, groups) = (by_work.min(MAX_GROUPS), dispatch.groups);
    (0..groups).step_by(step as usize).map(move |first| (first, step.min(groups - first)))
}

/// The uniform struct of a part as bytes.
pub(crate) fn write_uniforms(dispatch: &Dispatch, first_group: u32, bytes: &mut Vec<u8>) {
    for (name, word) in &dispatch.uniforms.words {
        let word = if *name == FIRST_GROUP { first_group } else { *word };
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_codegen::wgsl::KernelSpec;

    #[test]
    fn parts_cover_every_group_once() {
        let mut dispatch = Dispatch::new(KernelSpec::new("copy"), 200_000);
        for work in [1, 1 << 20, 1 << 35, u64::MAX] {
            dispatch.work_per_group = work;
            if work > 1 << 30 {
                dispatch.groups = 7;
            }
            let mut next = 0;
            for (first, count) in parts(&dispatch) {
                assert_eq!(first, next);
                assert!((1..=MAX_GROUPS).contains(&count));
                assert!(count == 1 || count * work <= PART_WORK);
                next += count;
            }
            assert_eq!(next, dispatch.groups);
        }
    }
}
