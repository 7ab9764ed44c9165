//! `minuend devices`: what this build can run on.

use std::fmt::Write;

use clap::Args;
use minuend::{DeviceInfo, VariantInfo};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output;

/// List the devices that this build can run on
#[derive(Args)]
#[command(
    after_help = "The first is what --device auto takes. A variant is a family of kernels.\n\n\
                  Example:\n  minuend devices --json"
)]
pub(crate) struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let devices = minuend::devices()?;
    if args.json {
        let devices: Vec<Value> = devices.iter().map(as_json).collect();
        return output::print_json(&json!({ "devices": devices }));
    }
    output::print(&listing(&devices))
}

fn as_json(device: &DeviceInfo) -> Value {
    let DeviceInfo { name, description, details, variants } = device;
    let details: Map<String, Value> =
        details.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let variant =
        |variant: &VariantInfo| json!({ "name": variant.name, "unavailable": variant.unavailable });
    let variants: Vec<Value> = variants.iter().map(variant).collect();
    json!({ "name": name, "description": description, "details": details, "variants": variants })
}

fn listing(devices: &[DeviceInfo]) -> String {
    let mut text = String::new();
    for DeviceInfo { name, description, details, variants } in devices {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<8} {}", output::plain(description));
        for (key, value) in details {
            let _ = writeln!(text, "           {key}: {}", output::plain(value));
        }
        for VariantInfo { name, unavailable } in variants {
            let why = unavailable.as_ref();
            let why = why.map_or_else(|| "available".into(), |why| format!("unavailable: {why}"));
            let _ = writeln!(text, "           variant {name}: {}", output::plain(&why));
        }
    }
    text
}
