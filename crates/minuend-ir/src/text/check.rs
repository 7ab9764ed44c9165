//! What parsed names and statements mean: the values defined so far, and the graph they build.
//!
//! A statement that is wrong adds no node, but its results are defined with their declared types, so
//! that the statements behind it are checked all the same.

use std::collections::HashMap;

use super::attributes::{Reader, mnemonics, op_from};
use super::error::{ParseError, ParseErrorKind};
use super::lex::{Span, value_label};
use super::names::is_number;
use super::nearest::nearest;
use super::parse::{Returned, Spanned, Statement};
use crate::error::TypeErrorKind;
use crate::graph::Graph;
use crate::op::{Op, ResultTypes};
use crate::ops::{Input, InputKind};
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::value::{NodeId, ValueId};
use crate::verify::VerifyErrorKind;

struct Definition {
    /// `None` if the defining statement is wrong.
    value: Option<ValueId>,
    /// The declared type; `None` if it could not be read.
    ty: Option<TensorType>,
    line: usize,
}

/// A graph under construction and the names of its values.
pub(super) struct Values<'t> {
    graph: Graph,
    lines: HashMap<NodeId, usize>,
    definitions: HashMap<&'t str, Definition>,
    /// State inputs in order of declaration.
    states: Vec<(&'t str, ValueId)>,
    line: usize,
}

type Errors = Vec<ParseError>;

fn report(errors: &mut Errors, span: Span, kind: ParseErrorKind) {
    errors.push(ParseError { span, kind });
}

impl<'t> Values<'t> {
    /// No values yet; the graph's name stands on `line`.
    pub(super) fn new(graph: Graph, line: usize) -> Values<'t> {
        let (lines, definitions) = (HashMap::new(), HashMap::new());
        Values { graph, lines, definitions, states: Vec::new(), line }
    }

    pub(super) fn symbols(&self) -> &SymbolTable {
        self.graph.symbols()
    }

    /// The graph, and the line of each node.
    pub(super) fn finish(self) -> (Graph, HashMap<NodeId, usize>) {
        (self.graph, self.lines)
    }

    fn define(
        &mut self,
        (name, span): Spanned<'t>,
        value: Option<ValueId>,
        ty: Option<TensorType>,
        errors: &mut Errors,
    ) {
        if let Some(first) = self.definitions.get(name) {
            let (name, line) = (value_label(name), first.line);
            return report(errors, span, ParseErrorKind::RedefinedValue { name, line });
        }
        if let Some(value) = value.filter(|_| !is_number(name)) {
            self.graph.set_name(value, name);
        }
        self.definitions.insert(name, Definition { value, ty, line: span.line });
    }

    /// Defines results of a statement that could not be read.
    pub(super) fn define_unknown(&mut self, results: &[Spanned<'t>], errors: &mut Errors) {
        for result in results {
            self.define(*result, None, None, errors);
        }
    }

    /// The definition of a name; an error if there is none.
    fn find(&self, (name, span): Spanned<'t>, errors: &mut Errors) -> Option<&Definition> {
        let found = self.definitions.get(name);
        if found.is_none() {
            report(errors, span, ParseErrorKind::UndefinedValue(value_label(name)));
        }
        found
    }

    /// Declares an input; its kind and type are `None` if they could not be read.
    pub(super) fn parameter(
        &mut self,
        name: Spanned<'t>,
        declared: Option<(InputKind, TensorType)>,
        errors: &mut Errors,
    ) {
        let Some((kind, ty)) = declared else {
            return self.define(name, None, None, errors);
        };
        let value = match self.graph.add(Op::Input(Input { kind, ty: ty.clone() }), &[]) {
            Ok(node) => {
                self.lines.insert(node, name.1.line);
                Some(node.result(0))
            }
            Err(error) => {
                let kind = VerifyErrorKind::Type { kind: error.kind, operand: None };
                report(errors, name.1, ParseErrorKind::Type(Box::new(kind)));
                None
            }
        };
        if let (InputKind::State, Some(value)) = (kind, value) {
            self.states.push((name.0, value));
        }
        self.define(name, value, Some(ty), errors);
    }

    /// Checks a statement, adds its node, and defines its results.
    pub(super) fn statement(&mut self, statement: &Statement<'t>, errors: &mut Errors) {
        let node = self.checked(statement, errors).map(|(op, operands, types)| {
            let node = self.graph.insert(op, &operands, types);
            let first = statement.results.first().map_or(self.line, |(_, span)| span.line);
            self.lines.insert(node, first);
            node
        });
        let (names, types) = (statement.results.len(), statement.types.len());
        if names != types
            && let Some((_, span)) = statement.results.first()
        {
            report(errors, *span, ParseErrorKind::ResultCount { names, types });
        }
        for (result, name) in (0..=u16::MAX).zip(&statement.results) {
            let ty = statement.types.get(usize::from(result)).map(|(ty, _)| ty.clone());
            let value = node.filter(|_| names == types).map(|node| node.result(result));
            self.define(*name, value, ty, errors);
        }
    }

    /// The op, operands and result types of a statement without errors.
    fn checked(
        &self,
        statement: &Statement<'t>,
        errors: &mut Errors,
    ) -> Option<(Op, Vec<ValueId>, ResultTypes)> {
        let op = self.op(statement, errors);
        let found: Vec<_> =
            statement.operands.iter().map(|name| self.find(*name, errors)).collect();
        let found: Vec<&Definition> = found.into_iter().collect::<Option<_>>()?;
        let types: Vec<&TensorType> =
            found.iter().map(|operand| operand.ty.as_ref()).collect::<Option<_>>()?;
        let op = op?;
        let inferred = match op.infer(&types, self.symbols()) {
            Ok(inferred) => inferred,
            Err(error) => {
                self.ill_typed(statement, error.kind, errors);
                return None;
            }
        };
        if !self.declares(statement, &inferred, errors) {
            return None;
        }
        let values = found.iter().map(|operand| operand.value).collect::<Option<_>>()?;
        Some((op, values, inferred))
    }

    fn op(&self, statement: &Statement<'t>, errors: &mut Errors) -> Option<Op> {
        let (name, span) = statement.mnemonic;
        let (ty, _) = statement.types.first()?;
        let (given, cursor) = (&statement.attributes, statement.cursor);
        let mut reader = Reader::new(statement.mnemonic, given, cursor, self.symbols(), ty);
        match op_from(name, &mut reader) {
            None => {
                let nearest = nearest(name, mnemonics());
                let kind = ParseErrorKind::UnknownOp { found: name.to_string(), nearest };
                report(errors, span, kind);
                None
            }
            Some(Err(error)) => {
                errors.push(error);
                None
            }
            Some(Ok(op)) => {
                let unknown = reader.unknown();
                let is_known = unknown.is_empty();
                errors.extend(unknown);
                is_known.then_some(op)
            }
        }
    }

    fn ill_typed(&self, statement: &Statement<'t>, kind: TypeErrorKind, errors: &mut Errors) {
        let operand = kind.operand().and_then(|slot| statement.operands.get(slot));
        let mut span = operand.map_or(statement.mnemonic.1, |(_, span)| *span);
        if let TypeErrorKind::Attribute { name, .. } = &kind
            && let Some(given) = statement.attributes.iter().find(|given| given.name == *name)
        {
            span = given.span;
        }
        let operand = operand.map(|(name, _)| value_label(name));
        let kind = VerifyErrorKind::Type { kind, operand };
        report(errors, span, ParseErrorKind::Type(Box::new(kind)));
    }

    /// True if the declared types are the inferred ones.
    fn declares(
        &self,
        statement: &Statement<'t>,
        inferred: &ResultTypes,
        errors: &mut Errors,
    ) -> bool {
        let before = errors.len();
        let (name, span) = statement.mnemonic;
        if statement.types.len() != inferred.len() {
            let (op, found, expected) = (name.to_string(), statement.types.len(), inferred.len());
            report(errors, span, ParseErrorKind::OpResultCount { op, found, expected });
        }
        for (result, ((found, span), expected)) in statement.types.iter().zip(inferred).enumerate()
        {
            if found != expected {
                let found = found.display(self.symbols()).to_string();
                let expected = expected.display(self.symbols()).to_string();
                let kind = VerifyErrorKind::ResultType { result, found, expected };
                report(errors, *span, ParseErrorKind::Type(Box::new(kind)));
            }
        }
        errors.len() == before
    }

    /// Ends the graph.
    pub(super) fn end(&mut self, span: Span, returned: &[Returned<'t>], errors: &mut Errors) {
        let before = errors.len();
        let mut outputs = Vec::new();
        let mut next: HashMap<&str, Option<ValueId>> = HashMap::new();
        for Returned { value, state } in returned {
            let value = self.find(*value, errors).and_then(|definition| definition.value);
            let Some((name, span)) = state else {
                outputs.push(value);
                continue;
            };
            let Some(definition) = self.find((name, *span), errors) else { continue };
            let is_state = self.states.iter().any(|(state, _)| state == name);
            if !is_state && definition.value.is_some() {
                report(errors, *span, ParseErrorKind::NotAState(value_label(name)));
            }
            if next.insert(name, value).is_some() {
                report(errors, *span, ParseErrorKind::StateTwice(value_label(name)));
            }
        }
        for (name, _) in self.states.iter().filter(|(name, _)| !next.contains_key(name)) {
            report(errors, span, ParseErrorKind::StateMissing(value_label(name)));
        }
        if errors.len() > before {
            return;
        }
        let next = self.states.iter().map(|(name, _)| next.get(name).copied().flatten());
        let next: Option<Vec<ValueId>> = next.collect();
        let outputs: Option<Vec<ValueId>> = outputs.into_iter().collect();
        // A value that is missing here was reported where it is defined.
        if let (Some(outputs), Some(next)) = (outputs, next)
            && self.graph.set_return(&outputs, &next).is_ok()
            && let Some(node) = self.graph.return_node()
        {
            self.lines.insert(node, span.line);
        }
    }
}
