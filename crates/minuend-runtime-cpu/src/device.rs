//! The CPU as a device: a thread pool.

use std::sync::Arc;

use minuend_codegen::{CpuTarget, Target};
use minuend_plan::Program;
use minuend_runtime::{Device, DeviceError, Module, WeightSource};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::module::CpuModule;

/// The CPU with a pool of threads of its own.
pub struct CpuDevice {
    pool: Arc<ThreadPool>,
}

impl CpuDevice {
    /// A device of `threads` threads; 0 takes one for each core.
    pub fn new(threads: usize) -> Result<CpuDevice, DeviceError> {
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        let pool = builder.thread_name(|index| format!("minuend-{index}")).build();
        let pool = pool.map_err(|error| DeviceError::Setup {
            device: "cpu".into(),
            reason: error.to_string(),
        })?;
        Ok(CpuDevice { pool: Arc::new(pool) })
    }
}

impl Device for CpuDevice {
    fn name(&self) -> String {
        format!("cpu ({} threads)", self.pool.current_num_threads())
    }

    fn target(&self) -> &dyn Target {
        &CpuTarget
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        Ok(Arc::new(CpuModule::load(Arc::clone(&self.pool), program, weights)?))
    }
}
