//! The devices of tests.

use std::sync::{Arc, OnceLock};

use minuend::Device;

/// One CPU device of two threads for all tests of a program.
pub fn cpu() -> &'static dyn Device {
    static CPU: OnceLock<Arc<dyn Device>> = OnceLock::new();
    &**CPU.get_or_init(|| minuend::open_device("cpu", 2).unwrap())
}

/// Every GPU of this machine, opened: adapters of the portable target, CUDA devices. None, which is told,
/// if there is no driver for one.
pub fn gpus() -> Vec<Arc<dyn Device>> {
    let infos = minuend::devices().unwrap();
    let names = infos.iter().map(|info| info.name.as_str());
    let names: Vec<&str> = names.filter(|name| *name != "cpu").collect();
    if names.is_empty() {
        eprintln!("skipped: no adapter");
    }
    names.iter().map(|name| minuend::open_device(name, 0).unwrap()).collect()
}
