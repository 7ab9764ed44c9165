//! Which keys a query sees, from the values that say so: truth values, or numbers added to the scores.
//!
//! Every comparison of positions becomes a [`Bound`], an affine function of query and key that is at
//! least 0 where the query sees the key. However a mask is spelt, what it means is then a set of bounds,
//! and the set is compared with those of the masks that the IR knows.

use minuend_ir::ops::{BinaryOp, CompareOp, Literal, Mask, UnaryOp};
use minuend_ir::view::View;
use minuend_ir::{DType, Dim, Graph, Op, SymbolTable, ValueId};
use smallvec::{SmallVec, smallvec};

use crate::matcher::{opposite, pair, real_constant};
use crate::position::{IndexForm, index_form};
use crate::remark::label;
use crate::trail::Trail;

/// Numbers that hide a key: what is added to, or put in place of, its score lies so far below every
/// score that its weight underflows to exactly 0 in a row that sees any key.
const HIDING: f64 = -1e9;

/// The lowest finite f16, which stands for `-inf` in graphs of that type.
const LOWEST_F16: f64 = -65504.0;

/// How many elementwise ops deep a mask is read: shared operands are visited once for each path to them.
const DEPTH: usize = 12;

/// At least 0 where query `i` sees key `j`: `row * i + column * j + constant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    row: i64,
    column: i64,
    constant: Dim,
}

/// Where the keys are visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
    /// Where every bound holds.
    Where(Vec<Bound>),
}

/// What a mask is, or why it is none that the IR knows.
type Seen = Result<Visibility, String>;

/// True if a score of this value, of this element type, hides its key.
pub(crate) fn hides(value: f64, dtype: DType) -> bool {
    value <= HIDING || (dtype == DType::F16 && value <= LOWEST_F16)
}

impl Visibility {
    /// Where both see the key.
    pub(crate) fn and(self, other: Visibility) -> Visibility {
        match (self, other) {
            (Visibility::Never, _) | (_, Visibility::Never) => Visibility::Never,
            (Visibility::Always, seen) | (seen, Visibility::Always) => seen,
            (Visibility::Where(mut bounds), Visibility::Where(more)) => {
                bounds.extend(more);
                Visibility::Where(bounds)
            }
        }
    }

    /// Where either sees the key.
    fn or(self, other: Visibility, symbols: &SymbolTable) -> Seen {
        match (self, other) {
            (Visibility::Always, _) | (_, Visibility::Always) => Ok(Visibility::Always),
            (Visibility::Never, seen) | (seen, Visibility::Never) => Ok(seen),
            (Visibility::Where(a), Visibility::Where(b)) if implies(&a, &b, symbols) => {
                Ok(Visibility::Where(b))
            }
            (Visibility::Where(a), Visibility::Where(b)) if implies(&b, &a, symbols) => {
                Ok(Visibility::Where(a))
            }
            _ => Err("keys are visible under alternative conditions".into()),
        }
    }

    /// The mask of that many queries and keys.
    pub(crate) fn mask(
        &self,
        queries: &Dim,
        keys: &Dim,
        symbols: &SymbolTable,
    ) -> Result<Mask, String> {
        let bounds = match self {
            Visibility::Always => return Ok(Mask::Full),
            Visibility::Never => return Err("no key is visible".into()),
            Visibility::Where(bounds) => bounds,
        };
        let past = keys - queries;
        let (mut is_causal, mut window) = (false, None::<i64>);
        let mut later = None;
        for bound in bounds {
            match bound.kind()? {
                // j <= i + reach
                Reach::Latest(reach) if reach == past => is_causal = true,
                Reach::Latest(reach) => later = Some(reach),
                // j >= i + past - (window - 1)
                Reach::Oldest(reach) => {
                    let size = (&(&past - &reach) + 1).as_const().filter(|size| *size >= 1);
                    let Some(size) = size else {
                        let reach = reach.display(symbols);
                        return Err(format!(
                            "query i sees keys from i + {reach} on, expected from i + {} less a \
                             constant window on",
                            past.display(symbols)
                        ));
                    };
                    window = Some(window.map_or(size, |other| other.min(size)));
                }
            }
        }
        // A bound beyond the causal one says nothing beside it.
        let is_implied = |reach: &Dim| is_causal && (reach - &past).at_least(0, symbols);
        if let Some(reach) = later.filter(|reach| !is_implied(reach)) {
            return Err(format!(
                "query i sees keys up to i + {}, expected up to i + {} (its own position)",
                reach.display(symbols),
                past.display(symbols)
            ));
        }
        if !past.at_least(0, symbols) {
            let (queries, keys) = (queries.display(symbols), keys.display(symbols));
            return Err(format!("a masked attention of {queries} queries over {keys} keys"));
        }
        match (is_causal, window) {
            (true, None) => Ok(Mask::Causal),
            (true, Some(window)) => u32::try_from(window)
                .map(|window| Mask::SlidingWindow { window })
                .map_err(|_| format!("a window of {window} keys")),
            (false, _) => Err("queries see a window of keys without a causal bound".into()),
        }
    }
}

/// True if every bound of `b` holds wherever all of `a` hold.
fn implies(a: &[Bound], b: &[Bound], symbols: &SymbolTable) -> bool {
    b.iter().all(|weak| {
        a.iter().any(|strong| {
            let is_parallel = (strong.row, strong.column) == (weak.row, weak.column);
            is_parallel && (&weak.constant - &strong.constant).at_least(0, symbols)
        })
    })
}

enum Reach {
    /// Keys up to `i +` this.
    Latest(Dim),
    /// Keys from `i +` this on.
    Oldest(Dim),
}

impl Bound {
    fn kind(&self) -> Result<Reach, String> {
        match (self.row, self.column) {
            (1, -1) => Ok(Reach::Latest(self.constant.clone())),
            (-1, 1) => Ok(Reach::Oldest(&Dim::zero() - &self.constant)),
            (row, column) => Err(format!(
                "the mask compares {row} * query with {column} * key, expected query with key"
            )),
        }
    }
}

/// What a bound comes to: `form` is at least 0 at the visible scores, whose shape is given.
fn decided(form: &IndexForm, shape: &[Dim], symbols: &SymbolTable) -> Seen {
    let (mut least, mut most) = (form.constant.clone(), form.constant.clone());
    for (coefficient, size) in form.coefficients.iter().zip(shape) {
        let end = &(size + -1) * *coefficient;
        let side = if *coefficient < 0 { &mut least } else { &mut most };
        *side = &*side + &end;
    }
    if least.at_least(0, symbols) {
        return Ok(Visibility::Always);
    }
    if (&Dim::from(-1) - &most).at_least(0, symbols) {
        return Ok(Visibility::Never);
    }
    let [others @ .., row, column] = form.coefficients.as_slice() else {
        return Err("the scores have less than two axes".into());
    };
    if let Some(axis) = others.iter().position(|coefficient| *coefficient != 0) {
        return Err(format!("it varies along axis {axis} of the scores"));
    }
    let constant = form.constant.clone();
    Ok(Visibility::Where(vec![Bound { row: *row, column: *column, constant }]))
}

/// Where the truth value at the end of the trail is true (or false, if `negated`). The trail starts at
/// the scores.
pub(crate) fn where_true(graph: &Graph, trail: Trail, negated: bool) -> Seen {
    let mut trail = trail;
    while graph.def(trail.at).is_view() && trail.step(graph) {}
    let at = trail.at;
    if trail.entered > DEPTH {
        return Err(unknown(graph, at));
    }
    match graph.def(at) {
        Op::Compare(op) => compared(graph, &trail, if negated { opposite(*op) } else { *op }),
        Op::Unary(UnaryOp::Not) => match graph.operand(at.node, 0) {
            Some(operand) => where_true(graph, trail.enter(graph, operand), !negated),
            None => Err(unknown(graph, at)),
        },
        Op::Binary(op @ (BinaryOp::And | BinaryOp::Or)) => {
            let Some((a, b)) = pair(graph, at.node) else { return Err(unknown(graph, at)) };
            let a = where_true(graph, trail.clone().enter(graph, a), negated)?;
            let b = where_true(graph, trail.enter(graph, b), negated)?;
            if (*op == BinaryOp::And) != negated { Ok(a.and(b)) } else { a.or(b, graph.symbols()) }
        }
        Op::Select => {
            let operands = graph.operands(at.node);
            let [condition, a, b] = operands.as_slice() else { return Err(unknown(graph, at)) };
            let a = where_true(graph, trail.clone().enter(graph, *a), negated)?;
            let b = where_true(graph, trail.clone().enter(graph, *b), negated)?;
            chosen(graph, trail.enter(graph, *condition), a, b)
        }
        Op::Constant(constant) => match &constant.values {
            Literal::Bools(values) if values.iter().all(|value| *value != negated) => {
                Ok(Visibility::Always)
            }
            Literal::Bools(values) if values.iter().all(|value| *value == negated) => {
                Ok(Visibility::Never)
            }
            _ => Err(unknown(graph, at)),
        },
        // A truth value that was a number for a while.
        Op::Cast(_) => match truth(graph, trail) {
            Some(trail) => where_true(graph, trail, negated),
            None => Err(unknown(graph, at)),
        },
        _ => Err(unknown(graph, at)),
    }
}

/// Where a number added to the scores is 0, if it hides the key everywhere else. The trail starts at
/// the scores.
pub(crate) fn where_zero(graph: &Graph, trail: Trail) -> Seen {
    let trail = trail.climb(graph);
    let at = trail.at;
    if trail.entered > DEPTH {
        return Err(unknown(graph, at));
    }
    if let Some(value) = real_constant(graph, at) {
        return match value {
            0.0 => Ok(Visibility::Always),
            value if hides(value, graph.ty(at).dtype) => Ok(Visibility::Never),
            value => Err(format!("{value} is added to scores, expected 0 or {HIDING} and below")),
        };
    }
    let operands = graph.operands(at.node);
    match (graph.def(at), operands.as_slice()) {
        (Op::Select, [condition, a, b]) => {
            let a = where_zero(graph, trail.clone().enter(graph, *a))?;
            let b = where_zero(graph, trail.clone().enter(graph, *b))?;
            chosen(graph, trail.enter(graph, *condition), a, b)
        }
        (Op::Binary(BinaryOp::Add | BinaryOp::Min), [a, b]) => {
            let a = where_zero(graph, trail.clone().enter(graph, *a))?;
            Ok(a.and(where_zero(graph, trail.enter(graph, *b))?))
        }
        (Op::Binary(BinaryOp::Mul), [a, b]) => {
            let is_hiding = |value: ValueId| {
                let fill = real_constant(graph, value)?;
                // 0 times an infinity is no 0.
                (hides(fill, graph.ty(value).dtype) && fill.is_finite()).then_some(())
            };
            let truth = match (is_hiding(*a), is_hiding(*b)) {
                (_, Some(())) => *a,
                (Some(()), _) => *b,
                _ => return Err(unknown(graph, at)),
            };
            where_number_is_zero(graph, trail.enter(graph, truth))
        }
        _ => Err(unknown(graph, at)),
    }
}

/// Where a truth value written as 0 and 1, or 1 less that, is 0.
fn where_number_is_zero(graph: &Graph, trail: Trail) -> Seen {
    let trail = trail.climb(graph);
    let at = trail.at;
    let operands = graph.operands(at.node);
    if let (Op::Binary(BinaryOp::Sub), [one, number]) = (graph.def(at), operands.as_slice())
        && real_constant(graph, *one) == Some(1.0)
    {
        return match truth(graph, trail.enter(graph, *number)) {
            Some(trail) => where_true(graph, trail, false),
            None => Err(unknown(graph, *number)),
        };
    }
    match truth(graph, trail) {
        Some(trail) => where_true(graph, trail, true),
        None => Err(unknown(graph, at)),
    }
}

/// The truth value that a number or truth value is a cast of.
fn truth(graph: &Graph, mut trail: Trail) -> Option<Trail> {
    loop {
        if graph.def(trail.at).is_view() {
            trail.step(graph).then_some(())?;
            continue;
        }
        let Op::Cast(_) = graph.def(trail.at) else { return None };
        let source = graph.operand(trail.at.node, 0)?;
        trail = trail.enter(graph, source);
        if graph.ty(source).dtype == DType::Bool {
            return Some(trail);
        }
    }
}

/// `a` where the condition holds, else `b`.
fn chosen(graph: &Graph, condition: Trail, a: Visibility, b: Visibility) -> Seen {
    if a == b {
        return Ok(a);
    }
    let symbols = graph.symbols();
    let there = |graph, negated| where_true(graph, condition.clone(), negated);
    match (a, b) {
        (a, Visibility::Never) => Ok(there(graph, false)?.and(a)),
        (Visibility::Never, b) => Ok(there(graph, true)?.and(b)),
        // Where one side sees everything, the other side's condition no longer matters there.
        (Visibility::Always, b) => there(graph, false)?.or(b, symbols),
        (a, Visibility::Always) => there(graph, true)?.or(a, symbols),
        (a, b) => there(graph, false)?.and(a).or(there(graph, true)?.and(b), symbols),
    }
}

/// The bound of a comparison of integers, in the indices of the trail's start.
fn compared(graph: &Graph, trail: &Trail, op: CompareOp) -> Seen {
    let at = trail.at;
    let Some((a, b)) = pair(graph, at.node) else { return Err(unknown(graph, at)) };
    let form = |value| index_form(graph, value).ok_or_else(|| not_a_position(graph, value));
    let (a, b) = (form(a)?, form(b)?);
    // Where the difference is at least 0, the comparison holds.
    let (larger, smaller, slack) = match op {
        CompareOp::Le => (b, a, 0),
        CompareOp::Lt => (b, a, -1),
        CompareOp::Ge => (a, b, 0),
        CompareOp::Gt => (a, b, -1),
        CompareOp::Eq | CompareOp::Ne => {
            return Err(format!("{} tests positions for equality", label(graph, at.node)));
        }
    };
    let scores = trail.passed.first().copied().unwrap_or(at);
    let form = difference(&larger, &smaller, graph.ty(at).rank())
        .and_then(|form| lifted(&form, graph, trail, slack))
        .ok_or_else(|| unknown(graph, at))?;
    decided(&form, &graph.ty(scores).shape, graph.symbols())
}

fn difference(a: &IndexForm, b: &IndexForm, rank: usize) -> Option<IndexForm> {
    let mut coefficients: SmallVec<[i64; 4]> = smallvec![0; rank];
    for (form, sign) in [(a, 1), (b, -1)] {
        let missing = rank.checked_sub(form.coefficients.len())?;
        for (sum, own) in coefficients.iter_mut().skip(missing).zip(&form.coefficients) {
            *sum = sum.checked_add(own.checked_mul(sign)?)?;
        }
    }
    Some(IndexForm { coefficients, constant: &a.constant - &b.constant })
}

/// A layout op moves the elements of an affine value as it moves those of a tensor whose strides are
/// the coefficients.
fn lifted(form: &IndexForm, graph: &Graph, trail: &Trail, slack: i64) -> Option<IndexForm> {
    let strides: SmallVec<[Dim; 4]> =
        form.coefficients.iter().map(|coefficient| Dim::from(*coefficient)).collect();
    let place = View::strided(form.constant.clone(), &graph.ty(trail.at).shape, &strides);
    let view = trail.seen(place)?;
    let coefficients = view.strides()?.iter().map(Dim::as_const).collect::<Option<_>>()?;
    Some(IndexForm { coefficients, constant: &view.offset + slack })
}

fn unknown(graph: &Graph, at: ValueId) -> String {
    let op = graph.def(at);
    let hint = if matches!(op, Op::Input(_)) { ": only a run knows its values" } else { "" };
    format!("{} ({}) is no condition on positions{hint}", label(graph, at.node), op.mnemonic())
}

fn not_a_position(graph: &Graph, at: ValueId) -> String {
    let op = graph.def(at).mnemonic();
    format!(
        "{} ({op}) is no position computed from iota, sizes and integers",
        label(graph, at.node)
    )
}
