//! The text format (`.mnd`): graphs as people read, write and compare them.
//!
//! ```text
//! graph @name(
//!   %ids: i64[B, S],
//!   %k0: state f32[B, 2, P, 64],
//! ) where B in 1..=64, S in 1..=8192, P in 0..=131072, M in 0..=64 step 8, T = S + P level fused {
//!   %w = weight {name = "model.norm.weight"} : bf16[256]
//!   %c = constant {value = 0.125} : f32[]
//!   %s, %y = add_rms_norm %x, %r, %w {epsilon = 1e-6} : f32[B, S, 256], f32[B, S, 256]
//!   return %y, %k1 -> %k0
//! }
//! ```
//!
//! # Grammar
//! ```text
//! file      = graph+
//! graph     = "graph" @name "(" [param ("," param)* [","]] ")" ["where" bound ("," bound)*]
//!             ["level" level] "{" statement* return "}"
//! param     = %name ":" ["state"] type
//! bound     = symbol "in" int "..=" int ["step" int] | alias "=" dim
//! statement = %name ("," %name)* "=" mnemonic [%name ("," %name)*] [attributes] ":" type ("," type)*
//! attributes= "{" [name "=" value ("," name "=" value)*] "}"
//! return    = "return" [%name ["->" %state] ("," %name ["->" %state])*]
//! type      = dtype "[" [dim ("," dim)*] "]"
//! dim       = ["-"] term (("+" | "-") term)*     term = factor ("*" factor)*
//! factor    = int | symbol | "(" dim ")"
//! ```
//! `;` starts a comment. A statement starts a line, which is where the parser goes on after an error.
//! A name is letters, digits, `_` and `.`, or any string in quotes: `%"/attn/MatMul"`. A name of
//! digits alone is a number given for want of a name, and is given anew when printed.
//!
//! # Canonical form
//! `print(parse(print(g))) == print(g)`, byte for byte. Parameters stand in order of declaration,
//! nodes in the order of [`order::topological`](crate::order::topological), attributes in order of
//! name, and nodes that the return does not need are left out. Names given twice get the suffix `.2`,
//! `.3`; reals have the shortest form that reads back as the same bits.

mod attributes;
mod check;
mod cursor;
mod error;
mod lex;
mod names;
mod nearest;
mod parse;
mod print;
mod types;

pub use error::{ParseError, ParseErrorKind, ParseErrors};
pub use lex::Span;
pub use names::ValueNames;
pub use parse::{ParsedGraph, parse, parse_with_lines};
pub use print::print;

pub(crate) use attributes::attributes_of;
pub(crate) use print::DisplayAttribute;

#[cfg(test)]
mod tests;
