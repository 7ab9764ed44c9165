//! The adapters of this machine.

use minuend_codegen::wgsl::WgslLimits;
use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor};

use crate::limits::{WANTED, limits_of};
use crate::variant::{Variant, VariantSupport};

/// Which adapter to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The first of the best kind: discrete, integrated, virtual, software.
    Best,
    /// As [`AdapterChoice::Best`], software adapters left out.
    Hardware,
    /// By place in the list of [`adapters`].
    Index(usize),
    /// The first whose name contains the words, in any case.
    Name(String),
}

/// An adapter in words and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterDescription {
    /// Place in the list.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The API it is reached by: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Kind of device: `discrete`, `integrated`, `virtual`, `cpu`, `other`.
    pub kind: &'static str,
    /// What kernels are chosen by.
    pub limits: WgslLimits,
    /// Which variants it gets.
    pub variants: Vec<VariantSupport>,
    /// Names of the optional features that are used.
    pub features: Vec<String>,
}

/// Every adapter, in the order of their indices.
pub fn adapters() -> Vec<AdapterDescription> {
    let listed = enumerate();
    listed.iter().enumerate().map(|(index, adapter)| describe(index, adapter)).collect()
}

/// The adapters in a fixed order: hardware before software, otherwise as the system lists them.
pub(crate) fn enumerate() -> Vec<Adapter> {
    let mut descriptor = InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::PRIMARY;
    let instance = Instance::new(descriptor);
    let mut listed = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
    listed.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    listed
}

pub(crate) fn is_hardware(adapter: &Adapter) -> bool {
    adapter.get_info().device_type != DeviceType::Cpu
}

fn rank(kind: DeviceType) -> usize {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

fn kind_name(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Other => "other",
        DeviceType::Cpu => "cpu",
    }
}

pub(crate) fn describe(index: usize, adapter: &Adapter) -> AdapterDescription {
    let info = adapter.get_info();
    let limits = limits_of(adapter);
    let features = adapter.features().intersection(WANTED);
    AdapterDescription {
        index,
        name: info.name,
        backend: info.backend.to_str().to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        kind: kind_name(info.device_type),
        variants: Variant::ALL.iter().map(|variant| variant.support(&limits)).collect(),
        features: features.iter_names().map(|(name, _)| name.to_string()).collect(),
        limits,
    }
}
