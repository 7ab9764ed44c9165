//! The CPU with kernels exchanged for others.

use std::sync::Arc;

use minuend::ir::{Legality, Op, OpInstance, OpSupport};
use minuend::{CpuTarget, Device, DeviceError, Program, Target, WeightSource, open_device};
use minuend_codegen::{CodegenError, Kernel};
use minuend_conform::Subject;
use minuend_runtime::Module;

/// Which op runs in the place of another; `None` for those that are right.
pub(crate) type Exchange = fn(&Op) -> Option<Op>;

struct WrongTarget(Exchange);

impl OpSupport for WrongTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        CpuTarget.legality(op)
    }
}

impl Target for WrongTarget {
    fn name(&self) -> &'static str {
        CpuTarget.name()
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        let mut kernel = CpuTarget.select(op)?;
        if let Some(op) = self.0(&kernel.op) {
            kernel.op = op;
        }
        Ok(kernel)
    }

    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
        CpuTarget.reads_strided(op, operand, dense_last_axis)
    }
}

struct WrongDevice {
    cpu: Arc<dyn Device>,
    target: WrongTarget,
}

impl Device for WrongDevice {
    fn name(&self) -> String {
        "cpu with a fault".into()
    }

    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        self.cpu.load(program, weights)
    }
}

/// A subject named `cpu plain` on that device.
pub(crate) fn subject(device: Arc<dyn Device>) -> Subject {
    Subject {
        device: "cpu".into(),
        description: device.name(),
        details: Vec::new(),
        variant: "plain".into(),
        opened: Ok(device),
    }
}

/// The CPU as it is.
pub(crate) fn right() -> Subject {
    subject(open_device("cpu", 2).unwrap())
}

/// The CPU with kernels exchanged.
pub(crate) fn wrong(exchange: Exchange) -> Subject {
    let cpu = open_device("cpu", 2).unwrap();
    subject(Arc::new(WrongDevice { cpu, target: WrongTarget(exchange) }))
}
