//! The device of tests that need no more than one.

use std::sync::{Arc, OnceLock};

use minuend::Device;

/// One CPU device of two threads for all tests of a program.
pub fn cpu() -> &'static dyn Device {
    static CPU: OnceLock<Arc<dyn Device>> = OnceLock::new();
    &**CPU.get_or_init(|| minuend::open_device("cpu", 2).unwrap())
}
