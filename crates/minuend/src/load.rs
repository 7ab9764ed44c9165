//! A program on a device with its weights.

use std::time::{Duration, Instant};

use minuend_plan::Program;
use minuend_runtime::{Device, Executable, WeightSource};

use crate::canary::load_checked;
use crate::compile::CompileOptions;
use crate::error::Error;
use crate::reporting_weights::ReportingWeights;

/// Loads a program, behind the check of [`load_checked`] unless the options leave it out, and says how long
/// that took. `loaded` sees how many bytes of how many are given to the device before each tensor.
pub(crate) fn load(
    device: &dyn Device,
    program: Program,
    source: &dyn WeightSource,
    options: &CompileOptions,
    loaded: &dyn Fn(u64, u64),
) -> Result<(Executable, Duration), Error> {
    let started = Instant::now();
    let weights = ReportingWeights::new(source, &program, loaded);
    let executable = if options.without_canary {
        Executable::load(device, program, &weights)?
    } else {
        load_checked(device, program, &weights)?
    };
    Ok((executable, started.elapsed()))
}
