//! The devices of this build, by name.

use std::sync::Arc;

use minuend_codegen::cuda::{ARCHES, Arch, CudaLimits, CudaTarget};
use minuend_codegen::wgsl::{WgslLimits, WgslTarget};
use minuend_codegen::{CpuTarget, Target};
use minuend_runtime::{Device, DeviceError};
use minuend_runtime_cpu::CpuDevice;
use minuend_runtime_cuda::nvrtc::Nvrtc;
use minuend_runtime_cuda::{CudaDevice, CudaOptions, GpuDescription, gpus};
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
    /// Kernel families of such devices, with the reason where it cannot run one.
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

/// Names of devices, for messages.
const KNOWN_DEVICES: &str = "auto, cpu, cuda, cuda:INDEX, wgpu, wgpu:INDEX, wgpu:NAME";

/// The devices of this machine, the one that `auto` takes first: NVIDIA GPUs through CUDA, hardware GPUs
/// through wgpu, then the CPU, then software adapters, and NVIDIA GPUs without a compiler for their kernels.
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
    let software = software.iter().map(adapter_info);
    let others = hardware.chain([cpu]).chain(software);
    let compiler = Nvrtc::load().map(|nvrtc| nvrtc.version()).map_err(|error| error.to_string());
    let gpus: Vec<DeviceInfo> = gpus().iter().map(|gpu| gpu_info(gpu, &compiler)).collect();
    Ok(match compiler {
        Ok(_) => gpus.into_iter().chain(others).collect(),
        Err(_) => others.chain(gpus).collect(),
    })
}

/// compiler: its version, or why there is none.
fn gpu_info(gpu: &GpuDescription, compiler: &Result<(i32, i32), String>) -> DeviceInfo {
    let (major, minor) = gpu.capability;
    let (driver_major, driver_minor) = gpu.driver;
    let arch = Arch::of_capability(major, minor);
    let kernels = match arch {
        None => "none: compute capability 8.0 or later is needed",
        Some(arch) if arch.has_tcgen05 => {
            "attention by tcgen05 and TMA (compiled and modelled, never run), decode by TMA"
        }
        Some(arch) if arch.has_wgmma => "attention by wgmma and TMA, decode by TMA",
        Some(arch) if arch.has_tma => "attention by mma.sync, decode by TMA",
        Some(_) => "attention by mma.sync, decode by cp.async",
    };
    let nvrtc = |(major, minor): &(i32, i32)| format!("NVRTC {major}.{minor}");
    let details = [
        ("architecture", arch.map_or("unknown", |arch| arch.compiler_name).to_string()),
        ("compute capability", format!("{major}.{minor}")),
        ("driver", format!("for CUDA {driver_major}.{driver_minor}")),
        ("compiler", compiler.as_ref().map_or_else(Clone::clone, nvrtc)),
        ("multiprocessors", gpu.multiprocessors.to_string()),
        ("memory", format!("{} bytes", gpu.memory_bytes)),
        ("kernels", kernels.to_string()),
    ];
    let variants = minuend_runtime_cuda::Variant::ALL.map(|variant| VariantInfo {
        name: variant.name().to_string(),
        unavailable: variant.unavailable_on(gpu).or_else(|| compiler.as_ref().err().cloned()),
    });
    DeviceInfo {
        name: format!("cuda:{}", gpu.index),
        description: gpu.name.clone(),
        details: details.map(|(key, value)| (key.to_string(), value)).to_vec(),
        variants: variants.to_vec(),
    }
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

/// Opens a device: `cpu`, `cuda` (the first NVIDIA GPU), `cuda:INDEX`, `wgpu` (the best adapter),
/// `wgpu:INDEX`, `wgpu:NAME`, or `auto`, which takes the first of these that works: CUDA, a hardware GPU
/// through wgpu, the CPU. `threads` limits the CPU; 0 takes one for each core.
///
/// # Errors
/// [`RequestError::UnknownDevice`], or what the device says.
pub fn open_device(name: &str, threads: usize) -> Result<Arc<dyn Device>, Error> {
    match Choice::of(name)? {
        Choice::Auto => {
            if let Ok(device) = open_gpu(0, None) {
                return Ok(device);
            }
            match open_adapter(AdapterChoice::Hardware, None) {
                Ok(device) => Ok(device),
                Err(_) => Ok(Arc::new(CpuDevice::new(threads)?)),
            }
        }
        Choice::Cpu => Ok(Arc::new(CpuDevice::new(threads)?)),
        Choice::Gpu(index) => Ok(open_gpu(index, None)?),
        Choice::Adapter(adapter) => Ok(open_adapter(adapter, None)?),
    }
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
    let cuda_variant = minuend_runtime_cuda::Variant::from_name(variant);
    let choice = match Choice::of(name)? {
        // The variant says which kind of device is meant. Adapters and the CPU have this one.
        Choice::Auto if variant == PLAIN => {
            let adapter = open_adapter(AdapterChoice::Hardware, Some(Variant::Plain));
            return adapter.or_else(|_| open_device("cpu", threads));
        }
        Choice::Auto if cuda_variant.is_some() => Choice::Gpu(0),
        Choice::Auto => Choice::Adapter(AdapterChoice::Best),
        choice => choice,
    };
    match choice {
        Choice::Auto | Choice::Cpu if variant == PLAIN => open_device(name, threads),
        Choice::Auto | Choice::Cpu => Err(unknown(PLAIN).into()),
        Choice::Gpu(index) => {
            let known = minuend_runtime_cuda::Variant::ALL.map(|variant| variant.name()).join(", ");
            let variant = cuda_variant.ok_or_else(|| unknown(&known))?;
            Ok(open_gpu(index, Some(variant))?)
        }
        Choice::Adapter(adapter) => {
            let known = Variant::ALL.map(Variant::name).join(", ");
            let variant = Variant::from_name(variant).ok_or_else(|| unknown(&known))?;
            Ok(open_adapter(adapter, Some(variant))?)
        }
    }
}

/// What a device name asks for.
enum Choice {
    Auto,
    Cpu,
    Gpu(usize),
    Adapter(AdapterChoice),
}

impl Choice {
    fn of(name: &str) -> Result<Choice, RequestError> {
        let unknown = || RequestError::UnknownDevice {
            name: name.to_string(),
            known: KNOWN_DEVICES.to_string(),
        };
        Ok(match (name, name.split_once(':')) {
            ("auto", _) => Choice::Auto,
            ("cpu", _) => Choice::Cpu,
            ("cuda", _) => Choice::Gpu(0),
            ("wgpu", _) => Choice::Adapter(AdapterChoice::Best),
            (_, Some(("cuda", index))) => Choice::Gpu(index.parse().map_err(|_| unknown())?),
            (_, Some(("wgpu", words))) if !words.is_empty() => {
                Choice::Adapter(match words.parse() {
                    Ok(index) => AdapterChoice::Index(index),
                    Err(_) => AdapterChoice::Name(words.to_string()),
                })
            }
            _ => return Err(unknown()),
        })
    }
}

/// Where compiled kernels are kept between runs.
fn cache_directory() -> Option<std::path::PathBuf> {
    dirs::cache_dir().map(|directory| directory.join("minuend"))
}

fn open_gpu(
    index: usize,
    variant: Option<minuend_runtime_cuda::Variant>,
) -> Result<Arc<dyn Device>, DeviceError> {
    let cache_directory = cache_directory();
    let options = CudaOptions { index, variant, cache_directory, ..CudaOptions::default() };
    Ok(Arc::new(CudaDevice::open(&options)?))
}

fn open_adapter(
    adapter: AdapterChoice,
    variant: Option<Variant>,
) -> Result<Arc<dyn Device>, DeviceError> {
    let cache_directory = cache_directory();
    Ok(Arc::new(WgpuDevice::open(&WgpuOptions { adapter, variant, cache_directory })?))
}

/// What to compile for, by name: `cpu`, `wgsl` for what every adapter can do, or `cuda-sm90a` and the
/// other architectures for a typical card. Needs no device.
///
/// # Errors
/// [`RequestError::UnknownTarget`].
pub fn open_target(name: &str) -> Result<Box<dyn Target>, Error> {
    match name {
        "cpu" => Ok(Box::new(CpuTarget)),
        "wgsl" => Ok(Box::new(WgslTarget::new(WgslLimits::portable()))),
        _ => match Arch::of_target(name) {
            Some(arch) => Ok(Box::new(CudaTarget::new(CudaLimits::typical(arch)))),
            None => {
                let arches = ARCHES.iter().map(|arch| arch.target);
                let known: Vec<&str> = ["cpu", "wgsl"].into_iter().chain(arches).collect();
                let (name, known) = (name.to_string(), known.join(", "));
                Err(RequestError::UnknownTarget { name, known }.into())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_alone_opens_a_device_that_has_it() {
        let device = open_variant("auto", 1, PLAIN).unwrap();
        assert_eq!(device.variant(), PLAIN, "{}", device.name());
        assert!(!device.name().starts_with("cuda"), "{}", device.name());
    }

    #[test]
    fn auto_takes_the_first_device() {
        let devices = devices().unwrap();
        let first = devices.first().unwrap();
        assert!(first.variants.iter().any(|variant| variant.unavailable.is_none()), "{first:?}");
        let opened = open_device("auto", 1).unwrap();
        let name = opened.name();
        let is_first = if first.name == "cpu" {
            name.starts_with("cpu")
        } else {
            name.contains(&first.description)
        };
        assert!(is_first, "{name}, expected {first:?}");
    }
}
