//! A GPU as a device of the runtime.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_codegen::Target;
use minuend_codegen::cuda::{CudaLimits, CudaTarget};
use minuend_plan::Program;
use minuend_runtime::{Device, DeviceError, Module, WeightSource};

use crate::code_cache::CodeCache;
use crate::gpu::{Gpu, GpuDescription};
use crate::kernels::Kernels;
use crate::module::CudaModule;
use crate::products::Products;

/// How to open a GPU.
#[derive(Clone, Debug)]
pub struct CudaOptions {
    /// Its number among the GPUs that the driver shows.
    pub index: usize,
    /// The family of kernels; `None` takes the best that the GPU has.
    pub variant: Option<Variant>,
    /// Where compiled kernels are kept; `None` keeps none.
    pub cache_directory: Option<PathBuf>,
    /// Kernels that can begin while the one in front of them ends do so (programmatic dependent launch),
    /// where the architecture has it.
    pub overlap: bool,
    /// In runs that are recorded, steps that do not depend on each other run side by side.
    pub side_by_side: bool,
}

impl Default for CudaOptions {
    /// The first GPU with the best it has; nothing is kept on disk.
    fn default() -> CudaOptions {
        CudaOptions {
            index: 0,
            variant: None,
            cache_directory: None,
            overlap: true,
            side_by_side: true,
        }
    }
}

/// A family of kernels, chosen by what a GPU is capable of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Products with sums in tensor memory: Blackwell with compute capability 10.
    Tcgen05,
    /// Products of warpgroups and the bulk copy engine: Hopper.
    Wgmma,
    /// Products of warps: every GPU. The very kernels that GPUs without warpgroups run.
    MmaSync,
}

impl Variant {
    /// Every variant, the most special one first.
    pub const ALL: [Variant; 3] = [Variant::Tcgen05, Variant::Wgmma, Variant::MmaSync];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Tcgen05 => "tcgen05",
            Variant::Wgmma => "wgmma",
            Variant::MmaSync => "mma-sync",
        }
    }

    /// The variant of that name.
    pub fn from_name(name: &str) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// The most special one that kernels are chosen from.
    fn of(limits: &CudaLimits) -> Variant {
        if limits.use_tcgen05 {
            Variant::Tcgen05
        } else if limits.use_wgmma {
            Variant::Wgmma
        } else {
            Variant::MmaSync
        }
    }

    /// Why a GPU does not have it; `None` if it does.
    pub fn unavailable_on(self, gpu: &GpuDescription) -> Option<String> {
        let (major, minor) = gpu.capability;
        let arch = minuend_codegen::cuda::Arch::of_capability(major, minor);
        let has = |is_there: bool| {
            (!is_there).then(|| format!("compute capability {major}.{minor} does not have it"))
        };
        match (self, arch) {
            (_, None) => Some(format!("compute capability {major}.{minor}, expected 8.0 or later")),
            (Variant::Tcgen05, Some(arch)) => has(arch.has_tcgen05),
            (Variant::Wgmma, Some(arch)) => has(arch.has_wgmma),
            (Variant::MmaSync, Some(_)) => None,
        }
    }
}

/// An opened GPU.
pub struct CudaDevice {
    shared: Arc<Shared>,
    target: CudaTarget,
}

/// What all programs of a device share.
pub(crate) struct Shared {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) kernels: Kernels,
    products: Result<Products, String>,
    limits: Mutex<Arc<CudaLimits>>,
    notes: Mutex<Vec<String>>,
    /// See [`CudaOptions::side_by_side`].
    pub(crate) side_by_side: bool,
}

impl Shared {
    /// The library of dense products, where it is installed.
    pub(crate) fn products(&self) -> Option<&Products> {
        self.products.as_ref().ok()
    }

    /// What kernels are chosen by; another value once a variant was refused.
    pub(crate) fn limits(&self) -> Arc<CudaLimits> {
        Arc::clone(&self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }
}

impl CudaDevice {
    /// Opens a GPU.
    ///
    /// # Errors
    /// [`DeviceError::Setup`] if there is no driver, no such GPU, one that is too old, no compiler, or
    /// if it does not have the variant.
    pub fn open(options: &CudaOptions) -> Result<CudaDevice, DeviceError> {
        let gpu = Arc::new(Gpu::open(options.index)?);
        if let Some(variant) = options.variant
            && let Some(reason) = variant.unavailable_on(&gpu.description)
        {
            let reason = format!("variant {}: {reason}", variant.name());
            return Err(DeviceError::Setup { device: gpu.name(), reason });
        }
        let cache = CodeCache::new(options.cache_directory.clone());
        let kernels = Kernels::new(Arc::clone(&gpu), cache);
        // Nothing runs without a compiler: better said now than at the first kernel.
        kernels.nvrtc()?;
        let products = Products::open(&gpu).map_err(|error| match error {
            DeviceError::Setup { reason, .. } => reason,
            error => error.to_string(),
        });
        let limits = CudaLimits {
            arch: gpu.arch,
            multiprocessors: gpu.description.multiprocessors,
            has_blas: products.is_ok(),
            use_wgmma: gpu.arch.has_wgmma && options.variant != Some(Variant::MmaSync),
            use_tcgen05: gpu.arch.has_tcgen05 && options.variant != Some(Variant::MmaSync),
            overlap: gpu.arch.has_tma && options.overlap,
        };
        let target = CudaTarget::new(limits.clone());
        let limits = Mutex::new(Arc::new(limits));
        let (notes, side_by_side) = (Mutex::default(), options.side_by_side);
        let shared = Shared { gpu, kernels, products, limits, notes, side_by_side };
        Ok(CudaDevice { shared: Arc::new(shared), target })
    }
}

impl Device for CudaDevice {
    fn name(&self) -> String {
        self.shared.gpu.name()
    }

    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(reason) = &self.shared.products {
            notes.push(format!("dense products run on built-in kernels, slower: {reason}"));
        }
        notes.extend(self.shared.kernels.warnings());
        notes
    }

    fn peak_bytes(&self) -> Option<u64> {
        Some(self.shared.gpu.peak_bytes())
    }

    fn is_checked_at_load(&self) -> bool {
        true
    }

    fn variant(&self) -> &'static str {
        Variant::of(&self.shared.limits()).name()
    }

    fn refuse_variant(&self, reason: &str) -> bool {
        let mut limits = self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = Variant::of(&limits);
        let mut left = (**limits).clone();
        match refused {
            Variant::Tcgen05 => left.use_tcgen05 = false,
            Variant::Wgmma => left.use_wgmma = false,
            Variant::MmaSync => return false,
        }
        *limits = Arc::new(left);
        drop(limits);
        self.shared.note(format!("variant {} is not used: {reason}", refused.name()));
        true
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        Ok(Arc::new(CudaModule::load(Arc::clone(&self.shared), program, weights)?))
    }
}
