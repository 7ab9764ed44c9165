//! A place in the tokens of a source, and the steps every rule of the grammar is made of.

use super::error::{ParseError, ParseErrorKind};
use super::lex::{Span, Token, TokenKind};

/// Outcome of one rule.
pub(super) type Parse<T> = Result<T, ParseError>;

/// A place in `tokens`, at or before `end`. The token at `end` exists: it is the end of the source or
/// what stands behind the piece read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t> {
    tokens: &'t [Token],
    pub(super) at: usize,
    end: usize,
}

impl<'t> Cursor<'t> {
    /// At the start of all tokens of a source.
    pub(super) fn new(tokens: &'t [Token]) -> Cursor<'t> {
        Cursor { tokens, at: 0, end: tokens.len().saturating_sub(1) }
    }

    /// A cursor that reads only the tokens of `range`.
    pub(super) fn within(self, range: std::ops::Range<usize>) -> Cursor<'t> {
        Cursor { tokens: self.tokens, at: range.start, end: range.end.min(self.end) }
    }

    fn token(self) -> Option<&'t Token> {
        self.tokens.get(self.at.min(self.end))
    }

    /// What the next token is; the end behind the last.
    pub(super) fn kind(self) -> &'t TokenKind {
        match self.token() {
            Some(token) if self.at < self.end => &token.kind,
            _ => &TokenKind::End,
        }
    }

    pub(super) fn span(self) -> Span {
        self.token().map_or(Span::default(), |token| token.span)
    }

    pub(super) fn starts_line(self) -> bool {
        self.token().is_none_or(|token| token.starts_line)
    }

    pub(super) fn is_at_end(self) -> bool {
        self.at >= self.end
    }

    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.end);
    }

    pub(super) fn is_mark(self, mark: &str) -> bool {
        matches!(self.kind(), TokenKind::Mark(found) if *found == mark)
    }

    pub(super) fn is_word(self, word: &str) -> bool {
        matches!(self.kind(), TokenKind::Word(found) if found == word)
    }

    /// Steps over the mark if it is next.
    pub(super) fn eat(&mut self, mark: &str) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.advance();
        }
        found
    }

    /// Steps over the word if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// An error that names the next token.
    pub(super) fn expected(self, expected: impl Into<String>) -> ParseError {
        let found = self.token().map_or_else(String::new, |token| token.kind.to_string());
        let kind = ParseErrorKind::Expected { expected: expected.into(), found };
        ParseError { span: self.span(), kind }
    }

    pub(super) fn expect(&mut self, mark: &str) -> Parse<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(format!("`{mark}`"))) }
    }

    /// A word; `what` names it in the error.
    pub(super) fn word(&mut self, what: &str) -> Parse<(&'t str, Span)> {
        let span = self.span();
        match self.kind() {
            TokenKind::Word(word) => {
                self.advance();
                Ok((word, span))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A value's name.
    pub(super) fn value(&mut self) -> Parse<(&'t str, Span)> {
        let span = self.span();
        match self.kind() {
            TokenKind::Value(name) if !name.is_empty() => {
                self.advance();
                Ok((name, span))
            }
            _ => Err(self.expected("a value like `%x`")),
        }
    }

    /// An integer without sign, at most `max`.
    pub(super) fn integer(&mut self, max: u64, what: &str) -> Parse<u64> {
        let span = self.span();
        match self.kind() {
            TokenKind::Number(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.advance();
                let value = text.parse::<u64>().ok().filter(|value| *value <= max);
                value.ok_or_else(|| {
                    let expected = format!("at most {max}");
                    let kind = ParseErrorKind::Range { found: text.clone(), expected };
                    ParseError { span, kind }
                })
            }
            _ => Err(self.expected(what)),
        }
    }
}
