//! Files of functions that generated expressions call.

use std::collections::BTreeSet;

/// A file of functions. Files come in this order; each calls only functions of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Library {
    WideProduct,
    Int32,
    Int64,
    Turn,
    Radians,
    Exponential,
    Real,
}

impl Library {
    fn text(self) -> &'static str {
        match self {
            Library::WideProduct => {
                include_str!("../../../../../../shaders/library/wide_product.wgsl")
            }
            Library::Int32 => include_str!("../../../../../../shaders/library/int32.wgsl"),
            Library::Int64 => include_str!("../../../../../../shaders/library/int64.wgsl"),
            Library::Turn => include_str!("../../../../../../shaders/library/turn.wgsl"),
            Library::Radians => include_str!("../../../../../../shaders/library/radians.wgsl"),
            Library::Exponential => {
                include_str!("../../../../../../shaders/library/exponential.wgsl")
            }
            Library::Real => include_str!("../../../../../../shaders/library/real.wgsl"),
        }
    }

    /// What it calls.
    fn needs(self) -> &'static [Library] {
        match self {
            Library::Radians => &[Library::WideProduct, Library::Turn],
            Library::Real => &[Library::Exponential],
            Library::WideProduct
            | Library::Int32
            | Library::Int64
            | Library::Turn
            | Library::Exponential => &[],
        }
    }
}

/// The files that some functions need.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    used: BTreeSet<Library>,
}

impl Libraries {
    pub(super) fn add(&mut self, library: Library) {
        self.used.insert(library);
        self.used.extend(library.needs());
    }

    pub(super) fn text(&self) -> String {
        self.used.iter().flat_map(|library| [library.text(), "\n"]).collect()
    }
}
