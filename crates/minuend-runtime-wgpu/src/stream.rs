//! Memory and the order of work of one session.

use std::sync::Arc;
use std::time::Duration;

use minuend_codegen::wgsl::{Dispatch, Fault, Region, Window};
use minuend_plan::BoundProgram;
use minuend_runtime::{DeviceError, Memory, Stream};
use smallvec::SmallVec;
use wgpu::{
    BufferUsages, CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor, MapMode,
    SubmissionIndex,
};

use crate::bind_groups::{BindGroups, Bound};
use crate::buffers::{NumberedBuffer, STORAGE};
use crate::gpu::Gpu;
use crate::module::WgpuModule;
use crate::pipelines::Pipeline;
use crate::planned::{Planned, PlannedDispatch};
use crate::recording::{Part, SUBMISSION_WORK, parts, write_uniforms};

/// Time in which a finished copy is reported.
const CALLBACK_TIME: Duration = Duration::from_secs(10);

/// Bytes of the fault counters.
const FAULT_BYTES: u64 = 16;

/// One session's buffers. Work is recorded by `run` and submitted by what comes next, so that a step
/// and the read of its result are one submission.
pub(crate) struct WgpuStream {
    module: Arc<WgpuModule>,
    arena: Option<NumberedBuffer>,
    arguments: Vec<Option<NumberedBuffer>>,
    states: Vec<Option<NumberedBuffer>>,
    scratch: Option<NumberedBuffer>,
    faults: NumberedBuffer,
    uniforms: Option<NumberedBuffer>,
    staging: Option<NumberedBuffer>,
    bind_groups: BindGroups,
    planned: Planned,
    /// Recorded and not submitted.
    pending: Option<CommandEncoder>,
    /// The last submission that is not waited for.
    submitted: Option<SubmissionIndex>,
    /// A run may have counted faults that no read has seen.
    may_have_faults: bool,
    uniform_bytes: Vec<u8>,
    /// The kernels whose dispatches were checked against their text, by number.
    checked: Vec<bool>,
}

impl WgpuStream {
    pub(crate) fn open(module: Arc<WgpuModule>) -> Result<WgpuStream, DeviceError> {
        let faults = NumberedBuffer::new(&module.shared.gpu, "faults", FAULT_BYTES, STORAGE)?;
        Ok(WgpuStream {
            module,
            arena: None,
            arguments: Vec::new(),
            states: Vec::new(),
            scratch: None,
            faults,
            uniforms: None,
            staging: None,
            bind_groups: BindGroups::default(),
            planned: Planned::default(),
            pending: None,
            submitted: None,
            may_have_faults: false,
            uniform_bytes: Vec::new(),
            checked: Vec::new(),
        })
    }

    /// Bind groups made so far and still valid.
    #[cfg(test)]
    pub(crate) fn bind_group_count(&self) -> usize {
        self.bind_groups.count()
    }

    fn gpu(&self) -> &Gpu {
        &self.module.shared.gpu
    }

    fn slot(&mut self, memory: Memory) -> &mut Option<NumberedBuffer> {
        let of = |list: &mut Vec<Option<NumberedBuffer>>, index: usize| {
            if list.len() <= index {
                list.resize_with(index + 1, || None);
            }
            index
        };
        match memory {
            Memory::Arena => &mut self.arena,
            Memory::Argument(index) => {
                let index = of(&mut self.arguments, index);
                &mut self.arguments[index]
            }
            Memory::State(index) => {
                let index = of(&mut self.states, index);
                &mut self.states[index]
            }
        }
    }

    fn submit(&mut self) -> Result<(), DeviceError> {
        if let Some(encoder) = self.pending.take() {
            self.submitted = Some(self.gpu().queue.submit([encoder.finish()]));
        }
        self.gpu().check_alive()
    }

    fn encoder(&mut self) -> CommandEncoder {
        let recorded = self.pending.take();
        recorded.unwrap_or_else(|| {
            self.gpu().device.create_command_encoder(&CommandEncoderDescriptor { label: None })
        })
    }

    /// Makes a buffer of the stream itself at least that large. True if it is another one now.
    fn grow(
        gpu: &Gpu,
        slot: &mut Option<NumberedBuffer>,
        what: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<bool, DeviceError> {
        if slot.as_ref().is_some_and(|buffer| buffer.bytes() >= bytes) {
            return Ok(false);
        }
        *slot = None;
        *slot = Some(NumberedBuffer::new(gpu, what, bytes, usage)?);
        Ok(true)
    }

    /// Finds bind groups and fills the uniform buffer for every part of a run.
    fn record(&mut self, planned: &mut Planned) -> Result<Vec<Part>, DeviceError> {
        let module = Arc::clone(&self.module);
        let gpu = &module.shared.gpu;
        let mut starts = Vec::with_capacity(planned.steps.len());
        self.uniform_bytes.clear();
        for PlannedDispatch { dispatch, kernel, .. } in planned.dispatches_mut() {
            let Some((id, pipeline)) = kernel else { continue };
            self.check_once(*id, pipeline, dispatch)?;
            for (first, groups) in parts(dispatch) {
                let offset = self.uniform_bytes.len();
                // A dispatch never has 2^32 groups: its result would be larger than any binding.
                write_uniforms(dispatch, first as u32, &mut self.uniform_bytes);
                let slot = pipeline.uniform_bytes.next_multiple_of(gpu.uniform_alignment);
                self.uniform_bytes.resize(offset + slot as usize, 0);
                starts.push((offset as u32, groups as u32));
            }
        }
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let bytes = self.uniform_bytes.len() as u64;
        let mut is_new = Self::grow(gpu, &mut self.uniforms, "uniforms", bytes, usage)?;
        // Scratch grows with the keys of a cache: seldom, in large steps.
        let scratch = planned.scratch_bytes().next_power_of_two();
        is_new |= Self::grow(gpu, &mut self.scratch, "scratch", scratch, STORAGE)?;
        if is_new {
            self.bind_groups.clear();
        }
        if self.bind_groups.is_empty() {
            planned.forget_bind_groups();
        }
        if let Some(uniforms) = &self.uniforms {
            gpu.queue.write_buffer(&uniforms.buffer, 0, &self.uniform_bytes);
        }
        let mut recorded = Vec::with_capacity(starts.len());
        let mut starts = starts.into_iter();
        for (step, planned) in planned.steps.iter_mut().enumerate() {
            for PlannedDispatch { dispatch, kernel, bind_group } in &mut planned.dispatches {
                let Some((id, pipeline)) = kernel else { continue };
                let number = match *bind_group {
                    Some(number) => number,
                    None => self.bind_group(step, pipeline, dispatch)?,
                };
                *bind_group = Some(number);
                for (uniform_offset, groups) in starts.by_ref().take(parts(dispatch).count()) {
                    recorded.push(Part {
                        pipeline: Arc::clone(pipeline),
                        pipeline_id: *id,
                        bind_group: number,
                        uniform_offset,
                        groups,
                        work: dispatch.work_per_group.saturating_mul(u64::from(groups)),
                    });
                }
            }
        }
        Ok(recorded)
    }

    /// Uniform names are compared on a kernel's first dispatch of the stream: they never change.
    fn check_once(
        &mut self,
        id: usize,
        pipeline: &Pipeline,
        dispatch: &Dispatch,
    ) -> Result<(), DeviceError> {
        if self.checked.get(id) == Some(&true) {
            return Ok(());
        }
        self.module.shared.check(pipeline, dispatch)?;
        if self.checked.len() <= id {
            self.checked.resize(id + 1, false);
        }
        self.checked[id] = true;
        Ok(())
    }

    fn bind_group(
        &mut self,
        step: usize,
        pipeline: &Pipeline,
        dispatch: &Dispatch,
    ) -> Result<usize, DeviceError> {
        let module = Arc::clone(&self.module);
        let mut literals: SmallVec<[Arc<NumberedBuffer>; 2]> = SmallVec::new();
        for window in &dispatch.windows {
            if let Some(words) = &window.data {
                literals.push(module.literal(words)?);
            }
        }
        let mut next_literal = literals.iter();
        let mut bound: SmallVec<[Bound<'_>; 8]> = SmallVec::new();
        for window in &dispatch.windows {
            let buffer = match window.data {
                Some(_) => next_literal.next().map(|literal| &**literal),
                None => match window.region {
                    Region::Arena => self.arena.as_ref(),
                    Region::Argument(index) => self.arguments.get(index).and_then(Option::as_ref),
                    Region::State(index) => self.states.get(index).and_then(Option::as_ref),
                    Region::Weight(index) => module.weights.get(index),
                    Region::Scratch => self.scratch.as_ref(),
                    Region::Faults => Some(&self.faults),
                    // No WGSL kernel uses them.
                    Region::Counters => None,
                },
            };
            bound.push(visible(step, window, buffer, module.shared.max_binding_bytes())?);
        }
        let Some(uniforms) = &self.uniforms else {
            return Err(missing_buffer(step));
        };
        let number = self.bind_groups.of(&module.shared.gpu, pipeline, &uniforms.buffer, &bound);
        Ok(number)
    }

    /// Encodes parts into passes, submitting on the way where there is much work.
    fn encode(&mut self, recorded: &[Part]) -> Result<(), DeviceError> {
        let mut rest = recorded;
        while !rest.is_empty() {
            let mut work = 0u64;
            let count = rest.iter().take_while(|part| {
                let fits = work < SUBMISSION_WORK;
                work = work.saturating_add(part.work);
                fits
            });
            let (now, later) = rest.split_at(count.count());
            let mut encoder = self.encoder();
            {
                let descriptor = ComputePassDescriptor { label: None, timestamp_writes: None };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                let mut current = None;
                for part in now {
                    if current != Some(part.pipeline_id) {
                        pass.set_pipeline(&part.pipeline.pipeline);
                        current = Some(part.pipeline_id);
                    }
                    let group = self.bind_groups.get(part.bind_group);
                    pass.set_bind_group(0, group, &[part.uniform_offset]);
                    pass.dispatch_workgroups(part.groups, 1, 1);
                }
            }
            self.pending = Some(encoder);
            if !later.is_empty() {
                self.submit()?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Copies some bytes of a buffer, and the fault counters, to the host.
    fn fetch(&mut self, memory: Memory, offset: u64, bytes: &mut [u8]) -> Result<u32, DeviceError> {
        // Copies are of whole words.
        let start = offset - offset % 4;
        let end = (offset + bytes.len() as u64).next_multiple_of(4);
        let size = end - start;
        let module = Arc::clone(&self.module);
        let gpu = &module.shared.gpu;
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        Self::grow(gpu, &mut self.staging, "staging", size + FAULT_BYTES, usage)?;
        let mut encoder = self.encoder();
        let source = match memory {
            Memory::Arena => self.arena.as_ref(),
            Memory::Argument(index) => self.arguments.get(index).and_then(Option::as_ref),
            Memory::State(index) => self.states.get(index).and_then(Option::as_ref),
        };
        let held = source.map_or(0, NumberedBuffer::bytes);
        let (Some(source), Some(staging), true) = (source, &self.staging, end <= held) else {
            return Err(DeviceError::OutOfBounds {
                what: format!("{memory:?}"),
                start: offset,
                end: offset + bytes.len() as u64,
                size: held,
            });
        };
        let to = &staging.buffer;
        encoder.copy_buffer_to_buffer(&self.faults.buffer, 0, to, 0, FAULT_BYTES);
        encoder.copy_buffer_to_buffer(&source.buffer, start, to, FAULT_BYTES, size);
        if self.may_have_faults {
            encoder.clear_buffer(&self.faults.buffer, 0, None);
        }
        self.pending = Some(encoder);
        self.submit()?;
        let Some(staging) = &self.staging else { return Ok(0) };
        let slice = staging.buffer.slice(..FAULT_BYTES + size);
        let (sender, receiver) = std::sync::mpsc::channel();
        slice.map_async(MapMode::Read, move |mapped| {
            // The receiver lives until the wait below is over.
            let _ = sender.send(mapped);
        });
        gpu.wait(self.submitted.take())?;
        // Another stream's wait may be the one that calls back, a moment behind this one's.
        let mapped = receiver.recv_timeout(CALLBACK_TIME);
        let unreadable = |reason: String| DeviceError::Setup { device: gpu.name.clone(), reason };
        match mapped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(unreadable(error.to_string())),
            Err(_) => return Err(unreadable("the copy to the host did not end".into())),
        }
        let faults = {
            let view = slice.get_mapped_range().map_err(|error| unreadable(error.to_string()))?;
            let from = (FAULT_BYTES + offset - start) as usize;
            bytes.copy_from_slice(&view[from..from + bytes.len()]);
            let at = Fault::Index as usize * 4;
            u32::from_le_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]])
        };
        staging.buffer.unmap();
        Ok(faults)
    }
}

impl Stream for WgpuStream {
    fn reserve(&mut self, memory: Memory, bytes: u64) -> Result<(), DeviceError> {
        let held = self.slot(memory).as_ref().map_or(0, NumberedBuffer::bytes);
        if held >= bytes && held > 0 {
            return Ok(());
        }
        self.submit()?;
        let module = Arc::clone(&self.module);
        let what = match memory {
            Memory::Arena => "temporary memory",
            Memory::Argument(_) => "an argument",
            Memory::State(_) => "a key/value cache",
        };
        // The old buffer goes first, so that both need not fit.
        *self.slot(memory) = None;
        self.bind_groups.clear();
        let buffer = NumberedBuffer::new(&module.shared.gpu, what, bytes, STORAGE)?;
        *self.slot(memory) = Some(buffer);
        Ok(())
    }

    fn write(&mut self, memory: Memory, offset: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        // A queue write comes before everything that is not submitted yet.
        self.submit()?;
        let held = self.slot(memory).as_ref().map_or(0, NumberedBuffer::bytes);
        let end = offset + bytes.len() as u64;
        if end > held || !offset.is_multiple_of(4) {
            let what = format!("{memory:?}");
            return Err(DeviceError::OutOfBounds { what, start: offset, end, size: held });
        }
        let module = Arc::clone(&self.module);
        let queue = &module.shared.gpu.queue;
        let Some(buffer) = self.slot(memory) else { return Ok(()) };
        let whole = bytes.len() / 4 * 4;
        queue.write_buffer(&buffer.buffer, offset, &bytes[..whole]);
        if whole < bytes.len() {
            // Buffers are whole words; what fills the last one is read by nobody.
            let mut word = [0u8; 4];
            word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            queue.write_buffer(&buffer.buffer, offset + whole as u64, &word);
        }
        Ok(())
    }

    fn read(&mut self, memory: Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return self.submit();
        }
        let faults = self.fetch(memory, offset, bytes)?;
        let had_run = std::mem::take(&mut self.may_have_faults);
        if had_run && faults > 0 {
            return Err(DeviceError::Index { count: u64::from(faults) });
        }
        Ok(())
    }

    fn run(&mut self, program: &BoundProgram) -> Result<(), DeviceError> {
        self.submit()?;
        let module = Arc::clone(&self.module);
        let mut planned = std::mem::take(&mut self.planned);
        module.shared.prepare(&module.program, program, &mut planned)?;
        let recorded = self.record(&mut planned)?;
        self.planned = planned;
        self.encode(&recorded)?;
        self.may_have_faults = true;
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.submit()?;
        let submitted = self.submitted.take();
        if submitted.is_some() { self.gpu().wait(submitted) } else { Ok(()) }
    }

    fn allocated_bytes(&self) -> u64 {
        let lists = self.arguments.iter().chain(&self.states).chain([&self.arena]);
        lists.flatten().map(NumberedBuffer::bytes).sum()
    }
}

/// A window on a buffer: from its start to the end of the buffer, or as far as a binding may reach.
fn visible<'b>(
    step: usize,
    window: &Window,
    buffer: Option<&'b NumberedBuffer>,
    max_binding_bytes: u64,
) -> Result<Bound<'b>, DeviceError> {
    let Some(buffer) = buffer else { return Err(missing_buffer(step)) };
    let held = buffer.bytes();
    let bytes = held.saturating_sub(window.start).min(max_binding_bytes) / 4 * 4;
    // A buffer is whole words, so a tensor's last word is inside.
    if bytes == 0 || window.bytes > bytes {
        return Err(DeviceError::OutOfBounds {
            what: format!("step {step}, {:?}", window.region),
            start: window.start,
            end: window.start + window.bytes,
            size: held,
        });
    }
    Ok(Bound { buffer: &buffer.buffer, id: buffer.id, start: window.start, bytes })
}

fn missing_buffer(step: usize) -> DeviceError {
    DeviceError::OutOfBounds { what: format!("step {step}: memory"), start: 0, end: 1, size: 0 }
}
