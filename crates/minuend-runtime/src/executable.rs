//! A compiled program on a device.

use std::sync::Arc;

use minuend_plan::Program;

use crate::device::{Device, DeviceError, Module};
use crate::session::Session;
use crate::weights::WeightSource;

/// A program with its kernels and weights on a device: immutable, cheap to clone, shared freely.
#[derive(Clone)]
pub struct Executable {
    program: Arc<Program>,
    module: Arc<dyn Module>,
}

impl Executable {
    /// Loads a program.
    pub fn load(
        device: &dyn Device,
        program: Program,
        weights: &dyn WeightSource,
    ) -> Result<Executable, DeviceError> {
        let module = device.load(&program, weights)?;
        Ok(Executable { program: Arc::new(program), module })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// A session whose growing states have memory for `capacity` positions.
    pub fn session(&self, capacity: u64) -> Result<Session, DeviceError> {
        let stream = Arc::clone(&self.module).open()?;
        Ok(Session::new(Arc::clone(&self.program), stream, capacity))
    }
}
