//! Sizes as polynomials over symbols, in canonical form.
//!
//! `T = P + S`, `2*h*d`, `B*S`: a [`Dim`] is a sum of integer multiples of products of symbols, kept
//! sorted and without zero terms. Two dims are algebraically equal exactly when they are `==`, so
//! equality and hashing are derived. Rounded quotients (`ceil(S / 64)`) are launch geometry and never
//! enter a shape.
//!
//! Coefficients saturate at the ends of i64. A saturated size exceeds
//! [`TensorType::MAX_ELEMENTS`](crate::TensorType::MAX_ELEMENTS) and is rejected there.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Mul, Sub};

use smallvec::{SmallVec, smallvec};

use crate::symbol::{Bindings, SymbolId, SymbolTable};

/// A product of symbols, sorted, with repetition; empty for a constant term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Monomial(SmallVec<[SymbolId; 3]>);

impl Monomial {
    fn times(&self, other: &Monomial) -> Monomial {
        let mut symbols = self.0.clone();
        symbols.extend_from_slice(&other.0);
        symbols.sort_unstable();
        Monomial(symbols)
    }

    /// `self / divisor` if every factor of the divisor is a factor of `self`.
    fn over(&self, divisor: &Monomial) -> Option<Monomial> {
        let mut symbols = self.0.clone();
        for factor in &divisor.0 {
            let at = symbols.iter().position(|symbol| symbol == factor)?;
            symbols.remove(at);
        }
        Some(Monomial(symbols))
    }
}

/// Graded order: higher degree first, then symbols in order of declaration. It is compatible with
/// multiplication, which polynomial division needs.
impl Ord for Monomial {
    fn cmp(&self, other: &Monomial) -> Ordering {
        other.0.len().cmp(&self.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Monomial {
    fn partial_cmp(&self, other: &Monomial) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A size: an integer polynomial over the symbols of one graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dim {
    /// Sorted by monomial, no zero coefficient.
    terms: SmallVec<[(Monomial, i64); 2]>,
}

impl Dim {
    /// The size 0.
    pub fn zero() -> Dim {
        Dim::default()
    }

    /// The size 1.
    pub fn one() -> Dim {
        Dim::from(1)
    }

    /// The size that a symbol stands for.
    pub fn symbol(id: SymbolId) -> Dim {
        Dim { terms: smallvec![(Monomial(smallvec![id]), 1)] }
    }

    /// The value of a dim without symbols.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(monomial, value)] if monomial.0.is_empty() => Some(*value),
            _ => None,
        }
    }

    /// True if this is the constant `value`.
    pub fn is(&self, value: i64) -> bool {
        self.as_const() == Some(value)
    }

    /// The symbols that occur, each once, in order of declaration.
    pub fn symbols(&self) -> SmallVec<[SymbolId; 4]> {
        let mut found: SmallVec<[SymbolId; 4]> =
            self.terms.iter().flat_map(|(monomial, _)| monomial.0.iter().copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Number of terms.
    pub(crate) fn term_count(&self) -> usize {
        self.terms.len()
    }

    /// Most symbols in one term.
    pub(crate) fn degree(&self) -> usize {
        self.terms.first().map_or(0, |(monomial, _)| monomial.0.len())
    }

    fn from_terms(mut terms: SmallVec<[(Monomial, i64); 2]>) -> Dim {
        terms.sort_by(|a, b| a.0.cmp(&b.0));
        let mut merged: SmallVec<[(Monomial, i64); 2]> = SmallVec::new();
        for (monomial, value) in terms {
            match merged.last_mut() {
                Some(last) if last.0 == monomial => last.1 = last.1.saturating_add(value),
                _ => merged.push((monomial, value)),
            }
        }
        merged.retain(|term| term.1 != 0);
        Dim { terms: merged }
    }

    /// `self / divisor` if the division leaves no remainder for every value of the symbols.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        let (lead, coefficient) = divisor.terms.first()?;
        let mut rest = self.clone();
        let mut quotient = SmallVec::new();
        while let Some((monomial, value)) = rest.terms.first().cloned() {
            if value.checked_rem(*coefficient)? != 0 {
                return None;
            }
            let term = (monomial.over(lead)?, value.checked_div(*coefficient)?);
            let next = &rest - &(divisor * &Dim { terms: smallvec![term.clone()] });
            // Saturation could keep the leading term alive; the graded order then no longer falls.
            if next.terms.first().is_some_and(|(m, _)| *m <= monomial) {
                return None;
            }
            quotient.push(term);
            rest = next;
        }
        Some(Dim::from_terms(quotient))
    }

    /// The value under `bindings`; `None` if a symbol is unbound or the value leaves i64.
    pub fn eval(&self, bindings: &Bindings) -> Option<i64> {
        let mut total: i64 = 0;
        for (monomial, coefficient) in &self.terms {
            let mut term = *coefficient;
            for symbol in &monomial.0 {
                term = term.checked_mul(i64::try_from(bindings.get(*symbol)?).ok()?)?;
            }
            total = total.checked_add(term)?;
        }
        Some(total)
    }

    /// The value as a size: `None` also when it is negative.
    pub fn eval_size(&self, bindings: &Bindings) -> Option<u64> {
        u64::try_from(self.eval(bindings)?).ok()
    }

    /// Bounds by interval arithmetic over the symbols' ranges: every value lies within them, but they
    /// need not be attained.
    pub fn bounds(&self, symbols: &SymbolTable) -> (i64, i64) {
        let (mut low, mut high) = (0i64, 0i64);
        for (monomial, coefficient) in &self.terms {
            let (mut min, mut max) = (1i64, 1i64);
            for symbol in &monomial.0 {
                let (a, b) = symbols.info(*symbol).map_or((0, i64::MAX), |info| {
                    let clamp = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                    (clamp(info.min), clamp(info.max))
                });
                min = min.saturating_mul(a);
                max = max.saturating_mul(b);
            }
            let (a, b) = (min.saturating_mul(*coefficient), max.saturating_mul(*coefficient));
            low = low.saturating_add(a.min(b));
            high = high.saturating_add(a.max(b));
        }
        (low, high)
    }

    /// True if the value is at least `least` for every value of the symbols.
    pub fn at_least(&self, least: i64, symbols: &SymbolTable) -> bool {
        self.bounds(symbols).0 >= least
    }

    /// The largest value over the symbols' ranges (an upper bound).
    pub fn max(&self, symbols: &SymbolTable) -> i64 {
        self.bounds(symbols).1
    }

    /// Writes with the symbols' names: `T`, `4*S + 1`.
    pub fn display<'a>(&'a self, symbols: &'a SymbolTable) -> DisplayDim<'a> {
        DisplayDim { dim: self, symbols, aliases: true }
    }

    /// Writes without aliases, as a definition's right-hand side must be.
    pub fn display_expanded<'a>(&'a self, symbols: &'a SymbolTable) -> DisplayDim<'a> {
        DisplayDim { dim: self, symbols, aliases: false }
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        let terms = if value == 0 {
            SmallVec::new()
        } else {
            smallvec![(Monomial(SmallVec::new()), value)]
        };
        Dim { terms }
    }
}

impl From<i32> for Dim {
    fn from(value: i32) -> Dim {
        Dim::from(i64::from(value))
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Dim {
        Dim::from(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Add for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        Dim::from_terms(self.terms.iter().chain(&other.terms).cloned().collect())
    }
}

impl Sub for &Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        self + &(&Dim::from(-1) * other)
    }
}

impl Mul for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        let mut terms = SmallVec::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                terms.push((a.times(b), x.saturating_mul(*y)));
            }
        }
        Dim::from_terms(terms)
    }
}

impl Mul<i64> for &Dim {
    type Output = Dim;
    fn mul(self, other: i64) -> Dim {
        self * &Dim::from(other)
    }
}

impl Add<i64> for &Dim {
    type Output = Dim;
    fn add(self, other: i64) -> Dim {
        self + &Dim::from(other)
    }
}

/// The product of sizes; 1 for none.
impl<'a> std::iter::Product<&'a Dim> for Dim {
    fn product<I: Iterator<Item = &'a Dim>>(dims: I) -> Dim {
        dims.fold(Dim::one(), |product, dim| &product * dim)
    }
}

/// A dim with the names of its symbols.
pub struct DisplayDim<'a> {
    dim: &'a Dim,
    symbols: &'a SymbolTable,
    aliases: bool,
}

impl fmt::Display for DisplayDim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.dim.as_const() {
            return write!(f, "{value}");
        }
        if let (true, Some(name)) = (self.aliases, self.symbols.alias_of(self.dim)) {
            return f.write_str(name);
        }
        for (index, (monomial, coefficient)) in self.dim.terms.iter().enumerate() {
            match (index, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let magnitude = coefficient.unsigned_abs();
            if magnitude != 1 || monomial.0.is_empty() {
                write!(f, "{magnitude}")?;
            }
            for (position, symbol) in monomial.0.iter().enumerate() {
                if position > 0 || magnitude != 1 {
                    f.write_str("*")?;
                }
                match self.symbols.info(*symbol) {
                    Some(info) => f.write_str(&info.name)?,
                    None => write!(f, "?{}", symbol.index())?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (SymbolTable, Dim, Dim, Dim) {
        let mut symbols = SymbolTable::default();
        let b = Dim::symbol(symbols.declare("B", 1, 64).unwrap());
        let s = Dim::symbol(symbols.declare("S", 1, 128).unwrap());
        let p = Dim::symbol(symbols.declare("P", 0, 1000).unwrap());
        symbols.define("T", &p + &s).unwrap();
        (symbols, b, s, p)
    }

    #[test]
    fn equal_polynomials_are_equal_values() {
        let (_, b, s, p) = table();
        let t = &p + &s;
        assert_eq!(&b * &t, &(&s * &b) + &(&p * &b));
        assert_eq!(&(&t - &p) - &s, Dim::zero());
        assert_ne!(&b * &t, &b * &s);
    }

    #[test]
    fn division_is_exact_or_refused() {
        let (_, b, s, p) = table();
        let t = &p + &s;
        assert_eq!((&b * &t).exact_div(&t), Some(b.clone()));
        assert_eq!((&(&b * &t) * 12).exact_div(&(&t * 4)), Some(&b * 3));
        assert_eq!((&(&b * &t) + 1).exact_div(&t), None);
        assert_eq!((&s * 3).exact_div(&Dim::from(2)), None);
        assert_eq!(s.exact_div(&Dim::zero()), None);
        assert_eq!((&s * i64::MIN).exact_div(&Dim::from(-1)), None);
        assert_eq!(Dim::from(i64::MAX).exact_div(&(&s + 1)), None);
    }

    #[test]
    fn bounds_hold_and_names_print() {
        let (symbols, b, s, p) = table();
        assert_eq!((&p + &s).bounds(&symbols), (1, 1128));
        assert_eq!((&Dim::from(7) - &b).bounds(&symbols), (-57, 6));
        assert_eq!((&p + &s).display(&symbols).to_string(), "T");
        assert_eq!((&p + &s).display_expanded(&symbols).to_string(), "S + P");
        let mixed = &(&(&b * &s) * 3) - &Dim::from(2);
        assert_eq!(mixed.display(&symbols).to_string(), "3*B*S - 2");
    }

    #[test]
    fn evaluation_needs_every_symbol_and_does_not_overflow() {
        let (symbols, b, s, _) = table();
        let mut bindings = Bindings::new();
        bindings.set(symbols.id("B").unwrap(), 3);
        assert_eq!((&b * &s).eval(&bindings), None);
        bindings.set(symbols.id("S").unwrap(), 5);
        assert_eq!((&(&b * &s) + 1).eval(&bindings), Some(16));
        bindings.set(symbols.id("S").unwrap(), u64::MAX);
        assert_eq!((&b * &s).eval(&bindings), None);
    }
}
