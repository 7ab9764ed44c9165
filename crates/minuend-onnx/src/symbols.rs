//! Sizes that a file leaves open: names, ranges, and what the nodes demand of them.

use std::collections::BTreeMap;

use minuend_ir::{Bindings, Dim, SymbolId, SymbolTable};

use crate::proto::DimensionProto;

/// The largest value of a size that nothing bounds.
const MOST: u64 = 1 << 17;
/// The largest batch where sizes up to [`MOST`] are too many elements.
const MOST_BATCH: u64 = 1 << 10;
/// How often [`MOST`] may be halved: 512 are left.
const MOST_HALVED: u32 = 8;

/// The range of each symbol by name, as far as nodes narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    by_name: BTreeMap<String, (u64, u64)>,
    /// Steps by which sizes that nothing bounds are lower: that of batches, then halves of all.
    lowered: u32,
}

impl Ranges {
    fn of(&self, name: &str) -> (u64, u64) {
        let most = self.most(name);
        match self.by_name.get(name) {
            Some((min, max)) => (*min, (*max).min(most.max(*min))),
            None => first_range(name, most),
        }
    }

    /// The largest value of a size that nothing bounds. Scores of attention are a batch of squares of tokens
    /// for each head, and a tensor type has a limit on its elements.
    fn most(&self, name: &str) -> u64 {
        let most = MOST >> self.lowered.saturating_sub(1);
        let is_batch = self.lowered > 0 && name.to_ascii_lowercase().contains("batch");
        if is_batch { most.min(MOST_BATCH) } else { most }
    }

    /// Lowers the sizes that nothing bounds by a step; false if they are low already.
    pub(crate) fn lower(&mut self) -> bool {
        let is_possible = self.lowered <= MOST_HALVED;
        self.lowered += u32::from(is_possible);
        is_possible
    }

    /// Narrows the range so that `dim >= 0`, where one symbol decides that; false if it cannot be done.
    pub(crate) fn demand_at_least_zero(&mut self, dim: &Dim, symbols: &SymbolTable) -> bool {
        let Some((id, slope, constant)) = line(dim) else { return false };
        let Some(info) = symbols.info(id) else { return false };
        let (mut min, mut max) = self.of(&info.name);
        if slope < 0 {
            let most = slope.checked_neg().map(|slope| constant.div_euclid(slope));
            let Some(Ok(most)) = most.map(u64::try_from) else { return false };
            max = max.min(most);
        } else {
            let Some(least) = constant.div_euclid(slope).checked_neg() else { return false };
            min = min.max(u64::try_from(least).unwrap_or(0));
        }
        if min > max {
            return false;
        }
        self.by_name.insert(info.name.to_string(), (min, max));
        true
    }
}

/// `slope * symbol + constant`, if the size is that.
fn line(dim: &Dim) -> Option<(SymbolId, i64, i64)> {
    let symbols = dim.symbols();
    let [symbol] = symbols.as_slice() else { return None };
    let at = |value: u64| {
        let mut bindings = Bindings::new();
        bindings.set(*symbol, value);
        dim.eval(&bindings)
    };
    let constant = at(0)?;
    let slope = at(1)?.checked_sub(constant)?;
    let rebuilt = &(&Dim::symbol(*symbol) * slope) + constant;
    (slope != 0 && rebuilt == *dim).then_some((*symbol, slope, constant))
}

/// Sizes that count what came before may be 0.
fn first_range(name: &str, most: u64) -> (u64, u64) {
    let may_be_empty = name.to_ascii_lowercase().contains("past");
    (u64::from(!may_be_empty), most)
}

/// Declares what a dimension needs, and gives the size; `fallback` names one without a name.
pub(crate) fn size(
    dimension: &DimensionProto,
    fallback: &str,
    symbols: &mut SymbolTable,
    ranges: &Ranges,
) -> Result<Dim, String> {
    match dimension {
        DimensionProto { dim_value: Some(value), .. } => {
            if (0..=1 << 40).contains(value) {
                Ok(Dim::from(*value))
            } else {
                Err(format!("size {value}, expected 0 to 2^40"))
            }
        }
        DimensionProto { dim_param: Some(name), .. } if !name.trim().is_empty() => {
            sum(name.trim(), symbols, ranges)
        }
        _ => symbol(fallback, symbols, ranges),
    }
}

/// A name, or names and numbers with `+` between them, as exporters write `past + sequence`.
fn sum(text: &str, symbols: &mut SymbolTable, ranges: &Ranges) -> Result<Dim, String> {
    let is_name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    };
    let parts: Vec<&str> = text.split('+').map(str::trim).collect();
    if parts.len() == 1 || !parts.iter().all(|part| is_name(part)) {
        return symbol(text, symbols, ranges);
    }
    let mut total = Dim::zero();
    for part in parts {
        let term = match part.parse::<i64>() {
            Ok(number) => Dim::from(number),
            Err(_) => symbol(part, symbols, ranges)?,
        };
        total = &total + &term;
    }
    Ok(total)
}

/// The symbol of that name, in the spelling that text graphs allow.
fn symbol(name: &str, symbols: &mut SymbolTable, ranges: &Ranges) -> Result<Dim, String> {
    let mut plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        plain.insert(0, '_');
    }
    if let Some(known) = symbols.lookup(&plain) {
        return Ok(known);
    }
    let (min, max) = ranges.of(&plain);
    symbols.declare(&plain, min, max).map(Dim::symbol).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> DimensionProto {
        DimensionProto { dim_value: None, dim_param: Some(name.into()) }
    }

    #[test]
    fn names_are_made_plain_and_sums_are_read() {
        let (mut symbols, ranges) = (SymbolTable::default(), Ranges::default());
        let mut of = |name: &str| size(&named(name), "x_0", &mut symbols, &ranges).unwrap();
        let batch = of("batch");
        assert_eq!(of("batch"), batch);
        let past = of("past_sequence_length");
        let tokens = of("sequence_length");
        assert_eq!(of("past_sequence_length + sequence_length"), &past + &tokens);
        assert_eq!(of("sequence_length + 1"), &tokens + 1);
        assert_ne!(of("2*sequence_length"), tokens);
        assert_eq!(symbols.info(symbols.id("past_sequence_length").unwrap()).unwrap().min, 0);
        assert!(symbols.id("_2_sequence_length").is_some());
    }

    #[test]
    fn demands_narrow_the_range() {
        let (mut symbols, mut ranges) = (SymbolTable::default(), Ranges::default());
        let s = size(&named("S"), "", &mut symbols, &ranges).unwrap();
        assert!(ranges.demand_at_least_zero(&(&Dim::from(64) - &s), &symbols));
        assert!(ranges.demand_at_least_zero(&(&Dim::from(65) - &(&s * 2)), &symbols));
        assert!(ranges.demand_at_least_zero(&(&s + -2), &symbols));
        assert_eq!(ranges.of("S"), (2, 32));
        assert!(!ranges.demand_at_least_zero(&(&Dim::from(1) - &s), &symbols));
        let b = size(&named("B"), "", &mut symbols, &ranges).unwrap();
        assert!(!ranges.demand_at_least_zero(&(&b - &s), &symbols));
        assert!(!ranges.demand_at_least_zero(&(&Dim::from(9) - &(&s * &s)), &symbols));
    }

    #[test]
    fn batches_are_lowered_before_tokens() {
        let mut ranges = Ranges::default();
        let (symbols, mut table) = (&mut SymbolTable::default(), SymbolTable::default());
        let s = size(&named("seq"), "", symbols, &ranges).unwrap();
        assert!(ranges.demand_at_least_zero(&(&Dim::from(70_000) - &s), symbols));
        assert!(ranges.lower());
        assert_eq!((ranges.of("batch").1, ranges.of("n").1), (MOST_BATCH, MOST));
        assert_eq!(ranges.of("seq"), (1, 70_000));
        assert!(ranges.lower());
        assert_eq!((ranges.of("batch").1, ranges.of("n").1), (MOST_BATCH, MOST / 2));
        assert_eq!(ranges.of("seq"), (1, MOST / 2));
        assert!((0..MOST_HALVED).map(|_| ranges.lower()).any(|is_lower| !is_lower));
        assert!(size(&named("n"), "", &mut table, &ranges).is_ok());
    }
}
