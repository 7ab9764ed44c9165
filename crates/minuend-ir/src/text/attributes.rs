//! The attributes of every op, written and read: the one place to extend for an op.
//!
//! [`attributes_of`] matches exhaustively, so an op that is not covered does not compile;
//! [`op_from`] is its inverse.

#![deny(clippy::wildcard_enum_match_arm)]

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::cursor::{Cursor, Parse};
use super::error::{ParseError, ParseErrorKind};
use super::lex::{Span, TokenKind};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::op::Op;
use crate::ops::*;
use crate::real::Real;
use crate::symbol::{Name, SymbolTable};
use crate::tensor_type::{Shape, TensorType};

/// An attribute's value.
pub(crate) enum Attribute<'g> {
    Axis(usize),
    Axes(&'g [usize]),
    Count(u32),
    Flag(bool),
    Word(&'static str),
    Mask(Mask),
    Real(Real),
    Size(&'g Dim),
    Shape(&'g [Dim]),
    Names(&'g [Name]),
    Literal(&'g Literal),
}

/// An op's attributes, sorted by name.
pub(crate) fn attributes_of(op: &Op) -> Vec<(&'static str, Attribute<'_>)> {
    use Attribute::*;
    match op {
        // The parts of a parameter and of the return stand in the signature and the last line.
        Op::Input(_) | Op::Return(_) => vec![],
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select => vec![],
        Op::Swiglu | Op::Sample => vec![],
        Op::Weight(op) => vec![("name", Names(&op.parts))],
        Op::Constant(op) => vec![("value", Literal(&op.values))],
        Op::DimValue(op) => vec![("size", Size(&op.size))],
        Op::Iota(op) => vec![("size", Size(&op.size))],
        Op::Cast(op) => vec![("to", Word(op.to.name()))],
        Op::Reshape(op) => vec![("shape", Shape(&op.shape))],
        Op::Broadcast(op) => vec![("shape", Shape(&op.shape))],
        Op::Transpose(op) => vec![("perm", Axes(&op.perm))],
        Op::Slice(op) => {
            let mut attributes = vec![("axis", Axis(op.axis))];
            attributes.extend(op.end.iter().map(|end| ("end", Size(end))));
            attributes.push(("start", Size(&op.start)));
            attributes.push(("step", Count(op.step)));
            attributes
        }
        Op::Concat(op) => vec![("axis", Axis(op.axis))],
        Op::Gather(op) => vec![("axis", Axis(op.axis))],
        Op::Reduce(op) => vec![("axis", Axis(op.axis))],
        Op::ArgMax(op) => vec![("axis", Axis(op.axis))],
        Op::Softmax(op) => vec![("axis", Axis(op.axis))],
        Op::KvAppend(op) => vec![("axis", Axis(op.axis))],
        Op::Matmul(op) => vec![("transpose_rhs", Flag(op.transpose_rhs))],
        Op::RmsNorm(op) | Op::AddRmsNorm(op) => vec![("epsilon", Real(op.epsilon))],
        Op::Rope(op) => vec![("layout", Word(op.layout.name())), ("theta", Real(op.theta))],
        Op::Attention(op) => vec![("mask", Mask(op.mask)), ("scale", Real(op.scale))],
        Op::DiffAttention(op) => vec![
            ("mask", Mask(op.mask)),
            ("pairing", Word(op.pairing.name())),
            ("scale", Real(op.scale)),
        ],
    }
}

type Read = fn(&mut Reader<'_>) -> Parse<Op>;

/// How each op that is not of a family of mnemonics is read.
const OPS: &[(&str, Read)] = &[
    ("weight", |r| Ok(Op::Weight(Weight { parts: r.names("name")?, ty: r.ty.clone() }))),
    ("constant", |r| Ok(Op::Constant(Constant { values: r.literal("value")?, ty: r.ty.clone() }))),
    ("dim", |r| Ok(Op::DimValue(DimValue { size: r.size("size")? }))),
    ("iota", |r| Ok(Op::Iota(Iota { size: r.size("size")? }))),
    ("select", |_| Ok(Op::Select)),
    ("cast", |r| Ok(Op::Cast(Cast { to: r.dtype("to")? }))),
    ("reshape", |r| Ok(Op::Reshape(Reshape { shape: r.shape("shape")? }))),
    ("broadcast", |r| Ok(Op::Broadcast(Broadcast { shape: r.shape("shape")? }))),
    ("transpose", |r| Ok(Op::Transpose(Transpose { perm: r.axes("perm")? }))),
    ("slice", |r| {
        let (axis, end) = (r.axis("axis")?, r.optional("end", Reader::size)?);
        let (start, step) = (r.size("start")?, r.optional("step", Reader::count)?);
        Ok(Op::Slice(Slice { axis, start, end, step: step.unwrap_or(1) }))
    }),
    ("concat", |r| Ok(Op::Concat(Concat { axis: r.axis("axis")? }))),
    ("gather", |r| Ok(Op::Gather(Gather { axis: r.axis("axis")? }))),
    ("arg_max", |r| Ok(Op::ArgMax(ArgMax { axis: r.axis("axis")? }))),
    ("softmax", |r| Ok(Op::Softmax(Softmax { axis: r.axis("axis")? }))),
    ("kv_append", |r| Ok(Op::KvAppend(KvAppend { axis: r.axis("axis")? }))),
    ("matmul", |r| {
        let transpose_rhs = r.optional("transpose_rhs", Reader::flag)?.unwrap_or(false);
        Ok(Op::Matmul(Matmul { transpose_rhs }))
    }),
    ("rms_norm", |r| Ok(Op::RmsNorm(RmsNorm { epsilon: r.real("epsilon")? }))),
    ("add_rms_norm", |r| Ok(Op::AddRmsNorm(RmsNorm { epsilon: r.real("epsilon")? }))),
    ("rope", |r| {
        let layouts = [RopeLayout::Interleaved, RopeLayout::HalfSplit];
        let layout = r.one_of("layout", &layouts, RopeLayout::name)?;
        Ok(Op::Rope(Rope { layout, theta: r.real("theta")? }))
    }),
    ("swiglu", |_| Ok(Op::Swiglu)),
    ("sample", |_| Ok(Op::Sample)),
    ("attention", |r| {
        Ok(Op::Attention(Attention { mask: r.mask("mask")?, scale: r.real("scale")? }))
    }),
    ("diff_attention", |r| {
        let mask = r.mask("mask")?;
        let pairing = r.one_of("pairing", &[HeadPairing::Interleaved], HeadPairing::name)?;
        Ok(Op::DiffAttention(DiffAttention { pairing, mask, scale: r.real("scale")? }))
    }),
];

/// Every mnemonic that a statement may have.
pub(super) fn mnemonics() -> impl Iterator<Item = &'static str> {
    let families = UnaryOp::ALL.map(UnaryOp::name).into_iter();
    let families = families.chain(BinaryOp::ALL.map(BinaryOp::name));
    let families = families.chain(CompareOp::ALL.map(CompareOp::name));
    let families = families.chain(ReduceKind::ALL.map(ReduceKind::name));
    OPS.iter().map(|(name, _)| *name).chain(families)
}

/// The op of that mnemonic with the attributes given; `None` if there is no such op.
pub(super) fn op_from(mnemonic: &str, reader: &mut Reader<'_>) -> Option<Parse<Op>> {
    if let Some((_, read)) = OPS.iter().find(|(name, _)| *name == mnemonic) {
        return Some(read(reader));
    }
    if let Some(op) = UnaryOp::ALL.into_iter().find(|op| op.name() == mnemonic) {
        return Some(Ok(Op::Unary(op)));
    }
    if let Some(op) = BinaryOp::ALL.into_iter().find(|op| op.name() == mnemonic) {
        return Some(Ok(Op::Binary(op)));
    }
    if let Some(op) = CompareOp::ALL.into_iter().find(|op| op.name() == mnemonic) {
        return Some(Ok(Op::Compare(op)));
    }
    let kind = ReduceKind::ALL.into_iter().find(|kind| kind.name() == mnemonic)?;
    Some(reader.axis("axis").map(|axis| Op::Reduce(Reduce { kind, axis })))
}

/// An attribute as the source has it: a name and the tokens of its value.
pub(super) struct Given<'t> {
    pub(super) name: &'t str,
    pub(super) span: Span,
    pub(super) value: Range<usize>,
}

/// Reads the attributes of one statement, each by the kind of value that its op asks for.
pub(super) struct Reader<'a> {
    op: &'a str,
    op_span: Span,
    given: &'a [Given<'a>],
    asked: Vec<&'static str>,
    cursor: Cursor<'a>,
    symbols: &'a SymbolTable,
    /// The declared type of the first result.
    ty: &'a TensorType,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        op: (&'a str, Span),
        given: &'a [Given<'a>],
        cursor: Cursor<'a>,
        symbols: &'a SymbolTable,
        ty: &'a TensorType,
    ) -> Reader<'a> {
        Reader { op: op.0, op_span: op.1, given, asked: Vec::new(), cursor, symbols, ty }
    }

    /// An error for every attribute given that the op did not ask for.
    pub(super) fn unknown(self) -> Vec<ParseError> {
        let unknown = self.given.iter().filter(|given| !self.asked.contains(&given.name));
        unknown
            .map(|given| {
                let (op, found) = (self.op.to_string(), given.name.to_string());
                let kind =
                    ParseErrorKind::UnknownAttribute { op, found, known: self.asked.clone() };
                ParseError { span: given.span, kind }
            })
            .collect()
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        read: fn(&mut Self, &'static str) -> Parse<T>,
    ) -> Parse<Option<T>> {
        self.asked.push(name);
        if self.given.iter().any(|given| given.name == name) {
            self.asked.pop();
            return read(self, name).map(Some);
        }
        Ok(None)
    }

    /// Reads the whole value of an attribute.
    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Cursor<'a>, &SymbolTable) -> Parse<T>,
    ) -> Parse<T> {
        self.asked.push(name);
        let Some(given) = self.given.iter().find(|given| given.name == name) else {
            let kind = ParseErrorKind::MissingAttribute { op: self.op.to_string(), name };
            return Err(ParseError { span: self.op_span, kind });
        };
        let mut cursor = self.cursor.within(given.value.clone());
        let value = read(&mut cursor, self.symbols).map_err(|mut error| {
            if let ParseErrorKind::Expected { expected, .. } = &mut error.kind {
                expected.push_str(&format!(" for attribute {name}"));
            }
            error
        })?;
        if cursor.is_at_end() { Ok(value) } else { Err(cursor.expected("`,` or `}`")) }
    }

    fn size(&mut self, name: &'static str) -> Parse<Dim> {
        self.read(name, |cursor, symbols| cursor.dim(symbols))
    }

    fn shape(&mut self, name: &'static str) -> Parse<Shape> {
        self.read(name, |cursor, symbols| cursor.shape(symbols))
    }

    fn axis(&mut self, name: &'static str) -> Parse<usize> {
        self.read(name, |cursor, _| axis(cursor))
    }

    fn axes(&mut self, name: &'static str) -> Parse<SmallVec<[usize; 4]>> {
        self.read(name, |cursor, _| list(cursor, axis)).map(SmallVec::from_vec)
    }

    fn count(&mut self, name: &'static str) -> Parse<u32> {
        self.read(name, |cursor, _| count(cursor))
    }

    fn flag(&mut self, name: &'static str) -> Parse<bool> {
        self.read(name, |cursor, _| flag(cursor))
    }

    fn dtype(&mut self, name: &'static str) -> Parse<DType> {
        self.read(name, |cursor, _| cursor.dtype())
    }

    fn real(&mut self, name: &'static str) -> Parse<Real> {
        self.read(name, |cursor, _| real(cursor))
    }

    fn names(&mut self, name: &'static str) -> Parse<Vec<Name>> {
        self.read(name, |cursor, _| one_or_list(cursor, string))
    }

    fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[T],
        word: fn(T) -> &'static str,
    ) -> Parse<T> {
        self.read(name, |cursor, _| {
            let choice = choices.iter().find(|choice| cursor.is_word(word(**choice)));
            match choice {
                Some(choice) => {
                    cursor.advance();
                    Ok(*choice)
                }
                None => {
                    let words: Vec<&str> = choices.iter().map(|choice| word(*choice)).collect();
                    Err(cursor.expected(words.join(" or ")))
                }
            }
        })
    }

    fn mask(&mut self, name: &'static str) -> Parse<Mask> {
        self.read(name, |cursor, _| {
            if cursor.eat_word("full") {
                return Ok(Mask::Full);
            }
            if cursor.eat_word("causal") {
                return Ok(Mask::Causal);
            }
            if !cursor.eat_word("window") {
                return Err(cursor.expected("full, causal or window(n)"));
            }
            cursor.expect("(")?;
            let window = count(cursor)?;
            cursor.expect(")")?;
            Ok(Mask::SlidingWindow { window })
        })
    }

    /// Literal data of the declared element type.
    fn literal(&mut self, name: &'static str) -> Parse<Literal> {
        let dtype = self.ty.dtype;
        self.read(name, |cursor, _| {
            Ok(match dtype {
                DType::F32 | DType::F16 | DType::Bf16 => {
                    Literal::Reals(Arc::from(one_or_list(cursor, real)?))
                }
                DType::I64 | DType::I32 => Literal::Ints(Arc::from(one_or_list(cursor, int)?)),
                DType::Bool => Literal::Bools(Arc::from(one_or_list(cursor, flag)?)),
            })
        })
    }
}

fn list<T>(cursor: &mut Cursor<'_>, item: fn(&mut Cursor<'_>) -> Parse<T>) -> Parse<Vec<T>> {
    cursor.expect("[")?;
    let mut items = Vec::new();
    while !cursor.eat("]") {
        items.push(item(cursor)?);
        if !cursor.is_mark("]") && !cursor.eat(",") {
            return Err(cursor.expected("`,` or `]`"));
        }
    }
    Ok(items)
}

fn one_or_list<T>(cursor: &mut Cursor<'_>, item: fn(&mut Cursor<'_>) -> Parse<T>) -> Parse<Vec<T>> {
    if cursor.is_mark("[") { list(cursor, item) } else { Ok(vec![item(cursor)?]) }
}

fn axis(cursor: &mut Cursor<'_>) -> Parse<usize> {
    let value = cursor.integer(u64::from(u16::MAX), "an axis number")?;
    usize::try_from(value).map_err(|_| cursor.expected("an axis number"))
}

fn count(cursor: &mut Cursor<'_>) -> Parse<u32> {
    let value = cursor.integer(u64::from(u32::MAX), "a whole number")?;
    u32::try_from(value).map_err(|_| cursor.expected("a whole number"))
}

fn int(cursor: &mut Cursor<'_>) -> Parse<i64> {
    let is_negative = cursor.eat("-");
    cursor.signed(is_negative, "an integer")
}

fn flag(cursor: &mut Cursor<'_>) -> Parse<bool> {
    if cursor.eat_word("true") {
        return Ok(true);
    }
    if cursor.eat_word("false") {
        return Ok(false);
    }
    Err(cursor.expected("true or false"))
}

fn real(cursor: &mut Cursor<'_>) -> Parse<Real> {
    if cursor.eat_word("nan") {
        return Ok(Real::new(f64::NAN));
    }
    let sign = if cursor.eat("-") { -1.0 } else { 1.0 };
    if cursor.eat_word("inf") {
        return Ok(Real::new(sign * f64::INFINITY));
    }
    let span = cursor.span();
    let TokenKind::Number(text) = cursor.kind() else {
        return Err(cursor.expected("a number"));
    };
    cursor.advance();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Real::new(sign * value)),
        _ => {
            let expected = "a float64, or inf".to_string();
            let kind = ParseErrorKind::Range { found: text.clone(), expected };
            Err(ParseError { span, kind })
        }
    }
}

fn string(cursor: &mut Cursor<'_>) -> Parse<Name> {
    let TokenKind::String(text) = cursor.kind() else {
        return Err(cursor.expected("a string"));
    };
    cursor.advance();
    Ok(Name::from(text.as_str()))
}
