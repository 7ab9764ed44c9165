//! The known word that an unknown one was probably meant to be.

/// Longer words are not compared: no mnemonic is like them.
const MAX_LENGTH: usize = 32;

/// The candidate of least edit distance, if at most a third of the word's letters differ.
pub(super) fn nearest(
    word: &str,
    candidates: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    if word.len() > MAX_LENGTH {
        return None;
    }
    let (distance, best) =
        candidates.map(|name| (edit_distance(word, name), name)).min_by_key(|(d, _)| *d)?;
    (distance <= word.len().div_ceil(3)).then_some(best)
}

/// Fewest insertions, removals and replacements of bytes that turn one word into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *above;
            left = replaced.min(left + 1).min(diagonal + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(edit_distance("", "add"), 3);
        assert_eq!(edit_distance("softmax", "softmax"), 0);
        assert_eq!(edit_distance("sotfmax", "softmax"), 2);
        assert_eq!(edit_distance("diff_atention", "diff_attention"), 1);
    }

    #[test]
    fn far_words_have_no_nearest() {
        let words = || ["matmul", "softmax"].into_iter();
        assert_eq!(nearest("matmull", words()), Some("matmul"));
        assert_eq!(nearest("convolution", words()), None);
        assert_eq!(nearest(&"m".repeat(1000), words()), None);
    }
}
