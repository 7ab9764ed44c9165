//! `tokenizer.json`: text to token ids and back.

use std::path::Path;

use serde_json::Value;

use crate::bounded_read::{TOKENIZER_LIMIT, read_json};
use crate::tokenizer_check::{self, TokenizerProblem};
use crate::{ModelError, TokenStream};

/// The tokenizer of a checkpoint.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: String,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` for a model whose embedding has `vocab_size` rows.
    ///
    /// The keys `truncation`, `padding` and `model.dropout` are ignored: they are settings for
    /// training, and would cut, lengthen or randomise a prompt silently.
    ///
    /// # Errors
    /// When the file cannot be read, describes no tokenizer, or uses a stage that is not supported.
    pub fn from_file(path: &Path, vocab_size: usize) -> Result<Tokenizer, ModelError> {
        let value = read_json(path, TOKENIZER_LIMIT)?;
        Tokenizer::from_json(&path.display().to_string(), value, vocab_size)
    }

    pub(crate) fn from_json(
        label: &str,
        mut value: Value,
        vocab_size: usize,
    ) -> Result<Tokenizer, ModelError> {
        let refused = |problems| ModelError::TokenizerFile { path: label.to_owned(), problems };
        if let Value::Object(object) = &mut value {
            object.remove("truncation");
            object.remove("padding");
            if let Some(Value::Object(model)) = object.get_mut("model") {
                model.remove("dropout");
            }
        }
        tokenizer_check::check_stages(&value).map_err(refused)?;
        let added = tokenizer_check::added_token_ids(&value);
        let inner: tokenizers::Tokenizer = serde_json::from_value(value)
            .map_err(|source| ModelError::Json { path: label.to_owned(), source })?;
        // The tokenizers crate numbers added tokens itself and ignores the ids in the file.
        let moved: Vec<TokenizerProblem> =
            added
                .into_iter()
                .filter_map(|(token, expected)| {
                    let found = inner.token_to_id(&token);
                    (found.map(u64::from) != Some(expected))
                        .then_some(TokenizerProblem::AddedTokenId { token, found, expected })
                })
                .collect();
        if !moved.is_empty() {
            return Err(refused(moved));
        }
        Ok(Tokenizer { inner, path: label.to_owned(), vocab_size })
    }

    /// Token ids of a text, with the special tokens that the tokenizer adds around it. Every id is
    /// below the vocabulary size of the model.
    ///
    /// # Errors
    /// When the tokenizer refuses the text, or gives an id that the embedding does not have.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.inner.encode_fast(text, true).map_err(|e| self.failed(&e))?;
        let ids = encoding.get_ids();
        let outside =
            ids.iter().find(|&&id| usize::try_from(id).is_ok_and(|id| id >= self.vocab_size));
        match outside {
            Some(&id) => Err(ModelError::TokenOutsideVocabulary {
                path: self.path.clone(),
                id,
                vocab_size: self.vocab_size,
            }),
            None => Ok(ids.to_vec()),
        }
    }

    /// Text of token ids, without special tokens; ids that the tokenizer does not have give no text.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(ids, true).map_err(|e| self.failed(&e))
    }

    /// Decodes ids one at a time, as a model generates them.
    pub fn stream(&self) -> TokenStream<'_> {
        TokenStream::new(self)
    }

    /// Whether an id appears in decoded text: it is known and not special.
    pub(crate) fn has_text(&self, id: u32) -> bool {
        let special = self.inner.get_added_vocabulary();
        self.inner.id_to_token(id).is_some_and(|token| !special.is_special_token(&token))
    }

    fn failed(&self, error: &tokenizers::Error) -> ModelError {
        ModelError::Tokenizer { path: self.path.clone(), message: error.to_string() }
    }
}
