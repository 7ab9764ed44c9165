//! Typed access to the keys of a config object that collects every problem.

use serde_json::{Map, Value};

use crate::ConfigProblem;

/// Longest value that an error message repeats, in characters.
const SHOWN: usize = 80;

/// A config object being read. A key with the value `null` counts as absent.
pub(crate) struct ConfigKeys<'a> {
    object: &'a Map<String, Value>,
    /// Put before key names in problems: empty, or `name.` of the enclosing object.
    prefix: String,
    missing: Vec<String>,
    problems: Vec<ConfigProblem>,
}

impl<'a> ConfigKeys<'a> {
    pub(crate) fn new(object: &'a Map<String, Value>) -> Self {
        Self { object, prefix: String::new(), missing: Vec::new(), problems: Vec::new() }
    }

    /// A reader of an object inside this one; give it back with [`ConfigKeys::absorb`].
    pub(crate) fn nested(&self, key: &str, object: &'a Map<String, Value>) -> Self {
        Self { prefix: format!("{}{key}.", self.prefix), ..Self::new(object) }
    }

    pub(crate) fn absorb(&mut self, nested: ConfigKeys<'_>) {
        self.missing.extend(nested.missing);
        self.problems.extend(nested.problems);
    }

    /// Succeeds when no problem was found.
    pub(crate) fn finish(mut self) -> Result<(), Vec<ConfigProblem>> {
        if !self.missing.is_empty() {
            self.problems.insert(0, ConfigProblem::Missing { keys: self.missing });
        }
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    /// Whether every key read so far was there and usable.
    pub(crate) fn sound(&self) -> bool {
        self.missing.is_empty() && self.problems.is_empty()
    }

    pub(crate) fn present(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn missing(&mut self, key: &str) {
        self.missing.push(format!("{}{key}", self.prefix));
    }

    pub(crate) fn invalid(&mut self, key: &str, found: String, expected: impl Into<String>) {
        let key = format!("{}{key}", self.prefix);
        self.problems.push(ConfigProblem::Invalid { key, found, expected: expected.into() });
    }

    pub(crate) fn unsupported(&mut self, key: &str, found: String, supported: impl Into<String>) {
        let key = format!("{}{key}", self.prefix);
        let supported = supported.into();
        self.problems.push(ConfigProblem::Unsupported { key, found, supported });
    }

    /// An optional integer from 1 to `max`.
    pub(crate) fn size(&mut self, key: &str, max: usize) -> Option<usize> {
        self.integer(key, 1, max)
    }

    /// A required integer from 1 to `max`; a problem is recorded where it is not, and 1 given.
    pub(crate) fn required_size(&mut self, key: &str, max: usize) -> usize {
        if self.present(key).is_none() {
            self.missing(key);
        }
        self.size(key, max).unwrap_or(1)
    }

    /// An optional integer from `min` to `max`.
    pub(crate) fn integer(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let value = self.present(key)?;
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        match number {
            Some(n) if (min..=max).contains(&n) => Some(n),
            _ => {
                self.invalid(key, shown(value), format!("an integer from {min} to {max}"));
                None
            }
        }
    }

    /// An optional finite number above 0.
    pub(crate) fn positive(&mut self, key: &str) -> Option<f64> {
        self.number(key, "a number above 0", |x| x > 0.0)
    }

    /// An optional finite number that `accepts` likes.
    pub(crate) fn number(
        &mut self,
        key: &str,
        expected: &str,
        accepts: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let value = self.present(key)?;
        match value.as_f64() {
            Some(x) if x.is_finite() && accepts(x) => Some(x),
            _ => {
                self.invalid(key, shown(value), expected);
                None
            }
        }
    }

    /// An optional boolean.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.present(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.invalid(key, shown(value), "true or false");
        }
        flag
    }

    /// An optional string.
    pub(crate) fn text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.present(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.invalid(key, shown(value), "a string");
        }
        text
    }

    /// An optional token id.
    pub(crate) fn token_id(&mut self, key: &str) -> Option<u32> {
        let value = self.present(key)?;
        let id = token_id(value);
        if id.is_none() {
            self.invalid(key, shown(value), "a token id");
        }
        id
    }

    /// No, one or several token ids.
    pub(crate) fn token_ids(&mut self, key: &str) -> Vec<u32> {
        let Some(value) = self.present(key) else { return Vec::new() };
        let ids = match value {
            Value::Array(ids) => ids.iter().map(token_id).collect::<Option<Vec<u32>>>(),
            one => token_id(one).map(|id| vec![id]),
        };
        if ids.is_none() {
            self.invalid(key, shown(value), "a token id or a list of token ids");
        }
        ids.unwrap_or_default()
    }
}

fn token_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The value as JSON, shortened for an error message.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
