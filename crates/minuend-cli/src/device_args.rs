//! The options by which every command that runs something chooses its device.

use std::sync::Arc;

use clap::Args;
use minuend::Device;

/// Where to run.
#[derive(Args)]
pub(crate) struct DeviceArgs {
    /// Where to run: auto (a hardware GPU, else the CPU), cpu, cuda, cuda:INDEX, wgpu, wgpu:INDEX or
    /// wgpu:NAME
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Kernel family, as `minuend devices` lists them; by default the best one that computes in f32
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// CPU threads; one for each core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl DeviceArgs {
    /// Threads asked for, or one for each core.
    pub(crate) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Device>, minuend::Error> {
        match &self.variant {
            None => minuend::open_device(&self.device, self.threads()),
            Some(variant) => minuend::open_variant(&self.device, self.threads(), variant),
        }
    }
}
