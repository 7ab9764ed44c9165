//! Text to graphs: recursive descent over tokens, going on behind an error at the next statement.

use std::collections::HashMap;

use super::attributes::Given;
use super::check::Values;
use super::cursor::{Cursor, Parse};
use super::error::{ParseError, ParseErrorKind, ParseErrors};
use super::lex::{Span, TokenKind, lex};
use crate::graph::{Graph, GraphLevel};
use crate::ops::InputKind;
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::value::NodeId;

/// Most errors reported of one source.
const MAX_ERRORS: usize = 100;

/// A graph and where it stands in the source.
#[derive(Clone, Debug)]
pub struct ParsedGraph {
    /// The graph.
    pub graph: Graph,
    /// Line of its name, from 1.
    pub line: usize,
    /// Line of every node: of its first result or, for the return, of the keyword.
    pub lines: HashMap<NodeId, usize>,
}

/// Reads the graphs of a source. Result types are checked against inference, so the graphs are well
/// typed; levels and types of states are the verifier's.
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
    let mut parser = Parser { cursor: Cursor::new(&tokens), errors };
    let graphs = parser.file();
    let mut errors = parser.errors;
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

/// A name in the source and where.
pub(super) type Spanned<'t> = (&'t str, Span);

/// A statement as it stands in the source.
pub(super) struct Statement<'t> {
    pub(super) results: Vec<Spanned<'t>>,
    pub(super) mnemonic: Spanned<'t>,
    pub(super) operands: Vec<Spanned<'t>>,
    pub(super) attributes: Vec<Given<'t>>,
    pub(super) types: Vec<(TensorType, Span)>,
    /// Reads the tokens of attributes.
    pub(super) cursor: Cursor<'t>,
}

/// A returned value and the state whose next value it is.
pub(super) struct Returned<'t> {
    pub(super) value: Spanned<'t>,
    pub(super) state: Option<Spanned<'t>>,
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    errors: Vec<ParseError>,
}

impl<'t> Parser<'t> {
    fn file(&mut self) -> Vec<ParsedGraph> {
        let mut graphs = Vec::new();
        loop {
            let parsed = self.graph();
            match parsed {
                Ok(graph) => graphs.push(graph),
                Err(error) => {
                    self.errors.push(error);
                    while !self.cursor.is_at_end() && !self.starts_graph() {
                        self.cursor.advance();
                    }
                }
            }
            if self.cursor.is_at_end() {
                return graphs;
            }
        }
    }

    fn starts_graph(&self) -> bool {
        self.cursor.is_word("graph") && self.cursor.starts_line()
    }

    fn graph(&mut self) -> Parse<ParsedGraph> {
        if !self.cursor.eat_word("graph") {
            return Err(self.cursor.expected("`graph`"));
        }
        let line = self.cursor.span().line;
        let name = match self.cursor.kind() {
            TokenKind::Graph(name) if !name.is_empty() => name,
            _ => return Err(self.cursor.expected("a graph name like `@main`")),
        };
        self.cursor.advance();
        self.cursor.expect("(")?;
        // The where clause declares the symbols of the parameters, and stands behind them.
        let parameters = self.cursor;
        self.skip_parameters();
        self.cursor.expect(")")?;
        let mut graph = Graph::new(name, self.bounds()?);
        graph.set_level(self.level()?);
        let behind_signature = self.cursor;

        let mut values = Values::new(graph, line);
        self.cursor = parameters;
        self.parameters(&mut values);
        self.cursor = behind_signature;
        self.cursor.expect("{")?;
        self.body(name, &mut values);
        let (graph, lines) = values.finish();
        Ok(ParsedGraph { graph, line, lines })
    }

    /// To the parenthesis that closes the parameters.
    fn skip_parameters(&mut self) {
        let mut depth = 0usize;
        while !self.cursor.is_at_end() && !self.starts_graph() && !self.cursor.is_mark("{") {
            if self.cursor.is_mark("(") {
                depth += 1;
            } else if self.cursor.is_mark(")") {
                let Some(outer) = depth.checked_sub(1) else { return };
                depth = outer;
            }
            self.cursor.advance();
        }
    }

    fn bounds(&mut self) -> Parse<SymbolTable> {
        let mut symbols = SymbolTable::default();
        if !self.cursor.eat_word("where") {
            return Ok(symbols);
        }
        loop {
            self.bound(&mut symbols)?;
            if !self.cursor.eat(",") {
                return Ok(symbols);
            }
        }
    }

    fn bound(&mut self, symbols: &mut SymbolTable) -> Parse<()> {
        let (name, span) = self.cursor.word("a symbol")?;
        let declared = if self.cursor.eat("=") {
            let dim = self.cursor.dim(symbols)?;
            symbols.define(name, dim)
        } else if self.cursor.eat_word("in") {
            let min = self.cursor.integer(u64::MAX, "a lower bound")?;
            self.cursor.expect("..=")?;
            let max = self.cursor.integer(u64::MAX, "an upper bound")?;
            let multiple_of = match self.cursor.eat_word("step") {
                true => self.cursor.integer(u64::MAX, "a step")?,
                false => 1,
            };
            symbols.declare_multiple(name, min, max, multiple_of).map(|_| ())
        } else {
            return Err(self.cursor.expected("`in` or `=`"));
        };
        declared.map_err(|error| ParseError { span, kind: ParseErrorKind::Symbol(error) })
    }

    fn level(&mut self) -> Parse<GraphLevel> {
        if !self.cursor.eat_word("level") {
            return Ok(GraphLevel::Source);
        }
        let names = GraphLevel::ALL.map(GraphLevel::name).join(", ");
        let level = GraphLevel::ALL.into_iter().find(|level| self.cursor.is_word(level.name()));
        let level = level.ok_or_else(|| self.cursor.expected(format!("a level ({names})")))?;
        self.cursor.advance();
        Ok(level)
    }

    fn parameters(&mut self, values: &mut Values<'t>) {
        while !self.cursor.is_at_end() && !self.cursor.is_mark(")") {
            if let Err(error) = self.parameter(values) {
                self.errors.push(error);
                self.skip_to_next_parameter();
            }
            if !self.cursor.eat(",") && !self.cursor.is_mark(")") {
                self.errors.push(self.cursor.expected("`,` or `)`"));
                self.skip_to_next_parameter();
                self.cursor.eat(",");
            }
        }
    }

    fn skip_to_next_parameter(&mut self) {
        let mut depth = 0usize;
        while !self.cursor.is_at_end() {
            match self.cursor.kind() {
                TokenKind::Mark("," | ")") if depth == 0 => return,
                TokenKind::Mark("[" | "(") => depth += 1,
                TokenKind::Mark("]" | ")") => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.cursor.advance();
        }
    }

    fn parameter(&mut self, values: &mut Values<'t>) -> Parse<()> {
        let name = self.cursor.value()?;
        let ty = self.parameter_type(values);
        let (ty, error) = match ty {
            Ok(ty) => (Some(ty), None),
            Err(error) => (None, Some(error)),
        };
        values.parameter(name, ty, &mut self.errors);
        error.map_or(Ok(()), Err)
    }

    fn parameter_type(&mut self, values: &Values<'t>) -> Parse<(InputKind, TensorType)> {
        self.cursor.expect(":")?;
        let kind = match self.cursor.eat_word("state") {
            true => InputKind::State,
            false => InputKind::Argument,
        };
        Ok((kind, self.cursor.tensor_type(values.symbols())?))
    }

    /// Statements to the closing brace, the return last.
    fn body(&mut self, name: &str, values: &mut Values<'t>) {
        let mut has_return = false;
        loop {
            if self.cursor.is_at_end() || self.starts_graph() {
                self.errors.push(self.cursor.expected("`}`"));
                return;
            }
            let (start, brace) = (self.cursor.at, self.cursor.span());
            if self.cursor.eat("}") {
                if !has_return {
                    let kind = ParseErrorKind::NoReturn(name.to_string());
                    self.errors.push(ParseError { span: brace, kind });
                }
                return;
            }
            let outcome = if has_return {
                Err(self.cursor.expected("`}`"))
            } else if self.cursor.is_word("return") {
                has_return = true;
                self.end(values)
            } else {
                self.statement(values)
            };
            if let Err(error) = outcome {
                self.errors.push(error);
                self.skip_statement(start);
            }
        }
    }

    /// To the next line that starts a statement, behind the token at `start`.
    fn skip_statement(&mut self, start: usize) {
        if self.cursor.at == start {
            self.cursor.advance();
        }
        while !self.cursor.is_at_end() {
            let starts_line = self.cursor.starts_line();
            let starts_statement = match self.cursor.kind() {
                TokenKind::Value(_) | TokenKind::Mark("}") => starts_line,
                TokenKind::Word(word) => word == "return" || (word == "graph" && starts_line),
                _ => false,
            };
            if starts_statement {
                return;
            }
            self.cursor.advance();
        }
    }

    fn statement(&mut self, values: &mut Values<'t>) -> Parse<()> {
        let mut results = Vec::new();
        let statement = self.statement_parts(&mut results, values.symbols());
        match statement {
            Ok((mnemonic, operands, attributes, types)) => {
                let cursor = self.cursor;
                let statement =
                    Statement { results, mnemonic, operands, attributes, types, cursor };
                values.statement(&statement, &mut self.errors);
                Ok(())
            }
            Err(error) => {
                // Uses of what could not be read are not errors of their own.
                values.define_unknown(&results, &mut self.errors);
                Err(error)
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "the parts are named where they are used")]
    fn statement_parts(
        &mut self,
        results: &mut Vec<Spanned<'t>>,
        symbols: &SymbolTable,
    ) -> Parse<(Spanned<'t>, Vec<Spanned<'t>>, Vec<Given<'t>>, Vec<(TensorType, Span)>)> {
        results.push(self.cursor.value()?);
        while self.cursor.eat(",") {
            results.push(self.cursor.value()?);
        }
        self.cursor.expect("=")?;
        let mnemonic = self.cursor.word("a mnemonic")?;
        let operands = self.operands()?;
        let attributes = self.attributes()?;
        self.cursor.expect(":")?;
        let mut types = Vec::new();
        loop {
            let span = self.cursor.span();
            types.push((self.cursor.tensor_type(symbols)?, span));
            if !self.cursor.eat(",") {
                break;
            }
        }
        self.end_of_line()?;
        Ok((mnemonic, operands, attributes, types))
    }

    fn end_of_line(&self) -> Parse<()> {
        let is_over =
            self.cursor.is_at_end() || self.cursor.starts_line() || self.cursor.is_mark("}");
        if is_over { Ok(()) } else { Err(self.cursor.expected("end of line")) }
    }

    fn operands(&mut self) -> Parse<Vec<Spanned<'t>>> {
        let mut operands = Vec::new();
        if matches!(self.cursor.kind(), TokenKind::Value(_)) {
            operands.push(self.cursor.value()?);
            while self.cursor.eat(",") {
                operands.push(self.cursor.value()?);
                self.check_count(operands.len())?;
            }
        }
        Ok(operands)
    }

    /// Slots of operands are 16-bit numbers.
    fn check_count(&self, operands: usize) -> Parse<()> {
        let limit = usize::from(u16::MAX);
        if operands <= limit {
            return Ok(());
        }
        let kind = ParseErrorKind::TooLarge { what: "number of operands", limit };
        Err(ParseError { span: self.cursor.span(), kind })
    }

    /// Names and extents of attributes; what the values mean, the op decides.
    fn attributes(&mut self) -> Parse<Vec<Given<'t>>> {
        let mut attributes: Vec<Given<'t>> = Vec::new();
        if !self.cursor.eat("{") {
            return Ok(attributes);
        }
        while !self.cursor.eat("}") {
            let (name, span) = self.cursor.word("an attribute")?;
            if attributes.iter().any(|given| given.name == name) {
                let kind = ParseErrorKind::DuplicateAttribute(name.to_string());
                return Err(ParseError { span, kind });
            }
            self.cursor.expect("=")?;
            let start = self.cursor.at;
            self.skip_value();
            if self.cursor.at == start {
                return Err(self.cursor.expected("a value"));
            }
            attributes.push(Given { name, span, value: start..self.cursor.at });
            if !self.cursor.is_mark("}") && !self.cursor.eat(",") {
                return Err(self.cursor.expected("`,` or `}`"));
            }
        }
        Ok(attributes)
    }

    /// To the comma or brace that ends an attribute's value.
    fn skip_value(&mut self) {
        let mut depth = 0usize;
        while !self.cursor.is_at_end() {
            match self.cursor.kind() {
                TokenKind::Mark(",") if depth == 0 => return,
                TokenKind::Mark("[" | "(") => depth += 1,
                TokenKind::Mark("]" | ")") => depth = depth.saturating_sub(1),
                TokenKind::Mark("{" | "}" | "=" | ":") | TokenKind::Value(_) => return,
                _ => {}
            }
            self.cursor.advance();
        }
    }

    fn end(&mut self, values: &mut Values<'t>) -> Parse<()> {
        let span = self.cursor.span();
        self.cursor.advance();
        let mut returned = Vec::new();
        if self.end_of_line().is_err() {
            loop {
                let value = self.cursor.value()?;
                let state = if self.cursor.eat("->") { Some(self.cursor.value()?) } else { None };
                returned.push(Returned { value, state });
                self.check_count(returned.len())?;
                if !self.cursor.eat(",") {
                    break;
                }
            }
            self.end_of_line()?;
        }
        values.end(span, &returned, &mut self.errors);
        Ok(())
    }
}
