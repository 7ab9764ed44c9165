//! The devices of this build, by name.

use std::sync::Arc;

use minuend_codegen::{CpuTarget, Target};
use minuend_runtime::Device;
use minuend_runtime_cpu::CpuDevice;

use crate::error::{Error, RequestError};

/// A device that this build can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name for [`open_device`].
    pub name: String,
    /// What it is, in words.
    pub description: String,
}

/// Every device that this build can open, the one that `auto` takes first.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    let cpu = open_device("cpu", 0)?;
    Ok(vec![DeviceInfo { name: "cpu".into(), description: cpu.name() }])
}

/// Opens a device: `auto` or `cpu`. `threads` limits the CPU; 0 takes one for each core.
pub fn open_device(name: &str, threads: usize) -> Result<Arc<dyn Device>, Error> {
    match name {
        "auto" | "cpu" => Ok(Arc::new(CpuDevice::new(threads)?)),
        _ => {
            let known = "auto, cpu".to_string();
            Err(RequestError::UnknownDevice { name: name.to_string(), known }.into())
        }
    }
}

/// What to compile for, by name: `cpu`. Needs no device.
///
/// # Errors
/// [`RequestError::UnknownTarget`].
pub fn open_target(name: &str) -> Result<Box<dyn Target>, Error> {
    match name {
        "cpu" => Ok(Box::new(CpuTarget)),
        _ => {
            let known = "cpu".to_string();
            Err(RequestError::UnknownTarget { name: name.to_string(), known }.into())
        }
    }
}
