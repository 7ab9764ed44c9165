//! Sizes and types in the text.
//!
//! A size is multiplied out as it is read, so its terms are limited: a short source could otherwise
//! ask for a polynomial of any size. The limits also bound the polynomial division and the element
//! counts that inference takes of them.

use super::cursor::{Cursor, Parse};
use super::error::{ParseError, ParseErrorKind};
use super::lex::{Span, TokenKind};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::symbol::SymbolTable;
use crate::tensor_type::{Shape, TensorType};

/// Most parentheses within parentheses.
const MAX_DEPTH: usize = 32;
/// Most terms of one size.
const MAX_TERMS: usize = 12;
/// Most symbols multiplied in one term of a size.
const MAX_DEGREE: usize = 5;
/// Most axes of one type.
const MAX_RANK: usize = 16;
/// Most terms of the product of a type's sizes, before like terms are added.
const MAX_ELEMENT_TERMS: usize = 4096;

impl Cursor<'_> {
    /// A polynomial over the symbols, with `+`, `-`, `*` and parentheses.
    pub(super) fn dim(&mut self, symbols: &SymbolTable) -> Parse<Dim> {
        self.dim_at(symbols, 0)
    }

    fn dim_at(&mut self, symbols: &SymbolTable, depth: usize) -> Parse<Dim> {
        let span = self.span();
        if depth > MAX_DEPTH {
            return Err(ParseError { span, kind: ParseErrorKind::TooDeep { limit: MAX_DEPTH } });
        }
        let is_negative = self.eat("-");
        let mut sum = self.term(symbols, depth, is_negative)?;
        loop {
            let is_negative = match self.kind() {
                TokenKind::Mark("+") => false,
                TokenKind::Mark("-") => true,
                _ => return Ok(sum),
            };
            self.advance();
            let term = self.term(symbols, depth, is_negative)?;
            sum = limited(&sum + &term, span)?;
        }
    }

    fn term(&mut self, symbols: &SymbolTable, depth: usize, is_negative: bool) -> Parse<Dim> {
        let span = self.span();
        let mut product = self.factor(symbols, depth, is_negative)?;
        while self.eat("*") {
            let factor = self.factor(symbols, depth, false)?;
            product = limited(&product * &factor, span)?;
        }
        Ok(product)
    }

    fn factor(&mut self, symbols: &SymbolTable, depth: usize, is_negative: bool) -> Parse<Dim> {
        let span = self.span();
        let sign = if is_negative { -1 } else { 1 };
        match self.kind() {
            TokenKind::Word(name) => {
                let Some(dim) = symbols.lookup(name) else {
                    let kind = ParseErrorKind::UnknownSymbol(name.clone());
                    return Err(ParseError { span, kind });
                };
                self.advance();
                Ok(&dim * sign)
            }
            TokenKind::Mark("(") => {
                self.advance();
                let dim = self.dim_at(symbols, depth + 1)?;
                self.expect(")")?;
                Ok(&dim * sign)
            }
            _ => Ok(Dim::from(self.signed(is_negative, "a size")?)),
        }
    }

    /// An integer whose sign was read already.
    pub(super) fn signed(&mut self, is_negative: bool, what: &str) -> Parse<i64> {
        // i64 has one more negative value than positive ones.
        let max = i64::MAX.unsigned_abs() + u64::from(is_negative);
        let magnitude = self.integer(max, what)?;
        Ok(if is_negative {
            0i64.saturating_sub_unsigned(magnitude)
        } else {
            0i64.saturating_add_unsigned(magnitude)
        })
    }

    /// Sizes in brackets.
    pub(super) fn shape(&mut self, symbols: &SymbolTable) -> Parse<Shape> {
        let span = self.span();
        self.expect("[")?;
        let mut shape = Shape::new();
        let mut terms = 1usize;
        while !self.eat("]") {
            let dim = self.dim(symbols)?;
            terms = terms.saturating_mul(dim.term_count().max(1));
            shape.push(dim);
            if shape.len() > MAX_RANK {
                let kind = ParseErrorKind::TooLarge { what: "number of axes", limit: MAX_RANK };
                return Err(ParseError { span, kind });
            }
            if terms > MAX_ELEMENT_TERMS {
                let limit = MAX_ELEMENT_TERMS;
                let kind = ParseErrorKind::TooLarge { what: "number of terms", limit };
                return Err(ParseError { span, kind });
            }
            if !self.is_mark("]") {
                self.expect(",").map_err(|_| self.expected("`,` or `]`"))?;
            }
        }
        Ok(shape)
    }

    /// An element type.
    pub(super) fn dtype(&mut self) -> Parse<DType> {
        let names = || DType::ALL.map(DType::name).join(", ");
        match self.kind() {
            TokenKind::Word(name) => match DType::from_name(name) {
                Some(dtype) => {
                    self.advance();
                    Ok(dtype)
                }
                None => Err(self.expected(format!("an element type ({})", names()))),
            },
            _ => Err(self.expected(format!("an element type ({})", names()))),
        }
    }

    /// An element type and a shape.
    pub(super) fn tensor_type(&mut self, symbols: &SymbolTable) -> Parse<TensorType> {
        let dtype = self.dtype()?;
        Ok(TensorType { dtype, shape: self.shape(symbols)? })
    }
}

fn limited(dim: Dim, span: Span) -> Parse<Dim> {
    let kind = if dim.term_count() > MAX_TERMS {
        ParseErrorKind::TooLarge { what: "number of terms", limit: MAX_TERMS }
    } else if dim.degree() > MAX_DEGREE {
        ParseErrorKind::TooLarge { what: "number of factors", limit: MAX_DEGREE }
    } else {
        return Ok(dim);
    };
    Err(ParseError { span, kind })
}
