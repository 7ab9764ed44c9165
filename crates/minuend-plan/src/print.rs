//! A program as text, for people and golden tests.

use std::fmt;

use minuend_ir::{DisplayShape, SymbolTable};

use crate::bind::BoundProgram;
use crate::program::{Program, Step, Storage, TensorRef};

/// A program, and where its blocks lie for one set of sizes.
pub struct DisplayProgram<'a> {
    program: &'a Program,
    bound: &'a BoundProgram,
}

impl Program {
    /// Writes steps with symbolic sizes, then the arena as bound.
    pub fn display<'a>(&'a self, bound: &'a BoundProgram) -> DisplayProgram<'a> {
        DisplayProgram { program: self, bound }
    }
}

struct Place<'a>(&'a TensorRef, &'a SymbolTable, &'a Program);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(tensor, symbols, program) = self;
        match tensor.storage {
            Storage::Block(index) => write!(f, "b{index}")?,
            Storage::Argument(index) => match program.arguments.get(index) {
                Some(argument) => write!(f, "%{}", argument.name)?,
                None => write!(f, "argument{index}")?,
            },
            Storage::State(index) => match program.states.get(index) {
                Some(state) => write!(f, "%{}", state.name)?,
                None => write!(f, "state{index}")?,
            },
            Storage::Weight(index) => write!(f, "w{index}")?,
        }
        if !tensor.offset.is(0) {
            write!(f, "+{}", tensor.offset.display(symbols))?;
        }
        write!(f, ":{}{}", tensor.dtype, DisplayShape { shape: &tensor.shape, symbols })?;
        if tensor.strides != minuend_ir::view::dense_strides(&tensor.shape) {
            write!(f, " by {}", DisplayShape { shape: &tensor.strides, symbols })?;
        }
        Ok(())
    }
}

impl fmt::Display for DisplayProgram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program;
        let symbols = &program.symbols;
        let place = |tensor| Place(tensor, symbols, program);
        writeln!(f, "program @{} for {}", program.name, program.target)?;
        for (index, weight) in program.weights.iter().enumerate() {
            let parts: Vec<&str> = weight.parts.iter().map(|name| &**name).collect();
            writeln!(f, "  w{index} = {} : {}", parts.join(" + "), weight.ty.display(symbols))?;
        }
        for state in &program.states {
            let allocated = DisplayShape { shape: &state.allocated, symbols };
            writeln!(f, "  state %{} in {}{allocated}", state.name, state.ty.dtype)?;
        }
        for (index, step) in program.steps.iter().enumerate() {
            match step {
                Step::Copy(copy) => {
                    let (from, to) = (place(&copy.from), place(&copy.to));
                    writeln!(f, "  {index:4} copy {from} -> {to} ; {}", copy.label)?;
                }
                Step::Launch(launch) => {
                    let operands: Vec<String> =
                        launch.operands.iter().map(|t| place(t).to_string()).collect();
                    let results: Vec<String> =
                        launch.results.iter().map(|t| place(t).to_string()).collect();
                    let kernel = program.kernels.get(launch.kernel);
                    let kernel = kernel.map_or_else(
                        || "?".to_string(),
                        |kernel| format!("{}{}", kernel.op.mnemonic(), kernel.tail),
                    );
                    let (operands, results) = (operands.join(", "), results.join(", "));
                    writeln!(f, "  {index:4} {kernel} {operands} -> {results} ; {}", launch.label)?;
                }
            }
        }
        for output in &program.outputs {
            writeln!(f, "  output %{} = {}", output.name, place(&output.tensor))?;
        }
        writeln!(f, "arena of {} bytes", self.bound.arena_bytes())?;
        for (index, block) in program.blocks.iter().enumerate() {
            let offset = self.bound.placement.offsets.get(index).copied().unwrap_or(0);
            let bytes = block.bytes.display(symbols);
            writeln!(f, "  b{index} at {offset}: {bytes} bytes, {}..={}", block.first, block.last)?;
        }
        let states: u64 = self.bound.state_bytes.iter().sum();
        writeln!(f, "states of {states} bytes, weights of {} bytes", program.weight_bytes())
    }
}
