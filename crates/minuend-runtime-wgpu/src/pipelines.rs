//! Compiled kernels, found by their specification once and by number afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_codegen::wgsl::{Dialect, Dispatch, KernelSpec, UniformField, specialise, validate};
use minuend_runtime::DeviceError;
use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    BufferBindingType, ComputePipeline, ComputePipelineDescriptor, PipelineCompilationOptions,
    PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource,
    ShaderStages,
};

use crate::gpu::{Gpu, one_line};
use crate::pipeline_cache::PipelineCache;

/// A compiled kernel.
pub(crate) struct Pipeline {
    pub(crate) pipeline: ComputePipeline,
    pub(crate) layout: BindGroupLayout,
    /// Number of the layout: pipelines with one number share bind groups.
    pub(crate) layout_id: usize,
    /// Bytes of the uniform struct.
    pub(crate) uniform_bytes: u64,
    uniforms: Vec<UniformField>,
    bindings: usize,
    label: String,
}

/// The kernels of one device.
#[derive(Default)]
pub(crate) struct Pipelines {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_spec: HashMap<KernelSpec, usize>,
    pipelines: Vec<Arc<Pipeline>>,
    layouts: HashMap<Vec<bool>, (usize, BindGroupLayout)>,
}

/// A kernel that did not compile.
pub(crate) struct CompileFault {
    pub(crate) spec: KernelSpec,
    pub(crate) error: DeviceError,
}

impl CompileFault {
    fn boxed(spec: &KernelSpec, error: DeviceError) -> Box<CompileFault> {
        Box::new(CompileFault { spec: spec.clone(), error })
    }
}

impl Pipelines {
    /// Numbers of the kernels of some dispatches; those that are new are compiled, several at a time.
    pub(crate) fn of(
        &self,
        gpu: &Gpu,
        cache: &PipelineCache,
        dispatches: &[&Dispatch],
    ) -> Result<Vec<(usize, Arc<Pipeline>)>, Box<CompileFault>> {
        if dispatches.is_empty() {
            return Ok(Vec::new());
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: Vec<&Dispatch> = Vec::new();
        for dispatch in dispatches.iter().copied() {
            let is_known = table.by_spec.contains_key(&dispatch.spec)
                || missing.iter().any(|other| other.spec == dispatch.spec);
            if !is_known {
                missing.push(dispatch);
            }
        }
        if !missing.is_empty() {
            table.compile(gpu, cache, &missing)?;
        }
        let found = dispatches.iter().filter_map(|dispatch| {
            let index = *table.by_spec.get(&dispatch.spec)?;
            Some((index, Arc::clone(table.pipelines.get(index)?)))
        });
        Ok(found.collect())
    }

    /// How many kernels were compiled.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).pipelines.len()
    }

    /// Forgets the kernels that `is_refused` names.
    pub(crate) fn forget(&self, is_refused: impl Fn(&KernelSpec) -> bool) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.by_spec.retain(|spec, _| !is_refused(spec));
    }
}

impl Table {
    fn compile(
        &mut self,
        gpu: &Gpu,
        cache: &PipelineCache,
        missing: &[&Dispatch],
    ) -> Result<(), Box<CompileFault>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut texts = Vec::with_capacity(missing.len());
        for dispatch in missing {
            let prepared = Prepared::new(self, gpu, dispatch);
            texts.push(prepared.map_err(|error| CompileFault::boxed(&dispatch.spec, error))?);
        }
        let next = std::sync::atomic::AtomicUsize::new(0);
        let (next, texts) = (&next, &texts);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(prepared) = texts.get(index) else { break done };
                done.push((index, prepared.build(gpu, cache)));
            }
        };
        let mut built: Vec<(usize, Result<Pipeline, DeviceError>)> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (1..threads.min(texts.len())).map(|_| scope.spawn(work)).collect();
            let mut built = work();
            for worker in workers {
                // A panic in a driver's compiler ends its thread; its kernels are then missing below.
                built.extend(worker.join().unwrap_or_default());
            }
            built
        });
        built.sort_by_key(|(index, _)| *index);
        for (index, pipeline) in built {
            let spec = missing[index].spec.clone();
            let pipeline = pipeline.map_err(|error| CompileFault::boxed(&spec, error))?;
            self.by_spec.insert(spec, self.pipelines.len());
            self.pipelines.push(Arc::new(pipeline));
        }
        cache.store();
        match missing.iter().find(|dispatch| !self.by_spec.contains_key(&dispatch.spec)) {
            None => Ok(()),
            Some(dispatch) => {
                let error = DeviceError::Compile {
                    device: gpu.name.clone(),
                    kernel: dispatch.spec.label(),
                    reason: "the driver's compiler ended unexpectedly".into(),
                };
                Err(CompileFault::boxed(&dispatch.spec, error))
            }
        }
    }

    /// The layout for bindings that are read-only or not, and its number.
    fn layout(&mut self, gpu: &Gpu, read_only: &[bool]) -> (usize, BindGroupLayout) {
        if let Some(found) = self.layouts.get(read_only) {
            return found.clone();
        }
        let entry = |binding, ty, has_dynamic_offset| BindGroupLayoutEntry {
            binding,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, BufferBindingType::Uniform, true)];
        for (binding, read_only) in (1u32..).zip(read_only) {
            let ty = BufferBindingType::Storage { read_only: *read_only };
            entries.push(entry(binding, ty, false));
        }
        let descriptor = BindGroupLayoutDescriptor { label: None, entries: &entries };
        let layout = gpu.device.create_bind_group_layout(&descriptor);
        let found = (self.layouts.len(), layout);
        self.layouts.insert(read_only.to_vec(), found.clone());
        found
    }
}

/// A kernel's text, checked, before the driver sees it.
struct Prepared {
    label: String,
    text: String,
    layout: BindGroupLayout,
    layout_id: usize,
    uniforms: Vec<UniformField>,
    bindings: usize,
}

impl Prepared {
    fn new(table: &mut Table, gpu: &Gpu, dispatch: &Dispatch) -> Result<Prepared, DeviceError> {
        let invalid = |reason: String| DeviceError::Compile {
            device: gpu.name.clone(),
            kernel: dispatch.spec.label(),
            reason,
        };
        let source = specialise(&dispatch.spec, Dialect::Native)
            .map_err(|error| invalid(error.to_string()))?;
        let checked = validate(&source).map_err(|error| invalid(error.to_string()))?;
        let (layout_id, layout) = table.layout(gpu, &checked.read_only);
        let prepared = Prepared {
            label: source.label,
            text: source.text,
            layout,
            layout_id,
            uniforms: checked.uniforms,
            bindings: checked.read_only.len(),
        };
        Ok(prepared)
    }

    fn build(&self, gpu: &Gpu, cache: &PipelineCache) -> Result<Pipeline, DeviceError> {
        let built = gpu.caught(|| {
            let source = ShaderSource::Wgsl(self.text.as_str().into());
            let descriptor = ShaderModuleDescriptor { label: Some(&self.label), source };
            // SAFETY: every index of the kernels is guarded by the kernels themselves with the sizes
            // that the selection computes from the tensors' places, and `Recording` checks that every
            // window lies inside of its buffer; loops are bounded by those sizes. The kernels read
            // workgroup memory only behind a write and a barrier.
            let module = unsafe {
                gpu.device
                    .create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked())
            };
            let layout = gpu.device.create_pipeline_layout(&PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&self.layout)],
                immediate_size: 0,
            });
            gpu.device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(&self.label),
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..PipelineCompilationOptions::default()
                },
                cache: cache.handle(),
            })
        });
        let pipeline = built.map_err(|error| DeviceError::Compile {
            device: gpu.name.clone(),
            kernel: self.label.clone(),
            reason: one_line(&error.to_string()),
        })?;
        let words: u32 = self.uniforms.iter().map(|field| field.words).sum();
        Ok(Pipeline {
            pipeline,
            layout: self.layout.clone(),
            layout_id: self.layout_id,
            // Uniform bindings are whole vectors.
            uniform_bytes: u64::from(words).next_multiple_of(4) * 4,
            uniforms: self.uniforms.clone(),
            bindings: self.bindings,
            label: self.label.clone(),
        })
    }
}

impl Pipeline {
    /// Checks that a dispatch gives what the kernel's text declares.
    pub(crate) fn check(&self, gpu: &Gpu, dispatch: &Dispatch) -> Result<(), DeviceError> {
        let invalid = |reason: String| DeviceError::Compile {
            device: gpu.name.clone(),
            kernel: self.label.clone(),
            reason,
        };
        if dispatch.windows.len() != self.bindings {
            let (found, expected) = (dispatch.windows.len(), self.bindings);
            return Err(invalid(format!("{found} bindings are given, expected {expected}")));
        }
        let mut given = dispatch.uniforms.words.iter();
        for field in &self.uniforms {
            for _ in 0..field.words {
                match given.next() {
                    Some((name, _)) if *name == field.name => {}
                    found => {
                        let found = found.map_or("nothing", |(name, _)| name);
                        let expected = &field.name;
                        return Err(invalid(format!(
                            "uniform {found} is given, expected {expected}"
                        )));
                    }
                }
            }
        }
        match given.next() {
            Some((name, _)) => Err(invalid(format!("uniform {name} is given, expected nothing"))),
            None => Ok(()),
        }
    }
}
