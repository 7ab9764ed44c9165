//! The devices of this build, by name.

use std::sync::Arc;

use minuend_codegen::wgsl::{WgslLimits, WgslTarget};
use minuend_codegen::{CpuTarget, Target};
use minuend_runtime::{Device, DeviceError};
use minuend_runtime_cpu::CpuDevice;
use minuend_runtime_wgpu::{
    AdapterChoice, AdapterDescription, Variant, WgpuDevice, WgpuOptions, adapters,
};

use crate::error::{Error, RequestError};

/// The one variant of the CPU device.
const PLAIN: &str = "plain";

/// A device that this build can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name for [`open_device`].
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Facts about it: key and value, as the device tells them.
    pub details: Vec<(String, String)>,
    /// The kernel families that it can run, the one that [`open_device`] takes first.
    pub variants: Vec<VariantInfo>,
}

/// A family of kernels, chosen by what a device is capable of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantInfo {
    /// The name for [`open_variant`].
    pub name: String,
    /// Why this device cannot run it; `None` if it can.
    pub unavailable: Option<String>,
}

/// Names of devices and targets, for messages.
const KNOWN_DEVICES: &str = "auto, cpu, wgpu, wgpu:INDEX, wgpu:NAME";
const KNOWN_TARGETS: &str = "cpu, wgsl";

/// Every device that this build can open, the one that `auto` takes first: hardware GPUs, then the
/// CPU, then software adapters.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    let cpu = open_device("cpu", 0)?;
    let variants = vec![VariantInfo { name: PLAIN.into(), unavailable: None }];
    let details = vec![
        ("architecture".to_string(), std::env::consts::ARCH.to_string()),
        ("operating system".to_string(), std::env::consts::OS.to_string()),
    ];
    let cpu = DeviceInfo { name: "cpu".into(), description: cpu.name(), details, variants };
    let (software, hardware): (Vec<_>, Vec<_>) =
        adapters().into_iter().partition(|adapter| adapter.kind == SOFTWARE);
    let hardware = hardware.iter().map(adapter_info);
    Ok(hardware.chain([cpu]).chain(software.iter().map(adapter_info)).collect())
}

/// Kind of an adapter that runs on the CPU.
const SOFTWARE: &str = "cpu";

fn adapter_info(adapter: &AdapterDescription) -> DeviceInfo {
    let limits = &adapter.limits;
    let subgroups = limits
        .subgroups
        .map_or("none".to_string(), |sizes| format!("{} to {} invocations", sizes.min, sizes.max));
    let matrices = limits.cooperative_matrix.map_or("none".to_string(), |shape| {
        let n = shape.size;
        format!("{n}x{n}x{n}, f16 with f32 sums")
    });
    let details = [
        ("backend", adapter.backend.clone()),
        ("kind", adapter.kind.to_string()),
        ("driver", adapter.driver.clone()),
        ("features", adapter.features.join(", ")),
        ("largest storage binding", format!("{} bytes", limits.max_binding_bytes)),
        ("workgroup memory", format!("{} bytes", limits.max_workgroup_bytes)),
        ("invocations of a workgroup", limits.max_workgroup_size.to_string()),
        ("storage buffers of a kernel", limits.max_storage_buffers.to_string()),
        ("subgroups", subgroups),
        ("cooperative matrices", matrices),
    ];
    let variants = adapter.variants.iter().map(|support| VariantInfo {
        name: support.variant.name().to_string(),
        unavailable: support.unavailable.clone(),
    });
    DeviceInfo {
        name: format!("wgpu:{}", adapter.index),
        description: adapter.name.clone(),
        details: details.map(|(key, value)| (key.to_string(), value)).to_vec(),
        variants: variants.collect(),
    }
}

/// Opens a device: `cpu`, `wgpu` (the best adapter), `wgpu:INDEX`, `wgpu:NAME`, or `auto`, which takes
/// a hardware GPU where there is one and the CPU otherwise. `threads` limits the CPU; 0 takes one for
/// each core.
///
/// # Errors
/// [`RequestError::UnknownDevice`], or what the device says.
pub fn open_device(name: &str, threads: usize) -> Result<Arc<dyn Device>, Error> {
    if name == "auto" {
        return match open_adapter(AdapterChoice::Hardware, None) {
            Ok(device) => Ok(device),
            Err(_) => open_device("cpu", threads),
        };
    }
    if name == "cpu" {
        return Ok(Arc::new(CpuDevice::new(threads)?));
    }
    Ok(open_adapter(adapter_choice(name)?, None)?)
}

/// Opens a device with one of its kernel families, as [`DeviceInfo::variants`] names them.
///
/// # Errors
/// [`RequestError::UnknownVariant`], and as [`open_device`].
pub fn open_variant(name: &str, threads: usize, variant: &str) -> Result<Arc<dyn Device>, Error> {
    let unknown = |known: &str| RequestError::UnknownVariant {
        device: name.to_string(),
        variant: variant.to_string(),
        known: known.to_string(),
    };
    if name == "cpu" || (name == "auto" && variant == PLAIN) {
        let device = open_device(name, threads)?;
        return if variant == PLAIN { Ok(device) } else { Err(unknown(PLAIN).into()) };
    }
    let choice = if name == "auto" { AdapterChoice::Best } else { adapter_choice(name)? };
    let known = Variant::ALL.map(Variant::name).join(", ");
    let variant = Variant::from_name(variant).ok_or_else(|| unknown(&known))?;
    Ok(open_adapter(choice, Some(variant))?)
}

fn open_adapter(
    adapter: AdapterChoice,
    variant: Option<Variant>,
) -> Result<Arc<dyn Device>, DeviceError> {
    let cache_directory = dirs::cache_dir().map(|directory| directory.join("minuend"));
    Ok(Arc::new(WgpuDevice::open(&WgpuOptions { adapter, variant, cache_directory })?))
}

/// The adapter that a device name asks for.
fn adapter_choice(name: &str) -> Result<AdapterChoice, RequestError> {
    let unknown =
        || RequestError::UnknownDevice { name: name.to_string(), known: KNOWN_DEVICES.to_string() };
    match name.split_once(':') {
        None if name == "wgpu" => Ok(AdapterChoice::Best),
        Some(("wgpu", words)) if !words.is_empty() => Ok(match words.parse() {
            Ok(index) => AdapterChoice::Index(index),
            Err(_) => AdapterChoice::Name(words.to_string()),
        }),
        _ => Err(unknown()),
    }
}

/// What to compile for, by name: `cpu`, or `wgsl` for what every adapter can do. Needs no device.
///
/// # Errors
/// [`RequestError::UnknownTarget`].
pub fn open_target(name: &str) -> Result<Box<dyn Target>, Error> {
    match name {
        "cpu" => Ok(Box::new(CpuTarget)),
        "wgsl" => Ok(Box::new(WgslTarget::new(WgslLimits::portable()))),
        _ => {
            let known = KNOWN_TARGETS.to_string();
            Err(RequestError::UnknownTarget { name: name.to_string(), known }.into())
        }
    }
}
