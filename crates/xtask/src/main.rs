//! Checks of the repository: `cargo xtask check-layers`.

#![allow(clippy::print_stdout, reason = "a command line program")]

mod layers;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask check-layers\n\
    check-layers  fails if a crate depends on one that its layer must not see";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("check-layers") => layers::check(),
        _ => Err(USAGE.to_string()),
    };
    match result {
        Ok(message) => {
            println!("{message}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
