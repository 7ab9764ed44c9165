//! Source text to tokens. Bad characters are reported and passed over.

use std::fmt;

use super::error::{ParseError, ParseErrorKind};

/// A piece of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
    /// Line of its first character, from 1.
    pub line: usize,
    /// Column of its first character, in characters from 1.
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Keyword, mnemonic, attribute, symbol, element type.
    Word(String),
    /// Digits with optional fraction and exponent, without sign.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// `%name`, without the sign.
    Value(String),
    /// `@name`, without the sign.
    Graph(String),
    /// `( ) { } [ ] , : = + - * -> ..=`
    Mark(&'static str),
    /// The end of the source.
    End,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenKind::Word(text) | TokenKind::Number(text) => write!(f, "`{text}`"),
            TokenKind::String(text) => write!(f, "string {text:?}"),
            TokenKind::Value(name) => write!(f, "`{}`", value_label(name)),
            TokenKind::Graph(name) => write!(f, "`@{}`", bare_or_quoted(name)),
            TokenKind::Mark(mark) => write!(f, "`{mark}`"),
            TokenKind::End => f.write_str("end of file"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
    /// Nothing but space stands before it on its line.
    pub(super) starts_line: bool,
}

/// Marks, longest first where one begins another.
const MARKS: [&str; 14] = ["..=", "->", "(", ")", "{", "}", "[", "]", ",", ":", "=", "+", "-", "*"];

/// True for a name that is printed without quotes.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: usize,
    column: usize,
    starts_line: bool,
    errors: Vec<ParseError>,
}

/// The tokens of a source, the last of which is the end, and the errors met.
pub(super) fn lex(source: &str) -> (Vec<Token>, Vec<ParseError>) {
    let mut lexer =
        Lexer { source, at: 0, line: 1, column: 1, starts_line: true, errors: Vec::new() };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let (start, starts_line) = (lexer.here(), lexer.starts_line);
        let Some(kind) = lexer.token() else { continue };
        lexer.starts_line = false;
        let is_end = kind == TokenKind::End;
        tokens.push(Token { kind, span: lexer.since(start), starts_line });
        if is_end {
            return (tokens, lexer.errors);
        }
    }
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        if next == '\n' {
            self.line += 1;
            self.column = 1;
            self.starts_line = true;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn here(&self) -> Span {
        Span { start: self.at, end: self.at, line: self.line, column: self.column }
    }

    fn since(&self, start: Span) -> Span {
        Span { end: self.at, ..start }
    }

    fn error(&mut self, start: Span, kind: ParseErrorKind) {
        let span = self.since(start);
        self.errors.push(ParseError { span, kind });
    }

    fn skip_space(&mut self) {
        while let Some(next) = self.peek() {
            if next == ';' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.bump();
                }
            } else if next.is_whitespace() {
                self.bump();
            } else {
                return;
            }
        }
    }

    /// The longest prefix of such bytes, which are ASCII.
    fn take(&mut self, accepts: fn(u8) -> bool) -> String {
        let length = self.rest().bytes().take_while(|byte| accepts(*byte)).count();
        let text = self.rest().get(..length).unwrap_or_default().to_string();
        self.at += length;
        self.column += length;
        text
    }

    /// The next token; `None` where a character was reported instead.
    fn token(&mut self) -> Option<TokenKind> {
        let start = self.here();
        let Some(next) = self.peek() else { return Some(TokenKind::End) };
        if next.is_ascii_digit() {
            return Some(TokenKind::Number(self.number()));
        }
        if next.is_ascii_alphabetic() || next == '_' {
            return Some(TokenKind::Word(self.take(is_word_byte)));
        }
        if next == '"' {
            return Some(TokenKind::String(self.string()));
        }
        if next == '%' || next == '@' {
            self.bump();
            let name =
                if self.peek() == Some('"') { self.string() } else { self.take(is_name_byte) };
            return Some(match next {
                '%' => TokenKind::Value(name),
                _ => TokenKind::Graph(name),
            });
        }
        if let Some(mark) = MARKS.into_iter().find(|mark| self.rest().starts_with(mark)) {
            self.at += mark.len();
            self.column += mark.len();
            return Some(TokenKind::Mark(mark));
        }
        self.bump();
        self.error(start, ParseErrorKind::Character(next));
        None
    }

    fn number(&mut self) -> String {
        let digit = |byte: u8| byte.is_ascii_digit();
        let mut text = self.take(digit);
        // `1..=64` is a range: a fraction has a digit behind the point.
        if self.rest().starts_with('.')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            self.bump();
            text.push('.');
            text.push_str(&self.take(digit));
        }
        let exponent = self.rest().strip_prefix(['e', 'E']).unwrap_or_default();
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if unsigned.starts_with(|c: char| c.is_ascii_digit()) {
            for _ in 0..1 + exponent.len() - unsigned.len() {
                text.extend(self.bump());
            }
            text.push_str(&self.take(digit));
        }
        text
    }

    /// A string from its opening quote on. An unfinished one ends with its line.
    fn string(&mut self) -> String {
        let start = self.here();
        self.bump();
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    self.error(start, ParseErrorKind::UnterminatedString);
                    return text;
                }
                Some('"') => {
                    self.bump();
                    return text;
                }
                Some('\\') => {
                    let escape = self.here();
                    match self.escape() {
                        Some(c) => text.push(c),
                        None => self.error(escape, ParseErrorKind::Escape),
                    }
                }
                Some(c) => {
                    self.bump();
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        self.bump();
        match self.peek().filter(|c| *c != '\n')? {
            '\\' => self.bump(),
            '"' => self.bump(),
            'n' => self.bump().map(|_| '\n'),
            'r' => self.bump().map(|_| '\r'),
            't' => self.bump().map(|_| '\t'),
            'u' => {
                self.bump();
                if self.peek() != Some('{') {
                    return None;
                }
                self.bump();
                let hex = self.take(|byte| byte.is_ascii_hexdigit());
                if self.peek() != Some('}') {
                    return None;
                }
                self.bump();
                u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)
            }
            _ => None,
        }
    }
}

/// A name as the text has it, behind its sign.
pub(super) fn bare_or_quoted(name: &str) -> String {
    if is_bare(name) { name.to_string() } else { quote(name) }
}

/// A value's name with its sign: `%x`, `%"a b"`.
pub(super) fn value_label(name: &str) -> String {
    format!("%{}", bare_or_quoted(name))
}

/// A string in quotes, escaped so that the lexer reads it back.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
