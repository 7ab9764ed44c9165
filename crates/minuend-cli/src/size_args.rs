//! Values of the symbols of a plan, by name.

use clap::Args;
use minuend::{BindError, BoundProgram, CompileError, Program};

use crate::failure::Failure;

/// Values of single symbols.
#[derive(Args)]
pub(crate) struct SizeArgs {
    /// Value of a symbol of a plan; may be given again
    #[arg(long, value_name = "NAME=N", value_parser = named_size)]
    size: Vec<(String, u64)>,
}

fn named_size(text: &str) -> Result<(String, u64), String> {
    let pair = text.split_once('=').and_then(|(name, size)| Some((name, size.parse().ok()?)));
    let pair = pair.filter(|(name, _)| !name.is_empty());
    pair.map(|(name, size)| (name.to_string(), size)).ok_or_else(|| "expected NAME=N".to_string())
}

impl SizeArgs {
    /// Every `--size` must be of a symbol, and of another one.
    pub(crate) fn check(&self, program: &Program) -> Result<(), Failure> {
        let known: Vec<&str> = program.symbols.symbols().map(|(_, info)| &*info.name).collect();
        for (index, (name, _)) in self.size.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let (name, known) = (name.clone(), known.join(", "));
                return Err(Failure::UnknownSize { name, known });
            }
            if self.size.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(Failure::RepeatedSize { name: name.clone() });
            }
        }
        Ok(())
    }

    /// The value given for a symbol.
    pub(crate) fn of(&self, name: &str) -> Option<u64> {
        self.size.iter().find(|(given, _)| given == name).map(|(_, size)| *size)
    }
}

/// True for a symbol that counts sequences.
pub(crate) fn is_batch(name: &str) -> bool {
    ["B", "batch", "batch_size"].contains(&name)
}

/// True for a symbol that counts the tokens fed.
pub(crate) fn is_tokens(name: &str) -> bool {
    ["S", "seq", "sequence", "sequence_length"].contains(&name)
}

/// Fixes the sizes of a program.
pub(crate) fn bind(
    program: &Program,
    size: &dyn Fn(&str) -> Option<u64>,
) -> Result<BoundProgram, Failure> {
    minuend::bind(program, size).map_err(|error| match error {
        CompileError::Bind(BindError::Unbound(name)) => Failure::MissingSize { name },
        other => other.into(),
    })
}
