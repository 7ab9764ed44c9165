//! What goes wrong in a run.

use std::fmt;

use super::memory::Place;

/// A breach of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    /// Of a race or a stale read: where.
    pub(crate) place: Option<Place>,
}

impl Fault {
    pub(crate) fn at(place: Place, what: String) -> Fault {
        Fault { what, place: Some(place) }
    }
}

impl From<String> for Fault {
    fn from(what: String) -> Fault {
        Fault { what, place: None }
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Fault {
        Fault::from(what.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
