//! An adapter as a device.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_codegen::Target;
use minuend_codegen::wgsl::Dialect;
use minuend_codegen::wgsl::{Dispatch, Features, KernelSpec, WgslLimits, WgslTarget, specialise};
use minuend_plan::{BoundProgram, Program};
use minuend_runtime::{Device, DeviceError, Module, WeightSource};

use crate::adapter::{AdapterChoice, describe, enumerate};
use crate::gpu::Gpu;
use crate::limits::limits_of;
use crate::module::WgpuModule;
use crate::pipeline_cache::PipelineCache;
use crate::pipelines::{Pipeline, Pipelines};
use crate::recording::{StepDispatches, dispatches_of};
use crate::variant::Variant;

/// How to open an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WgpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// The variants to choose kernels from: this one and those it contains. `None` for every one that
    /// computes in f32 and that the adapter has.
    pub variant: Option<Variant>,
    /// Where compiled pipelines are kept between processes; `None` to keep none.
    pub cache_directory: Option<PathBuf>,
}

/// An adapter of this machine, opened.
pub struct WgpuDevice {
    shared: Arc<Shared>,
    target: WgslTarget,
    description: String,
}

/// What the modules and streams of a device share.
pub(crate) struct Shared {
    pub(crate) gpu: Gpu,
    pipelines: Pipelines,
    cache: PipelineCache,
    /// What kernels may be chosen by now; less than the adapter's own when a variant was refused.
    limits: Mutex<Arc<WgslLimits>>,
    notes: Mutex<Vec<String>>,
}

impl WgpuDevice {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`DeviceError::Setup`] if there is no such adapter, if it lacks the variant, or if its driver
    /// refuses to open it.
    pub fn open(options: &WgpuOptions) -> Result<WgpuDevice, DeviceError> {
        let adapters = enumerate();
        let setup = |reason: String| DeviceError::Setup { device: "wgpu".into(), reason };
        let names = || {
            let names = adapters.iter().enumerate();
            let names =
                names.map(|(index, adapter)| format!("{index}: {}", adapter.get_info().name));
            names.collect::<Vec<_>>().join(", ")
        };
        let found = match &options.adapter {
            AdapterChoice::Best => adapters.first(),
            AdapterChoice::Index(index) => adapters.get(*index),
            AdapterChoice::Name(words) => {
                let words = words.to_lowercase();
                adapters.iter().find(|a| a.get_info().name.to_lowercase().contains(&words))
            }
        };
        let Some(adapter) = found else {
            return Err(setup(match (&options.adapter, adapters.is_empty()) {
                (_, true) => "no adapter: no Vulkan, Metal or Direct3D 12 driver was found".into(),
                (choice, false) => {
                    let wanted = match choice {
                        AdapterChoice::Best => "best".to_string(),
                        AdapterChoice::Index(index) => index.to_string(),
                        AdapterChoice::Name(name) => name.clone(),
                    };
                    format!("no adapter {wanted}; there are {}", names())
                }
            }));
        };
        let whole = limits_of(adapter);
        let variant = options.variant.unwrap_or(Variant::F16);
        let support = options.variant.map(|variant| variant.support(&whole));
        if let Some(reason) = support.and_then(|support| support.unavailable) {
            let variant = variant.name();
            return Err(setup(format!("variant {variant} is not available: {reason}")));
        }
        let description = describe(0, adapter);
        let name = format!("{} ({})", description.name, description.backend);
        let gpu = Gpu::open(adapter, name)?;
        let mut limits = variant.restrict(&whole);
        if !gpu.has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            limits.cooperative_matrix = None;
        }
        let cache = PipelineCache::open(&gpu, adapter, options.cache_directory.as_deref());
        let shared = Shared {
            gpu,
            pipelines: Pipelines::default(),
            cache,
            limits: Mutex::new(Arc::new(limits.clone())),
            notes: Mutex::default(),
        };
        let target = WgslTarget::new(limits);
        Ok(WgpuDevice { shared: Arc::new(shared), target, description: description.driver })
    }
}

impl Device for WgpuDevice {
    fn name(&self) -> String {
        format!("{}, {}", self.shared.gpu.name, self.description)
    }

    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn notes(&self) -> Vec<String> {
        self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        Ok(Arc::new(WgpuModule::load(Arc::clone(&self.shared), program, weights)?))
    }
}

/// Dispatches of a run with their kernels, in order.
pub(crate) struct Ready {
    pub(crate) steps: StepDispatches,
    pub(crate) kernels: Vec<(usize, Arc<Pipeline>)>,
}

impl Shared {
    /// Bytes of a buffer that one binding may reach.
    pub(crate) fn max_binding_bytes(&self) -> u64 {
        self.limits().max_binding_bytes
    }

    fn limits(&self) -> Arc<WgslLimits> {
        Arc::clone(&self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Chooses the dispatches of a run and compiles what is new. A kernel that a driver does not
    /// compile is replaced by one that uses less of the adapter.
    pub(crate) fn prepare(
        &self,
        program: &Program,
        bound: &BoundProgram,
    ) -> Result<Ready, DeviceError> {
        loop {
            let limits = self.limits();
            let steps = dispatches_of(&self.gpu.name, program, bound, &limits)?;
            match self.pipelines.of(&self.gpu, &self.cache, &steps.dispatches) {
                Ok(kernels) => return Ok(Ready { steps, kernels }),
                Err(fault) => {
                    self.gpu.check_alive()?;
                    if !self.refuse(&fault.spec, &fault.error.to_string()) {
                        return Err(fault.error);
                    }
                }
            }
        }
    }

    /// Gives up the features that a kernel uses; `false` if it uses none.
    fn refuse(&self, spec: &KernelSpec, reason: &str) -> bool {
        let Some(needs) = needs_of(spec) else { return false };
        let mut current = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut limits = (**current).clone();
        let name = if needs.cooperative_matrix {
            limits.cooperative_matrix = None;
            Variant::CooperativeMatrix.name()
        } else if needs.f16 {
            limits.f16 = false;
            limits.cooperative_matrix = None;
            Variant::F16.name()
        } else if needs.subgroups {
            limits.subgroups = None;
            Variant::Subgroups.name()
        } else {
            return false;
        };
        if limits == **current {
            return false;
        }
        *current = Arc::new(limits);
        drop(current);
        self.pipelines.forget(|known| {
            needs_of(known).is_some_and(|known| {
                (needs.cooperative_matrix && known.cooperative_matrix)
                    || (needs.f16 && known.f16)
                    || (needs.subgroups && known.subgroups)
            })
        });
        let note = format!("variant {name} is not used: {reason}");
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        true
    }

    /// Checks a dispatch against its kernel's text.
    pub(crate) fn check(
        &self,
        pipeline: &Pipeline,
        dispatch: &Dispatch,
    ) -> Result<(), DeviceError> {
        pipeline.check(&self.gpu, dispatch)
    }
}

fn needs_of(spec: &KernelSpec) -> Option<Features> {
    specialise(spec, Dialect::Native).ok().map(|source| source.needs)
}
