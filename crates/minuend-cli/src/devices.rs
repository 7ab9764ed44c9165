//! `minuend devices`: what this build can run on.

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output;

/// List the devices that this build can run on
#[derive(Args)]
#[command(
    after_help = "The first is what --device auto takes.\n\nExample:\n  minuend devices --json"
)]
pub(crate) struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let devices = minuend::devices()?;
    if args.json {
        let devices: Vec<_> = devices
            .iter()
            .map(|device| json!({ "name": device.name, "description": device.description }))
            .collect();
        return output::print_json(&json!({ "devices": devices }));
    }
    let lines = devices.iter().map(|device| format!("{:<8} {}\n", device.name, device.description));
    output::print(&lines.collect::<String>())
}
