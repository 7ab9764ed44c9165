//! The memory of one session, and the running of its steps.

use std::sync::Arc;

use minuend_plan::{BoundProgram, BoundStep};
use minuend_runtime::{DeviceError, Memory, Stream};

use crate::copy::copy;
use crate::launch::launch;
use crate::memory::AlignedBytes;
use crate::module::CpuModule;
use crate::operands::Regions;

/// Memory regions of one session.
pub(crate) struct CpuStream {
    module: Arc<CpuModule>,
    arena: AlignedBytes,
    arguments: Vec<AlignedBytes>,
    states: Vec<AlignedBytes>,
}

impl CpuStream {
    pub(crate) fn new(module: Arc<CpuModule>) -> CpuStream {
        CpuStream {
            module,
            arena: AlignedBytes::default(),
            arguments: Vec::new(),
            states: Vec::new(),
        }
    }

    fn region(&mut self, memory: Memory) -> &mut AlignedBytes {
        let (regions, index) = match memory {
            Memory::Arena => return &mut self.arena,
            Memory::Argument(index) => (&mut self.arguments, index),
            Memory::State(index) => (&mut self.states, index),
        };
        if regions.len() <= index {
            regions.resize_with(index + 1, AlignedBytes::default);
        }
        &mut regions[index]
    }
}

/// The bytes `offset .. offset + length` as indices, if they lie in the region.
fn range(
    memory: Memory,
    region: &AlignedBytes,
    offset: u64,
    length: usize,
) -> Result<std::ops::Range<usize>, DeviceError> {
    let end = offset.saturating_add(length as u64);
    if end > region.len() {
        let what = format!("{memory:?}").to_lowercase();
        return Err(DeviceError::OutOfBounds { what, start: offset, end, size: region.len() });
    }
    // The region's length is a usize, and so are both ends.
    Ok(offset as usize..end as usize)
}

impl Stream for CpuStream {
    fn reserve(&mut self, memory: Memory, bytes: u64) -> Result<(), DeviceError> {
        let region = self.region(memory);
        if region.len() < bytes {
            // The old memory goes first: both together may not fit.
            *region = AlignedBytes::default();
            let what = match memory {
                Memory::Arena => "temporary memory",
                Memory::Argument(_) => "an argument",
                Memory::State(_) => "the key/value cache",
            };
            *region = AlignedBytes::zeroed(bytes, what)?;
        }
        Ok(())
    }

    fn write(&mut self, memory: Memory, offset: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let region = self.region(memory);
        let range = range(memory, region, offset, bytes.len())?;
        region.bytes_mut()[range].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, memory: Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let region = self.region(memory);
        let range = range(memory, region, offset, bytes.len())?;
        bytes.copy_from_slice(&region.bytes()[range]);
        Ok(())
    }

    fn run(&mut self, program: &BoundProgram) -> Result<(), DeviceError> {
        let CpuStream { module, arena, arguments, states } = self;
        let regions = Regions::new(&module.weights, arena, arguments, states);
        module.pool.install(|| {
            for step in &program.steps {
                match &**step {
                    BoundStep::Launch(step) => {
                        let kernel = &module.kernels[step.kernel];
                        launch(kernel, step, &regions).map_err(|error| DeviceError::Kernel {
                            step: step.step,
                            kernel: kernel.name(),
                            reason: error.to_string(),
                        })?;
                    }
                    BoundStep::Copy(copied) => {
                        copy(copied, &regions).map_err(|error| DeviceError::Kernel {
                            step: copied.step,
                            kernel: "copy".into(),
                            reason: error.to_string(),
                        })?;
                    }
                }
            }
            Ok(())
        })
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        // A run is over when it returns.
        Ok(())
    }

    fn allocated_bytes(&self) -> u64 {
        let regions = self.arguments.iter().chain(&self.states).chain([&self.arena]);
        regions.map(AlignedBytes::len).sum()
    }
}
