//! Graphs that are language models without a cache: they are given all tokens at each step.

use minuend_ir::{DType, Dim};
use minuend_runtime::HostTensor;

use crate::error::{Error, RequestError};
use crate::generate::{Continue, GenerateOptions, Generation, generate_by};
use crate::signature::{NamedType, Signature, floats};
use crate::tensor_model::TensorModel;

/// Filled with ones.
const MASK: &str = "attention_mask";
/// Filled with 0, 1, 2 ...
const POSITIONS: &str = "position_ids";
/// Of several outputs that could be it.
const LOGITS: &str = "logits";

/// A graph that continues a text. It has one input of token ids, integers `[batch, tokens]`; further inputs of
/// integers may be `attention_mask`, which is ones, and `position_ids`, which count from 0. One output of
/// floats is `[batch, tokens, vocabulary]` or `[batch, vocabulary]`.
pub struct OnnxLanguageModel<'m> {
    model: &'m mut dyn TensorModel,
    roles: Roles,
}

/// What inputs and outputs are for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Roles {
    /// Index of the input of token ids.
    ids: usize,
    /// Index of the output of logits.
    logits: usize,
    vocab_size: usize,
    /// Most tokens that the graph takes.
    most_tokens: usize,
}

impl<'m> OnnxLanguageModel<'m> {
    /// Takes a graph as a language model.
    ///
    /// # Errors
    /// [`RequestError::NotALanguageModel`] with every condition that does not hold.
    pub fn new(model: &'m mut dyn TensorModel) -> Result<OnnxLanguageModel<'m>, RequestError> {
        let roles = Roles::of(model.signature())
            .map_err(|problems| RequestError::NotALanguageModel { problems })?;
        Ok(OnnxLanguageModel { model, roles })
    }

    /// Size of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.roles.vocab_size
    }

    /// Most tokens of a text.
    pub fn most_tokens(&self) -> usize {
        self.roles.most_tokens
    }

    /// Logits of the token behind some tokens.
    ///
    /// # Errors
    /// [`Error::Request`] for no tokens, too many, or one that is not in the vocabulary; [`Error::Inputs`]
    /// for fewer than the graph takes; whatever the run gives.
    pub fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        self.check(tokens)?;
        let signature = self.model.signature();
        let inputs = signature.inputs.iter().enumerate();
        let inputs = inputs.map(|(index, input)| {
            let values: Vec<i64> = match input.name.as_str() {
                _ if index == self.roles.ids => tokens.iter().copied().map(i64::from).collect(),
                POSITIONS => (0i64..).take(tokens.len()).collect(),
                _ => vec![1; tokens.len()],
            };
            let shape = [1, tokens.len()];
            Some((input.name.clone(), integers_as(input.ty.dtype, &shape, &values)?))
        });
        let inputs: Option<Vec<_>> = inputs.collect();
        // All are integers: that was one of the conditions.
        let outputs = self.model.run(inputs.unwrap_or_default())?;
        let logits = outputs.get(self.roles.logits);
        let last = logits.and_then(|(_, logits)| last_row(logits, self.roles.vocab_size));
        Ok(last.unwrap_or_default())
    }

    fn check(&self, tokens: &[u32]) -> Result<(), RequestError> {
        let Roles { vocab_size, most_tokens: limit, .. } = self.roles;
        if tokens.is_empty() {
            return Err(RequestError::EmptyPrompt);
        }
        if tokens.len() > limit {
            return Err(RequestError::TooManyTokens { tokens: tokens.len(), limit });
        }
        let outside =
            tokens.iter().find(|id| usize::try_from(**id).is_ok_and(|id| id >= vocab_size));
        outside.map_or(Ok(()), |id| Err(RequestError::TokenOutOfRange { id: *id, vocab_size }))
    }

    /// Continues a prompt, as [`generate`](crate::generate()) does; each step is given all tokens so far.
    ///
    /// # Errors
    /// As [`OnnxLanguageModel::next_logits`], and [`Error::Request`] for sampling settings out of range.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_token: &mut dyn FnMut(u32) -> Continue,
    ) -> Result<Generation, Error> {
        let room = self.roles.most_tokens.saturating_sub(prompt.len());
        generate_by(room, options, on_token, &mut |most, sampler, on_tokens| {
            let mut tokens = prompt.to_vec();
            for _ in 0..most {
                let token = sampler.choose(&self.next_logits(&tokens)?)?;
                if on_tokens(&[token]) == Continue::No {
                    break;
                }
                tokens.push(token);
            }
            Ok(())
        })
    }
}

/// The last so many values of a tensor of floats.
fn last_row(tensor: &HostTensor, count: usize) -> Option<Vec<f32>> {
    let bytes = count.checked_mul(usize::try_from(tensor.dtype().bytes()).ok()?)?;
    let start = tensor.bytes().len().checked_sub(bytes)?;
    let row = tensor.bytes().get(start..)?.to_vec();
    floats(&HostTensor::from_bytes(tensor.dtype(), &[count], row)?)
}

/// Integers or truth values of that type; `None` for floats.
fn integers_as(dtype: DType, shape: &[usize], values: &[i64]) -> Option<HostTensor> {
    let bytes: Vec<u8> = match dtype {
        DType::I64 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::I32 => {
            let narrow = |value: &i64| i32::try_from(*value).ok().map(i32::to_le_bytes);
            values.iter().map(narrow).collect::<Option<Vec<_>>>()?.concat()
        }
        DType::Bool => values.iter().map(|value| u8::from(*value != 0)).collect(),
        DType::F32 | DType::F16 | DType::Bf16 => return None,
    };
    HostTensor::from_bytes(dtype, shape, bytes)
}

impl Roles {
    fn of(signature: &Signature) -> Result<Roles, Vec<String>> {
        let text = |named: &NamedType| {
            format!("{} is {}", named.name, named.ty.display(&signature.symbols))
        };
        let mut problems = Vec::new();
        let mut candidates = Vec::new();
        for (index, input) in signature.inputs.iter().enumerate() {
            let is_filled = [MASK, POSITIONS].contains(&input.name.as_str());
            let is_mask = input.name == MASK && input.ty.dtype == DType::Bool;
            if !(input.ty.dtype.is_int() || is_mask) || input.ty.rank() != 2 {
                let input = text(input);
                problems.push(format!("input {input}, expected integers [batch, tokens]"));
            } else if !is_filled {
                candidates.push((index, input));
            }
        }
        let ids = match candidates.as_slice() {
            [(index, ids)] => Some((*index, *ids)),
            [] => {
                if problems.is_empty() {
                    problems.push("it has no input of token ids [batch, tokens]".to_string());
                }
                None
            }
            several => {
                let several: Vec<&str> = several.iter().map(|(_, ids)| ids.name.as_str()).collect();
                problems.push(format!(
                    "inputs {} are integers [batch, tokens], expected one, and beside it {MASK} or \
                     {POSITIONS} alone",
                    several.join(", ")
                ));
                None
            }
        };
        let most_tokens = ids.and_then(|(_, ids)| most_tokens(ids, signature));
        if let (Some((_, ids)), None) = (ids, most_tokens) {
            problems.push(format!(
                "input {}, expected a batch of 1 or of any size, and any number of tokens",
                text(ids)
            ));
        }
        let logits = logits(signature, ids.map(|(_, ids)| ids));
        if logits.is_none() {
            let outputs: Vec<String> = signature.outputs.iter().map(text).collect();
            problems.push(format!(
                "output {}, expected floats [batch, tokens, vocabulary] or [batch, vocabulary]",
                outputs.join(", ")
            ));
        }
        match (ids, most_tokens, logits) {
            (Some((ids, _)), Some(most_tokens), Some((logits, vocab_size)))
                if problems.is_empty() =>
            {
                Ok(Roles { ids, logits, vocab_size, most_tokens })
            }
            _ => Err(problems),
        }
    }
}

/// The largest number of tokens, if one sequence of any number can be given.
fn most_tokens(ids: &NamedType, signature: &Signature) -> Option<usize> {
    let [batch, tokens] = ids.ty.shape.as_slice() else { return None };
    let range = |dim: &Dim| dim.bounds(&signature.symbols);
    let takes_one = range(batch).0 <= 1 && range(batch).1 >= 1;
    let is_open = matches!(tokens.symbols()[..], [symbol] if *tokens == Dim::symbol(symbol));
    (takes_one && is_open).then(|| usize::try_from(range(tokens).1).ok()).flatten()
}

/// Index of the output of logits, and the size of the vocabulary.
fn logits(signature: &Signature, ids: Option<&NamedType>) -> Option<(usize, usize)> {
    let vocabulary = |output: &NamedType| {
        if !output.ty.dtype.is_float() {
            return None;
        }
        let fits = |dim: &Dim, axis: usize| {
            ids.is_none_or(|ids| ids.ty.shape.get(axis).is_some_and(|own| own == dim) || dim.is(1))
        };
        let size = match output.ty.shape.as_slice() {
            [batch, tokens, size] if fits(batch, 0) && fits(tokens, 1) => size,
            [batch, size] if fits(batch, 0) => size,
            _ => return None,
        };
        size.as_const().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0)
    };
    let outputs = signature.outputs.iter().enumerate();
    let mut fitting =
        outputs.filter_map(|(index, output)| Some((index, vocabulary(output)?, output)));
    let named = fitting.clone().find(|(_, _, output)| output.name == LOGITS);
    named.or_else(|| fitting.next()).map(|(index, size, _)| (index, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::{SymbolTable, TensorType};

    /// A signature from words like `ids i64 B S` and `logits f32 B S 9`.
    fn roles(inputs: &[&str], outputs: &[&str]) -> Result<Roles, String> {
        let mut symbols = SymbolTable::default();
        let mut named = |text: &&str| {
            let mut words = text.split_whitespace();
            let name = words.next().unwrap().to_string();
            let dtype = DType::from_name(words.next().unwrap()).unwrap();
            let size = |word: &str| match word.parse::<i64>() {
                Ok(size) => Dim::from(size),
                Err(_) => symbols
                    .lookup(word)
                    .unwrap_or_else(|| Dim::symbol(symbols.declare(word, 1, 64).unwrap())),
            };
            NamedType { name, ty: TensorType::new(dtype, words.map(size).collect::<Vec<_>>()) }
        };
        let inputs = inputs.iter().map(&mut named).collect();
        let outputs = outputs.iter().map(&mut named).collect();
        Roles::of(&Signature { inputs, outputs, symbols }).map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn graphs_of_tokens_are_language_models() {
        let all = ["attention_mask bool B S", "x i32 B S", "position_ids i64 B S"];
        let found = roles(&all, &["hidden f32 B S 4", "logits f16 B S 9"]).unwrap();
        assert_eq!(found, Roles { ids: 1, logits: 1, vocab_size: 9, most_tokens: 64 });
        let found = roles(&["ids i64 1 S"], &["n i64 1 S", "last f32 1 9"]).unwrap();
        assert_eq!(found, Roles { ids: 0, logits: 1, vocab_size: 9, most_tokens: 64 });
    }

    #[test]
    fn the_condition_that_fails_is_named() {
        let fails = |inputs: &[&str], outputs: &[&str], parts: &[&str]| {
            let text = roles(inputs, outputs).unwrap_err();
            assert_eq!(text.lines().count(), parts.len(), "{text}");
            for (line, part) in text.lines().zip(parts) {
                assert!(line.contains(part), "{part} not in: {text}");
            }
        };
        let (ids, logits) = ("ids i64 B S", "logits f32 B S 9");
        fails(&[], &[logits], &["no input of token ids"]);
        fails(
            &[ids, "past f32 B 2 P 4"],
            &[logits],
            &["past is f32[B, 2, P, 4], expected integers"],
        );
        fails(&[ids, "attention_mask f32 B S"], &[logits], &["attention_mask is f32[B, S]"]);
        fails(&[ids, "types i64 B S"], &[logits], &["inputs ids, types are integers"]);
        fails(&["ids i64 B 16"], &["y f32 B 16 9"], &["ids is i64[B, 16], expected a batch"]);
        fails(&["ids i64 2 S"], &["y f32 2 S 9"], &["ids is i64[2, S], expected a batch of 1"]);
        fails(&[ids], &["y f32 B S V"], &["output y is f32[B, S, V], expected floats"]);
        fails(&["x f32 B S 4"], &["y i64 B S"], &["input x is", "output y is i64[B, S]"]);
    }
}
