//! Which keys a query sees.

use std::ops::Range;

/// An attention mask by position. With `S` query rows and `T` keys, query row `i` stands at
/// position `i + T - S`: the queries are the last `S` positions of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Every key.
    Full,
    /// Keys at or before the query's position.
    Causal,
    /// The given number of keys up to and including the query's position.
    SlidingWindow(usize),
}

impl Mask {
    /// The keys that query row `row` sees; both ends grow with `row`.
    pub(super) fn visible(self, row: usize, queries: usize, keys: usize) -> Range<usize> {
        let past = row.saturating_add(1).saturating_add(keys);
        let end = past.saturating_sub(queries).min(keys);
        match self {
            Self::Full => 0..keys,
            Self::Causal => 0..end,
            Self::SlidingWindow(window) => {
                let start = past.saturating_sub(queries.saturating_add(window));
                start.min(end)..end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(Mask::Full.visible(0, 5, 3), 0..3);
        assert_eq!(Mask::Causal.visible(0, 3, 3), 0..1);
        assert_eq!(Mask::Causal.visible(1, 2, 7), 0..7);
        assert_eq!(Mask::Causal.visible(1, 5, 3), 0..0);
        assert_eq!(Mask::SlidingWindow(2).visible(1, 2, 7), 5..7);
        assert_eq!(Mask::SlidingWindow(2).visible(0, 7, 7), 0..1);
        assert!(Mask::SlidingWindow(0).visible(3, 7, 7).is_empty());
        assert_eq!(Mask::SlidingWindow(usize::MAX).visible(3, 7, 7), 0..4);
        assert!(Mask::SlidingWindow(3).visible(0, 9, 2).is_empty());
    }
}
