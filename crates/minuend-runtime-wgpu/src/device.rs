//! An adapter as a device.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_codegen::Target;
use minuend_codegen::wgsl::Dialect;
use minuend_codegen::wgsl::{Dispatch, Features, KernelSpec, WgslLimits, WgslTarget, specialise};
use minuend_plan::{BoundProgram, Program};
use minuend_runtime::{Device, DeviceError, Module, WeightSource};

use crate::adapter::{AdapterChoice, describe, enumerate, is_hardware};
use crate::gpu::Gpu;
use crate::limits::limits_of;
use crate::module::WgpuModule;
use crate::pipeline_cache::PipelineCache;
use crate::pipelines::{Pipeline, Pipelines};
use crate::planned::{Planned, PlannedDispatch};
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
            AdapterChoice::Hardware => adapters.iter().find(|adapter| is_hardware(adapter)),
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
                        AdapterChoice::Hardware => "of hardware".to_string(),
                        AdapterChoice::Index(index) => index.to_string(),
                        AdapterChoice::Name(name) => name.clone(),
                    };
                    format!("no adapter {wanted}; there are {}", names())
                }
            }));
        };
        let whole = limits_of(adapter);
        let variant = options.variant.unwrap_or(Variant::of_default(&whole));
        let unavailable = |reason: String| {
            setup(format!("variant {} is not available: {reason}", variant.name()))
        };
        if let Some(reason) = variant.support(&whole).unavailable {
            return Err(unavailable(reason));
        }
        let description = describe(0, adapter);
        let name = format!("{} ({})", description.name, description.backend);
        let gpu = Gpu::open(adapter, name)?;
        let limits = variant.restrict(&whole);
        let is_cooperative = limits.cooperative_matrix.is_some();
        if is_cooperative && !gpu.has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            return Err(unavailable("the driver lists such matrices and then refuses them".into()));
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

    fn is_checked_at_load(&self) -> bool {
        true
    }

    fn rounds_products(&self) -> bool {
        let limits = self.shared.limits();
        limits.half_products && limits.cooperative_matrix.is_some()
    }

    fn variant(&self) -> &'static str {
        Variant::of(&self.shared.limits()).name()
    }

    fn refuse_variant(&self, reason: &str) -> bool {
        self.shared.refuse_most_special(reason)
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        Ok(Arc::new(WgpuModule::load(Arc::clone(&self.shared), program, weights)?))
    }
}

impl Shared {
    /// Bytes of a buffer that one binding may reach.
    pub(crate) fn max_binding_bytes(&self) -> u64 {
        self.limits().max_binding_bytes
    }

    /// What kernels may be chosen by now.
    pub(crate) fn limits(&self) -> Arc<WgslLimits> {
        Arc::clone(&self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Chooses the dispatches of a run and compiles what is new. A kernel that a driver does not
    /// compile is replaced by one that uses less of the adapter.
    pub(crate) fn prepare(
        &self,
        program: &Program,
        bound: &BoundProgram,
        planned: &mut Planned,
    ) -> Result<(), DeviceError> {
        loop {
            planned.update(self, program, bound)?;
            let mut new: Vec<&mut PlannedDispatch> = planned.without_kernel().collect();
            let dispatches: Vec<&Dispatch> = new.iter().map(|planned| &planned.dispatch).collect();
            match self.pipelines.of(&self.gpu, &self.cache, &dispatches) {
                Ok(kernels) => {
                    for (planned, kernel) in new.iter_mut().zip(kernels) {
                        planned.kernel = Some(kernel);
                    }
                    return Ok(());
                }
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
        let variant = if needs.cooperative_matrix {
            Variant::CooperativeMatrix
        } else if needs.f16 {
            Variant::F16
        } else if needs.subgroups {
            Variant::Subgroups
        } else {
            return false;
        };
        self.give_up(variant, reason)
    }

    /// Gives up the most special features in use; `false` if none is.
    fn refuse_most_special(&self, reason: &str) -> bool {
        self.give_up(Variant::of(&self.limits()), reason)
    }

    /// Chooses no kernel of a variant any more; `false` if none was chosen before.
    fn give_up(&self, variant: Variant, reason: &str) -> bool {
        let mut current = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = without(&current, variant);
        if limits == **current {
            return false;
        }
        *current = Arc::new(limits);
        drop(current);
        self.pipelines.forget(|known| needs_of(known).is_some_and(|needs| is_of(needs, variant)));
        let note = format!("variant {} is not used: {reason}", variant.name());
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

/// The limits without what a variant adds. Cooperative matrices hold f16.
fn without(limits: &WgslLimits, variant: Variant) -> WgslLimits {
    let mut limits = limits.clone();
    match variant {
        Variant::Plain => {}
        Variant::Subgroups => limits.subgroups = None,
        Variant::F16 => {
            limits.f16 = false;
            limits.cooperative_matrix = None;
        }
        Variant::CooperativeMatrix => limits.cooperative_matrix = None,
    }
    limits
}

/// True if a kernel with these needs is of the variant.
fn is_of(needs: Features, variant: Variant) -> bool {
    match variant {
        Variant::Plain => false,
        Variant::Subgroups => needs.subgroups,
        Variant::F16 => needs.f16,
        Variant::CooperativeMatrix => needs.cooperative_matrix,
    }
}

fn needs_of(spec: &KernelSpec) -> Option<Features> {
    specialise(spec, Dialect::Native).ok().map(|source| source.needs)
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod steady;

#[cfg(test)]
mod tests {
    use minuend_codegen::wgsl::{CooperativeShape, SubgroupSizes};

    use super::*;

    #[test]
    fn variants_are_given_up_one_by_one() {
        let plain = WgslLimits::portable();
        let mut limits = WgslLimits {
            f16: true,
            subgroups: Some(SubgroupSizes { min: 32, max: 32 }),
            cooperative_matrix: Some(CooperativeShape { size: 16 }),
            ..plain.clone()
        };
        assert_eq!(without(&limits, Variant::Plain), limits);
        assert_eq!(Variant::of(&limits), Variant::CooperativeMatrix);
        let both = without(&limits, Variant::F16);
        assert_eq!((both.f16, both.cooperative_matrix), (false, None));
        limits = without(&limits, Variant::CooperativeMatrix);
        assert!(limits.f16 && limits.cooperative_matrix.is_none());
        limits = without(&limits, Variant::F16);
        assert!(!limits.f16 && limits.subgroups.is_some());
        assert_eq!(Variant::of(&limits), Variant::Subgroups);
        assert_eq!(Variant::of(&plain), Variant::Plain);
        assert_eq!(without(&limits, Variant::Subgroups), plain);
    }
}
