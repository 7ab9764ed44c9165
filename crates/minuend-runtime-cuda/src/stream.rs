//! Memory of a session and the work given to it.

use std::sync::Arc;

use cudarc::driver::sys::{self, CUstream};
use minuend_codegen::Region;
use minuend_codegen::cuda::KernelSpec;
use minuend_plan::BoundProgram;
use minuend_runtime::{DeviceError, Memory, PendingRead, Stream};

use crate::graph::Graph;
use crate::launch::{AddressMap, PreparedWork};
use crate::memory::DeviceBuffer;
use crate::module::{CudaModule, RawStream};
use crate::planned::Planned;
use crate::products::WORKSPACE_BYTES;
use crate::readback::{FAULT_BYTES, Readbacks};
use crate::staging::Staging;

/// Bytes of the counters by which the blocks of a launch agree.
const COUNTER_BYTES: u64 = 4 << 16;
/// Bytes of a piece of staging memory for arguments.
const STAGING_BYTES: usize = 1 << 20;
/// Pieces of staging memory.
const STAGING_PIECES: usize = 2;
/// Runs with the same sequence of kernels after which a graph is recorded.
const RUNS_BEFORE_GRAPH: u32 = 2;

/// Memory that belongs to one stream.
struct Buffers {
    module: Arc<CudaModule>,
    arena: Option<DeviceBuffer>,
    arguments: Vec<Option<DeviceBuffer>>,
    states: Vec<Option<DeviceBuffer>>,
    scratch: Option<DeviceBuffer>,
    workspace: Option<DeviceBuffer>,
    faults: DeviceBuffer,
    counters: DeviceBuffer,
}

/// A stream of the device, with memory of its own.
pub(crate) struct CudaStream {
    // Dropped first: what it was given may still use the memory below.
    raw: RawStream,
    graph: Option<Graph>,
    buffers: Buffers,
    planned: Planned,
    /// Runs in a row of the same sequence of kernels.
    same_runs: u32,
    /// The driver cannot record, or failed to: runs are given kernel by kernel.
    without_graphs: bool,
    staging: Staging,
    readbacks: Readbacks,
    may_have_faults: bool,
}

impl CudaStream {
    pub(crate) fn open(module: Arc<CudaModule>) -> Result<CudaStream, DeviceError> {
        let gpu = Arc::clone(&module.shared.gpu);
        gpu.enter()?;
        let raw = RawStream::new(&gpu)?;
        let faults = DeviceBuffer::zeroed(&gpu, "fault counters", FAULT_BYTES as u64, raw.stream)?;
        let counters = DeviceBuffer::zeroed(&gpu, "counters", COUNTER_BYTES, raw.stream)?;
        let none = |count: usize| std::iter::repeat_with(|| None).take(count).collect::<Vec<_>>();
        let buffers = Buffers {
            arena: None,
            arguments: none(module.program.arguments.len()),
            states: none(module.program.states.len()),
            scratch: None,
            workspace: None,
            faults,
            counters,
            module,
        };
        Ok(CudaStream {
            raw,
            graph: None,
            buffers,
            planned: Planned::default(),
            same_runs: 0,
            without_graphs: !Graph::is_supported(&gpu),
            staging: Staging::new(&gpu, STAGING_PIECES, STAGING_BYTES)?,
            readbacks: Readbacks::new(&gpu),
            may_have_faults: false,
        })
    }

    fn stream(&self) -> CUstream {
        self.raw.stream
    }

    /// Finds kernels and addresses of every step that has none.
    fn prepare(&mut self) -> Result<(), DeviceError> {
        let module = Arc::clone(&self.buffers.module);
        let shared = &module.shared;
        let scratch = self.planned.scratch_bytes();
        let held = self.buffers.scratch.as_ref().map_or(0, DeviceBuffer::bytes);
        if scratch > held {
            self.buffers.scratch = None;
            let what = "partial results";
            self.buffers.scratch = Some(DeviceBuffer::new(&shared.gpu, what, scratch)?);
            self.planned.forget_addresses();
        }
        if self.buffers.workspace.is_none() && shared.products().is_some() {
            let what = "working memory of products";
            self.buffers.workspace = Some(DeviceBuffer::new(&shared.gpu, what, WORKSPACE_BYTES)?);
            self.planned.forget_addresses();
        }
        let mut missing: Vec<KernelSpec> = Vec::new();
        for spec in self.planned.wanted() {
            if shared.kernels.loaded(spec).is_none() && !missing.contains(spec) {
                missing.push(spec.clone());
            }
        }
        shared.kernels.prepare(&missing)?;
        let limits = shared.limits();
        for step in &mut self.planned.steps {
            if step.prepared.len() == step.works.steps.len() {
                continue;
            }
            step.prepared.clear();
            for work in &step.works.steps {
                let function = |launch: &minuend_codegen::cuda::KernelLaunch| {
                    if cfg!(debug_assertions) {
                        launch.check().map_err(|error| DeviceError::Setup {
                            device: shared.gpu.name(),
                            reason: error.to_string(),
                        })?;
                    }
                    shared.kernels.get(&launch.spec)
                };
                let prepared =
                    PreparedWork::new(&shared.gpu, &limits, work, function, &self.buffers)?;
                step.prepared.push(prepared);
            }
        }
        Ok(())
    }

    /// Gives the prepared run to the device, as a graph if it was seen often enough.
    fn give(&mut self) -> Result<(), DeviceError> {
        let module = Arc::clone(&self.buffers.module);
        let (gpu, products) = (&module.shared.gpu, module.shared.products());
        if let Some(graph) = &mut self.graph {
            if graph.update(&self.planned)? {
                self.planned.steps.iter_mut().for_each(|step| step.is_changed = false);
                return graph.launch(self.raw.stream);
            }
            self.graph = None;
            self.same_runs = 0;
        }
        if self.same_runs >= RUNS_BEFORE_GRAPH && !self.without_graphs {
            let beside = module.shared.side_by_side;
            match Graph::record(gpu, &self.planned, products, self.raw.stream, beside) {
                Ok(graph) => {
                    self.planned.steps.iter_mut().for_each(|step| step.is_changed = false);
                    graph.launch(self.raw.stream)?;
                    self.graph = Some(graph);
                    return Ok(());
                }
                Err(error @ DeviceError::Lost { .. }) => return Err(error),
                Err(error) => {
                    self.without_graphs = true;
                    module.shared.note(format!("runs are not recorded as graphs: {error}"));
                }
            }
        }
        for work in self.planned.works() {
            work.run(gpu, products, self.raw.stream, true)?;
        }
        Ok(())
    }

    /// Address of bytes of a region.
    fn inside(&self, memory: Memory, offset: u64, bytes: usize) -> Result<u64, DeviceError> {
        let held = self.buffers.held(memory).map(|held| (held.address(), held.bytes()));
        let (address, size) = held.unwrap_or_default();
        let end = offset.saturating_add(bytes as u64);
        if end > size {
            let what = format!("{memory:?}");
            return Err(DeviceError::OutOfBounds { what, start: offset, end, size });
        }
        Ok(address + offset)
    }
}

impl Buffers {
    fn slot(&mut self, memory: Memory) -> Option<&mut Option<DeviceBuffer>> {
        match memory {
            Memory::Arena => Some(&mut self.arena),
            Memory::Argument(index) => self.arguments.get_mut(index),
            Memory::State(index) => self.states.get_mut(index),
        }
    }

    fn held(&self, memory: Memory) -> Option<&DeviceBuffer> {
        match memory {
            Memory::Arena => self.arena.as_ref(),
            Memory::Argument(index) => self.arguments.get(index)?.as_ref(),
            Memory::State(index) => self.states.get(index)?.as_ref(),
        }
    }
}

impl AddressMap for Buffers {
    fn region(&self, region: Region) -> Result<u64, DeviceError> {
        let buffer = match region {
            Region::Arena => self.arena.as_ref(),
            Region::Argument(index) => self.arguments.get(index).and_then(Option::as_ref),
            Region::State(index) => self.states.get(index).and_then(Option::as_ref),
            Region::Weight(index) => self.module.weights.get(index),
            Region::Scratch => self.scratch.as_ref(),
            Region::Faults => Some(&self.faults),
            Region::Counters => Some(&self.counters),
        };
        let missing =
            || DeviceError::OutOfBounds { what: format!("{region:?}"), start: 0, end: 1, size: 0 };
        buffer.map(DeviceBuffer::address).ok_or_else(missing)
    }

    fn data(&self, bytes: &Arc<[u8]>) -> Result<u64, DeviceError> {
        self.module.literal(bytes)
    }

    fn workspace(&self) -> u64 {
        self.workspace.as_ref().map_or(0, DeviceBuffer::address)
    }
}

impl Stream for CudaStream {
    fn reserve(&mut self, memory: Memory, bytes: u64) -> Result<(), DeviceError> {
        if self.buffers.held(memory).is_some_and(|held| held.bytes() >= bytes) {
            return Ok(());
        }
        let gpu = Arc::clone(&self.buffers.module.shared.gpu);
        gpu.enter()?;
        let stream = self.stream();
        let what = match memory {
            Memory::Arena => "temporary memory",
            Memory::Argument(_) => "an argument",
            Memory::State(_) => "a key/value cache",
        };
        let Some(slot) = self.buffers.slot(memory) else {
            let what = format!("{memory:?}");
            return Err(DeviceError::OutOfBounds { what, start: 0, end: bytes, size: 0 });
        };
        // The old buffer goes first, so that both need not fit. Freeing waits for work that uses it.
        *slot = None;
        *slot = Some(match memory {
            Memory::State(_) => DeviceBuffer::zeroed(&gpu, what, bytes, stream)?,
            Memory::Arena | Memory::Argument(_) => DeviceBuffer::new(&gpu, what, bytes)?,
        });
        self.planned.forget_addresses();
        Ok(())
    }

    fn write(&mut self, memory: Memory, offset: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let module = Arc::clone(&self.buffers.module);
        module.shared.gpu.enter()?;
        let stream = self.stream();
        let address = self.inside(memory, offset, bytes.len())?;
        self.staging.copy(address, bytes, stream)
    }

    fn read(&mut self, memory: Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let pending = self.start_read(memory, offset, bytes.len())?;
        let read = self.finish_read(pending)?;
        bytes.copy_from_slice(&read);
        Ok(())
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    fn copy(
        &mut self,
        (from, from_offset): (Memory, u64),
        (to, to_offset): (Memory, u64),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let gpu = Arc::clone(&self.buffers.module.shared.gpu);
        gpu.enter()?;
        let source = self.inside(from, from_offset, bytes)?;
        let target = self.inside(to, to_offset, bytes)?;
        // SAFETY: both ranges lie in live buffers of this stream.
        let result = unsafe { sys::cuMemcpyDtoDAsync_v2(target, source, bytes, self.stream()) };
        gpu.done("copying on the device", result)
    }

    fn start_read(
        &mut self,
        memory: Memory,
        offset: u64,
        bytes: usize,
    ) -> Result<PendingRead, DeviceError> {
        let gpu = Arc::clone(&self.buffers.module.shared.gpu);
        gpu.enter()?;
        let address = self.inside(memory, offset, bytes)?;
        let faults = self.buffers.faults.address();
        self.readbacks.start(address, bytes, faults, self.stream()).map(PendingRead::Later)
    }

    fn finish_read(&mut self, pending: PendingRead) -> Result<Vec<u8>, DeviceError> {
        let gpu = Arc::clone(&self.buffers.module.shared.gpu);
        gpu.enter()?;
        let PendingRead::Later(number) = pending else { return Ok(Vec::new()) };
        let (bytes, count) = self.readbacks.finish(number)?;
        let had_run = std::mem::take(&mut self.may_have_faults);
        if had_run && count > 0 {
            let counters = self.buffers.faults.address();
            // SAFETY: the counters hold that many bytes.
            let cleared = unsafe { sys::cuMemsetD8Async(counters, 0, FAULT_BYTES, self.stream()) };
            gpu.done("clearing memory", cleared)?;
            return Err(DeviceError::Index { count: u64::from(count) });
        }
        Ok(bytes)
    }

    fn run(&mut self, program: &BoundProgram) -> Result<(), DeviceError> {
        let module = Arc::clone(&self.buffers.module);
        let shared = &module.shared;
        shared.gpu.enter()?;
        let limits = shared.limits();
        let before = self.planned.steps.len();
        let kept = self.planned.update(&shared.gpu, &limits, &module.program, program)?;
        let steps = self.planned.steps.len();
        // Sequences in which most steps stay as they are will be run again.
        let is_alike = before == steps && kept * 2 >= steps;
        self.same_runs = if is_alike { self.same_runs.saturating_add(1) } else { 0 };
        self.prepare()?;
        self.give()?;
        self.may_have_faults = true;
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        let gpu = &self.buffers.module.shared.gpu;
        gpu.enter()?;
        gpu.wait(self.raw.stream)
    }

    fn allocated_bytes(&self) -> u64 {
        let buffers = &self.buffers;
        let lists = buffers.arguments.iter().chain(&buffers.states);
        let single = [&buffers.arena, &buffers.scratch, &buffers.workspace];
        lists.chain(single).flatten().map(DeviceBuffer::bytes).sum()
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        // Memory is freed behind this, and staging memory may still be read from.
        let _ = self.synchronize();
    }
}
