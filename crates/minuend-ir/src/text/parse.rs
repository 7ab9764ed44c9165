//! Text to graphs: recursive descent over tokens, going on behind an error at the next statement.

use std::collections::HashMap;

use super::attributes::{Given, Reader, mnemonics, op_from};
use super::cursor::{Cursor, Parse};
use super::error::{ParseError, ParseErrorKind, ParseErrors};
use super::lex::{Span, TokenKind, lex};
use super::names::is_number;
use crate::graph::{Graph, GraphLevel};
use crate::op::Op;
use crate::ops::{Input, InputKind};
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::value::{NodeId, ValueId};
use crate::verify::VerifyErrorKind;

/// Most errors reported of one source.
const MAX_ERRORS: usize = 100;

/// A graph and where it stands in the source.
#[derive(Clone, Debug)]
pub struct ParsedGraph {
    /// The graph.
    pub graph: Graph,
    /// Line of its name, from 1.
    pub line: usize,
    /// Line of every node's first result or, of the return, of its keyword.
    pub lines: HashMap<NodeId, usize>,
}

/// Reads the graphs of a source. Result types are checked against inference, so the graphs are well
/// typed; levels and states are the verifier's.
///
/// # Errors
/// Every error of the source, up to a hundred.
pub fn parse(source: &str) -> Result<Vec<Graph>, ParseErrors> {
    Ok(parse_with_lines(source)?.into_iter().map(|parsed| parsed.graph).collect())
}

/// [`parse`], keeping where each node stands.
///
/// # Errors
/// As of [`parse`].
pub fn parse_with_lines(source: &str) -> Result<Vec<ParsedGraph>, ParseErrors> {
    let (tokens, errors) = lex(source);
    let mut file = File { cursor: Cursor::new(&tokens), errors };
    let graphs = file.graphs();
    let mut errors = file.errors;
    if errors.is_empty() {
        return Ok(graphs);
    }
    errors.sort_by_key(|error| error.span.start);
    if let Some(next) = errors.get(MAX_ERRORS) {
        let span = next.span;
        errors.truncate(MAX_ERRORS);
        errors.push(ParseError { span, kind: ParseErrorKind::More });
    }
    Err(ParseErrors(errors))
}

struct File<'t> {
    cursor: Cursor<'t>,
    errors: Vec<ParseError>,
}

impl File<'_> {
    fn graphs(&mut self) -> Vec<ParsedGraph> {
        let mut graphs = Vec::new();
        loop {
            if !self.cursor.is_word("graph") {
                self.errors.push(self.cursor.expected("`graph`"));
            }
            let body = self.cursor;
            match Body::new(body, &mut self.errors) {
                Ok(mut body) => {
                    body.statements();
                    self.cursor = body.cursor;
                    graphs.extend(body.finish());
                }
                Err(error) => {
                    self.errors.push(error);
                    self.cursor.advance();
                }
            }
            while !self.cursor.is_at_end()
                && !(self.cursor.is_word("graph") && self.cursor.starts_line())
            {
                self.cursor.advance();
            }
            if self.cursor.is_at_end() {
                return graphs;
            }
        }
    }
}
