//! Golden cases at load: a device must compute the kernels of a program right before it runs them.
//!
//! A driver may compile a shader wrongly, and then a model talks nonsense without an error. So each
//! distinct kernel of a program runs a few small cases with sizes that choose the same variant, and
//! the results are compared with the float64 interpreter's. Of a device that is wrong, variants are
//! refused, the most special first, until the rest is right.

mod computed;
mod golden;
mod shapes;
mod values;

use minuend_interp::{Data, Tensor};
use minuend_ir::DType;
use minuend_plan::Program;
use minuend_runtime::{Device, DeviceError, Executable, HostTensor, RunError, WeightSource};

use crate::compile::{CompileOptions, compile};
use crate::error::Error;
use golden::Golden;

/// Variant families that a device may give up before it is taken for one that is never right.
const MOST_REFUSALS: usize = 8;

/// Loads a program, on devices that ask for it ([`Device::is_checked_at_load`]) behind a check of its
/// kernels. What the check found is in [`Device::notes`].
///
/// # Errors
/// [`DeviceError::Wrong`] if the device computes a kernel wrongly in every variant that it has, and
/// what the device says otherwise.
pub fn load_checked(
    device: &dyn Device,
    program: Program,
    weights: &dyn WeightSource,
) -> Result<Executable, Error> {
    if device.is_checked_at_load() {
        check(device, &program)?;
    }
    Ok(Executable::load(device, program, weights)?)
}

/// Runs the cases of a program, and refuses variants until all of them are right.
fn check(device: &dyn Device, program: &Program) -> Result<(), Error> {
    let golden = Golden::new(&shapes::of(program), device.target().activation_dtypes())?;
    let mut refusals = 0;
    while let Some(fault) = first_fault(device, &golden).map_err(|error| lost(device, error))? {
        refusals += 1;
        if refusals > MOST_REFUSALS || !device.refuse_variant(&fault.reason()) {
            return Err(fault.into_error(device.name()).into());
        }
    }
    Ok(())
}

/// What a device that is lost to the check says, if other kernels could have been used. It cannot go on with
/// them: CUDA ends all work of a process in which a kernel had a fault.
fn lost(device: &dyn Device, error: Error) -> Error {
    let variant = device.variant();
    match error {
        Error::Device(DeviceError::Lost { device: name, reason })
        | Error::Run(RunError::Device(DeviceError::Lost { device: name, reason }))
            if device.refuse_variant(&reason) =>
        {
            let other = device.variant();
            DeviceError::LostInCheck { device: name, variant, reason, other }.into()
        }
        error => error,
    }
}

/// Why a variant cannot be used.
enum Fault {
    /// A result is off.
    Wrong {
        /// The kernel.
        kernel: String,
        /// Sizes of its operands.
        sizes: String,
        /// The first element that is off by more than is allowed.
        miss: Miss,
    },
    /// A kernel does not compile.
    Uncompiled(DeviceError),
}

impl Fault {
    /// The fault on one line.
    fn reason(&self) -> String {
        match self {
            Fault::Wrong { kernel, sizes, miss } => {
                let Miss { error, allowed } = miss;
                format!("{kernel} on {sizes} is off by {error:.1e}, allowed {allowed:.1e}")
            }
            Fault::Uncompiled(error) => error.to_string(),
        }
    }

    fn into_error(self, device: String) -> DeviceError {
        match self {
            Fault::Wrong { kernel, miss: Miss { error, allowed }, .. } => {
                DeviceError::Wrong { device, kernel, error, allowed }
            }
            Fault::Uncompiled(error) => error,
        }
    }
}

fn first_fault(device: &dyn Device, golden: &Golden) -> Result<Option<Fault>, Error> {
    let found = match outputs(device, golden) {
        Ok(found) => found,
        Err(Error::Device(error) | Error::Run(RunError::Device(error)))
            if matches!(error, DeviceError::Compile { .. }) =>
        {
            return Ok(Some(Fault::Uncompiled(error)));
        }
        Err(error) => return Err(error),
    };
    let rounds_products = device.rounds_products();
    Ok(golden.outputs.iter().zip(&found).find_map(|(output, found)| {
        let miss = miss(found, &output.expected, &output.allowances(rounds_products))?;
        let (kernel, sizes) = (output.kernel.clone(), output.sizes.clone());
        Some(Fault::Wrong { kernel, sizes, miss })
    }))
}

/// What the device computes for the cases.
fn outputs(device: &dyn Device, golden: &Golden) -> Result<Vec<HostTensor>, Error> {
    let options = CompileOptions::default();
    let program = compile(golden.graph.clone(), device.target(), &options)?.program;
    // No state grows, so no capacity is needed.
    let mut session = Executable::load(device, program, &golden.weights)?.session(0)?;
    Ok(session.run(&golden.arguments)?)
}

/// An element that is too far off.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Miss {
    /// By how much; infinite for tensors of other types than expected.
    error: f64,
    /// By how much it may be; 0 for what must be exact.
    allowed: f64,
}

/// How far elements may be off: a share of their scale.
#[derive(Clone, Copy)]
struct Allowance<'t> {
    /// A tensor of the shape of what is compared, or one number.
    scale: &'t Tensor,
    /// The share.
    share: f64,
}

impl Allowance<'_> {
    fn at(&self, index: usize) -> f64 {
        let scales = self.scale.reals().unwrap_or_default();
        let at = if scales.len() == 1 { 0 } else { index };
        self.share * scales.get(at).map_or(0.0, |scale| scale.abs())
    }
}

/// The first element that is off by more than the sum of what is allowed. What is infinite or NaN by
/// the interpreter is not compared: the languages of GPUs promise neither.
fn miss(found: &HostTensor, expected: &Tensor, allowances: &[Allowance<'_>]) -> Option<Miss> {
    let other = Some(Miss { error: f64::INFINITY, allowed: 0.0 });
    let Ok(found) = Tensor::from_bytes(found.dtype(), found.shape(), found.bytes()) else {
        return other;
    };
    if (found.dtype(), found.shape()) != (expected.dtype(), expected.shape()) {
        return other;
    }
    let dtype = expected.dtype();
    let (Data::Reals(found), Data::Reals(expected)) = (found.data(), expected.data()) else {
        return if found.data() == expected.data() { None } else { other };
    };
    // Results below the normal range of their type may be flushed to zero. That of bf16 is f32's.
    let floor = match dtype {
        _ if allowances.iter().all(|allowance| allowance.share == 0.0) => 0.0,
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        _ => f64::from(f32::MIN_POSITIVE),
    };
    let pairs = found.iter().zip(expected).enumerate();
    let misses = pairs.filter_map(|(index, (found, expected))| {
        let allowed: f64 = allowances.iter().map(|allowance| allowance.at(index)).sum();
        let is_finite = (*expected as f32).is_finite() && allowed.is_finite();
        is_finite.then(|| Miss { error: (found - expected).abs(), allowed: allowed + floor })
    });
    misses.into_iter().find(|miss| miss.error.is_nan() || miss.error > miss.allowed)
}

#[cfg(test)]
mod tests;
