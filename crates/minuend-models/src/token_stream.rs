//! Text of a growing sequence of token ids, in pieces that are safe to print.

use crate::{ModelError, Tokenizer};

/// Length of the window of ids at which its older part is dropped.
const WINDOW: usize = 32;
/// Ids kept as context then: enough that a character cut at its start cannot reach its end.
const CONTEXT: usize = 16;
/// Most replacement characters at the end that further ids may turn into one character: a UTF-8
/// character has at most four bytes, of which some decoders show each missing one.
const UNDECIDED: usize = 3;

/// Decodes ids one at a time; made by [`Tokenizer::stream`].
///
/// The pieces put together are the text of all ids. No piece ends inside a character, and spaces
/// between words are kept although many tokenizers drop them at the start of a text: each id is
/// decoded together with those before it.
#[derive(Debug, Clone)]
pub struct TokenStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The last ids that have text.
    window: Vec<u32>,
    /// Start of the text of `window` that was given out already.
    given: String,
}

impl<'a> TokenStream<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, window: Vec::new(), given: String::new() }
    }

    /// Adds an id; gives the text that became complete, if any.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, ModelError> {
        if !self.tokenizer.has_text(id) {
            return Ok(None);
        }
        self.window.push(id);
        let mut text = self.tokenizer.decode(&self.window)?;
        if !text.starts_with(&self.given) {
            // Decoders of byte tokens can revoke text when the bytes turn out to be invalid.
            self.window = vec![id];
            self.given.clear();
            text = self.tokenizer.decode(&self.window)?;
        }
        let complete = complete_prefix(&text);
        let piece = complete.strip_prefix(self.given.as_str()).unwrap_or_default().to_owned();
        if !piece.is_empty() {
            self.given = complete.to_owned();
        }
        if self.window.len() >= WINDOW {
            let undecided = text.len().saturating_sub(self.given.len());
            self.shrink(undecided)?;
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Gives the rest: an incomplete character at the end, as replacement characters.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn finish(self) -> Result<Option<String>, ModelError> {
        let text = self.tokenizer.decode(&self.window)?;
        let rest = text.strip_prefix(self.given.as_str()).unwrap_or_default();
        Ok(Some(rest.to_owned()).filter(|rest| !rest.is_empty()))
    }

    /// Keeps the last ids, of whose text the last `undecided` bytes were not given out.
    fn shrink(&mut self, undecided: usize) -> Result<(), ModelError> {
        self.window.drain(..self.window.len().saturating_sub(CONTEXT));
        let text = self.tokenizer.decode(&self.window)?;
        let given = text.len().saturating_sub(undecided);
        self.given = text.get(..given).unwrap_or_default().to_owned();
        Ok(())
    }
}

/// The text without the replacement characters at its end that may still change.
fn complete_prefix(text: &str) -> &str {
    let mut complete = text;
    for _ in 0..UNDECIDED {
        match complete.strip_suffix(char::REPLACEMENT_CHARACTER) {
            Some(shorter) => complete = shorter,
            None => break,
        }
    }
    complete
}
