//! Errors of the parser: where in the source, what was found, what was expected.

use std::fmt;

use super::lex::Span;
use crate::symbol::SymbolError;
use crate::verify::VerifyErrorKind;

/// What is wrong with a piece of source text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// A character that starts no token.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// A string without its closing quote.
    #[error("the string has no closing quote on its line")]
    UnterminatedString,
    /// An escape that strings do not have.
    #[error("unknown escape in a string, expected \\\\, \\\", \\n, \\r, \\t or \\u{{hex}}")]
    Escape,
    /// Another token than the grammar asks for.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What would do.
        expected: String,
        /// The token found.
        found: String,
    },
    /// A number beyond what its place holds.
    #[error("number {found} is out of range, expected {expected}")]
    Range {
        /// The number as written.
        found: String,
        /// The range.
        expected: String,
    },
    /// No value of that name is defined before its use.
    #[error("value {0} is not defined before this line")]
    UndefinedValue(String),
    /// A second definition.
    #[error("value {name} is defined on line {line} already")]
    RedefinedValue {
        /// The value.
        name: String,
        /// Line of its first definition.
        line: usize,
    },
    /// No op of that mnemonic.
    #[error("unknown op {found}{}", suggestion(nearest))]
    UnknownOp {
        /// The mnemonic as written.
        found: String,
        /// The mnemonic most like it.
        nearest: Option<&'static str>,
    },
    /// The op has no such attribute.
    #[error("{op} has no attribute {found}, {}", known_attributes(known))]
    UnknownAttribute {
        /// The op's mnemonic.
        op: String,
        /// The attribute as written.
        found: String,
        /// The attributes that it has.
        known: Vec<&'static str>,
    },
    /// An attribute that the op needs.
    #[error("{op} needs the attribute {name}")]
    MissingAttribute {
        /// The op's mnemonic.
        op: String,
        /// The attribute.
        name: &'static str,
    },
    /// An attribute given twice.
    #[error("attribute {0} is given twice")]
    DuplicateAttribute(String),
    /// No symbol or alias of that name in the where clause.
    #[error("unknown symbol {0}, declare it in the where clause")]
    UnknownSymbol(String),
    /// Parentheses within parentheses beyond the parser's limit.
    #[error("parentheses are nested more than {limit} deep")]
    TooDeep {
        /// Levels that are read.
        limit: usize,
    },
    /// A size or type with more terms, factors or axes than the parser's limit.
    #[error("{what} is too large, at most {limit} are read")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// A symbol or alias that cannot be declared.
    #[error("{0}")]
    Symbol(SymbolError),
    /// Another number of names than of types.
    #[error("{names} results are named, {types} types are given")]
    ResultCount {
        /// Names in front of `=`.
        names: usize,
        /// Types behind `:`.
        types: usize,
    },
    /// Another number of types than the op has results.
    #[error("{op} has {expected} results, {found} types are given")]
    OpResultCount {
        /// The op's mnemonic.
        op: String,
        /// Types given.
        found: usize,
        /// Results that it has.
        expected: usize,
    },
    /// The op cannot be applied to these operands, or its result has another type.
    #[error("{0}")]
    Type(Box<VerifyErrorKind>),
    /// The right of `->` is no state input.
    #[error("{0} is not a state input")]
    NotAState(String),
    /// A state with two next values.
    #[error("state {0} has a next value already")]
    StateTwice(String),
    /// A state without a next value.
    #[error("state {0} has no next value, add `%value -> {0}`")]
    StateMissing(String),
    /// A body without a return.
    #[error("graph @{0} has no return")]
    NoReturn(String),
    /// More errors than are reported.
    #[error("more errors follow")]
    More,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean {name}"))
}

fn known_attributes(known: &[&'static str]) -> String {
    match known {
        [] => "it has none".to_string(),
        known => format!("it has {}", known.join(", ")),
    }
}

/// One error and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ParseErrorKind,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.span.line, self.span.column, self.kind)
    }
}

impl std::error::Error for ParseError {}

/// Most columns of a source line that are shown with an error.
const SHOWN_COLUMNS: usize = 160;

impl ParseError {
    /// `file:line:column: message`, then the line of `source` and a caret line under it.
    pub fn render(&self, file: &str, source: &str) -> String {
        let line = source.lines().nth(self.span.line.saturating_sub(1)).unwrap_or_default();
        let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Of a very long line, the part around the place.
        let before = self.span.column.saturating_sub(1);
        let skipped = before.saturating_sub(SHOWN_COLUMNS / 2);
        let shown: String = shown.chars().skip(skipped).take(SHOWN_COLUMNS).collect();
        let before = before - skipped;
        let text = source.get(self.span.start..self.span.end).unwrap_or_default();
        let rest = shown.chars().count().saturating_sub(before);
        let under = text.chars().count().clamp(1, rest.max(1));
        let (space, caret) = (" ".repeat(before), "^".repeat(under));
        format!("{file}:{self}\n  {shown}\n  {space}{caret}")
    }
}

/// Every error of a source, in order of place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl ParseErrors {
    /// Every error rendered with its line of `source`, see [`ParseError::render`].
    pub fn render(&self, file: &str, source: &str) -> String {
        let errors: Vec<String> = self.0.iter().map(|error| error.render(file, source)).collect();
        errors.join("\n")
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}
