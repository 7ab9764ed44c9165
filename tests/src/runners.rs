//! The devices of tests.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use minuend::Device;

/// One CPU device of two threads for all tests of a program.
pub fn cpu() -> &'static dyn Device {
    static CPU: OnceLock<Arc<dyn Device>> = OnceLock::new();
    &**CPU.get_or_init(|| minuend::open_device("cpu", 2).unwrap())
}

/// Says what is not checked. Standard error itself is used: the harness hides what tests that pass print.
pub fn skipped(what: &str) {
    let _ = writeln!(io::stderr(), "skipped: {what}");
}

/// Every GPU of this machine, opened: adapters of the portable target, CUDA devices. It is told if there is
/// none, or which one has nothing to run kernels with.
pub fn gpus() -> Vec<Arc<dyn Device>> {
    let mut infos = minuend::devices().unwrap();
    infos.retain(|info| info.name != "cpu");
    if infos.is_empty() {
        skipped("no adapter");
    }
    infos.retain(|info| {
        let reasons = info.variants.iter().map(|variant| variant.unavailable.as_deref());
        let reasons: Option<Vec<&str>> = reasons.collect();
        // A reason for every variant.
        if let Some(reason) = reasons.as_ref().and_then(|reasons| reasons.last()) {
            skipped(&format!("{}: {reason}", info.name));
        }
        reasons.is_none()
    });
    infos.iter().map(|info| minuend::open_device(&info.name, 0).unwrap()).collect()
}
