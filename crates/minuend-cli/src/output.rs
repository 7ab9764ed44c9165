//! Writing to standard output and standard error. Neither ever panics.

use std::io::{self, Write};

use minuend::Device;
use serde_json::Value;

use crate::failure::Failure;

/// Writes to stdout at once: text must be seen as it is produced.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Writes one JSON object to stdout.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Writes a line to stderr. Nobody can be told where that fails.
pub(crate) fn log(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Tells what is known about a device since it was opened, such as kernels that it was found to compute
/// wrongly, on stderr.
pub(crate) fn log_device_notes(device: &dyn Device) {
    for note in device.notes() {
        log(&format!("note: {}", plain(&note)));
    }
}

/// Text on one line without control characters: what comes from devices and files must not steer a
/// terminal.
pub(crate) fn plain(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
