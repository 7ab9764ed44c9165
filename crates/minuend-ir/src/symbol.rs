//! Named sizes that are known only when a graph runs.

use std::sync::Arc;

use crate::dim::Dim;

/// An interned name.
pub type Name = Arc<str>;

/// A symbol of one graph's [`SymbolTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub(crate) u16);

impl SymbolId {
    /// Position in the table, in order of declaration.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A symbol's name and what is known about its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolInfo {
    /// Name in the text format: `B`, `S`, `P`.
    pub name: Name,
    /// Smallest value, inclusive.
    pub min: u64,
    /// Largest value, inclusive. Sizes arenas and picks kernel buckets.
    pub max: u64,
    /// Every value is a multiple of this; 1 when nothing is known.
    pub multiple_of: u64,
}

/// The symbols of a graph and the names given to expressions over them (`T = P + S`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolTable {
    symbols: Vec<SymbolInfo>,
    aliases: Vec<(Name, Dim)>,
}

/// Why a symbol or alias was not declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// The name is a symbol or alias already.
    #[error("symbol {0} is declared twice")]
    Duplicate(String),
    /// The range holds no value.
    #[error("symbol {name} has the empty range {min}..={max}")]
    EmptyRange {
        /// The symbol.
        name: String,
        /// Its lower bound.
        min: u64,
        /// Its upper bound.
        max: u64,
    },
    /// The largest value exceeds [`SymbolTable::LIMIT`].
    #[error("symbol {name} has maximum {max}, at most {} is supported", SymbolTable::LIMIT)]
    TooLarge {
        /// The symbol.
        name: String,
        /// Its upper bound.
        max: u64,
    },
    /// More than 2^16 - 1 symbols.
    #[error("more than {} symbols in one graph", u16::MAX)]
    TooMany,
    /// `multiple_of` is zero.
    #[error("symbol {0} is declared a multiple of 0")]
    ZeroMultiple(String),
}

impl SymbolTable {
    /// Largest value that any symbol may take.
    pub const LIMIT: u64 = 1 << 40;

    /// Declares a symbol with values `min..=max`.
    pub fn declare(&mut self, name: &str, min: u64, max: u64) -> Result<SymbolId, SymbolError> {
        self.declare_multiple(name, min, max, 1)
    }

    /// Declares a symbol whose values are multiples of `multiple_of`.
    pub fn declare_multiple(
        &mut self,
        name: &str,
        min: u64,
        max: u64,
        multiple_of: u64,
    ) -> Result<SymbolId, SymbolError> {
        self.check_new(name)?;
        if min > max {
            return Err(SymbolError::EmptyRange { name: name.into(), min, max });
        }
        if max > Self::LIMIT {
            return Err(SymbolError::TooLarge { name: name.into(), max });
        }
        if multiple_of == 0 {
            return Err(SymbolError::ZeroMultiple(name.into()));
        }
        let index = u16::try_from(self.symbols.len()).map_err(|_| SymbolError::TooMany)?;
        self.symbols.push(SymbolInfo { name: name.into(), min, max, multiple_of });
        Ok(SymbolId(index))
    }

    /// Names an expression; types that are exactly this expression print as the name.
    pub fn define(&mut self, name: &str, value: Dim) -> Result<(), SymbolError> {
        self.check_new(name)?;
        self.aliases.push((name.into(), value));
        Ok(())
    }

    fn check_new(&self, name: &str) -> Result<(), SymbolError> {
        match self.lookup(name) {
            Some(_) => Err(SymbolError::Duplicate(name.into())),
            None => Ok(()),
        }
    }

    /// The symbol or the expression of that name.
    pub fn lookup(&self, name: &str) -> Option<Dim> {
        self.id(name).map(Dim::symbol).or_else(|| {
            self.aliases.iter().find(|(alias, _)| &**alias == name).map(|(_, dim)| dim.clone())
        })
    }

    /// The symbol of that name.
    pub fn id(&self, name: &str) -> Option<SymbolId> {
        let index = self.symbols.iter().position(|info| &*info.name == name)?;
        u16::try_from(index).ok().map(SymbolId)
    }

    /// What is known about a symbol; `None` for a symbol of another graph.
    pub fn info(&self, id: SymbolId) -> Option<&SymbolInfo> {
        self.symbols.get(id.index())
    }

    /// The alias that stands for exactly this expression.
    pub fn alias_of(&self, dim: &Dim) -> Option<&Name> {
        self.aliases.iter().find(|(_, value)| value == dim).map(|(name, _)| name)
    }

    /// Every symbol, in order of declaration.
    pub fn symbols(&self) -> impl Iterator<Item = (SymbolId, &SymbolInfo)> {
        (0..=u16::MAX).map(SymbolId).zip(&self.symbols)
    }

    /// Every alias, in order of definition.
    pub fn aliases(&self) -> impl Iterator<Item = (&Name, &Dim)> {
        self.aliases.iter().map(|(name, dim)| (name, dim))
    }
}

/// Values of symbols in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bindings(Vec<Option<u64>>);

impl Bindings {
    /// No symbol bound.
    pub fn new() -> Bindings {
        Bindings::default()
    }

    /// Binds (or rebinds) one symbol.
    pub fn set(&mut self, id: SymbolId, value: u64) {
        if self.0.len() <= id.index() {
            self.0.resize(id.index() + 1, None);
        }
        if let Some(slot) = self.0.get_mut(id.index()) {
            *slot = Some(value);
        }
    }

    /// The symbol's value, if bound.
    pub fn get(&self, id: SymbolId) -> Option<u64> {
        self.0.get(id.index()).copied().flatten()
    }
}
