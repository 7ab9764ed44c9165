//! What a `tokenizer.json` may contain.
//!
//! The `tokenizers` crate trusts its input: some stages panic on parameters that its own trainers
//! never write. Only stages whose parameters are harmless, or are checked here, are let through.

use serde_json::Value;

/// Longest accepted regular expression, in bytes.
const PATTERN_LENGTH: usize = 1 << 14;
/// Largest accepted product of the decimal numbers in a regular expression. It bounds the product
/// of nested repetition counts, which the regular expression crate computes without a check.
const PATTERN_REPEATS: usize = 1_000_000_000;

/// One problem of a `tokenizer.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerProblem {
    /// The text is JSON, but not an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// A stage of a type that is not supported.
    #[error("`{stage}` has the type {found}, which is not supported; supported: {supported}")]
    Stage {
        /// Key of the stage.
        stage: String,
        /// Its type.
        found: String,
        /// All supported types.
        supported: String,
    },
    /// A decoder that cuts characters at the end of tokens.
    #[error("`decoder` has a Strip with `stop` {found}, expected 0")]
    StripStop {
        /// Value of `stop`.
        found: String,
    },
    /// A template that names a special token it does not define.
    #[error("`post_processor` names the special token {token}, expected one of `special_tokens`")]
    TemplateToken {
        /// The token as written.
        token: String,
    },
    /// A template for one text that uses the second one of a pair.
    #[error("`post_processor.single` uses sequence {found}, expected \"A\"")]
    TemplateSequence {
        /// The sequence as written.
        found: String,
    },
    /// More than one template.
    #[error("`post_processor` has {found} templates, expected at most one")]
    Templates {
        /// Number of templates.
        found: usize,
    },
    /// A regular expression with repetitions beyond any use.
    #[error(
        "`{stage}` has a regular expression of {length} bytes whose numbers multiply to {repeats}, \
         expected at most {PATTERN_LENGTH} bytes and {PATTERN_REPEATS}"
    )]
    Pattern {
        /// Key of the stage.
        stage: String,
        /// Length of the expression in bytes.
        length: usize,
        /// Product of all decimal numbers in the expression.
        repeats: usize,
    },
    /// A byte-pair model that marks the inner parts of words.
    #[error("`model.continuing_subword_prefix` is {found}, expected null in a model with merges")]
    SubwordPrefix {
        /// The prefix.
        found: String,
    },
    /// A merge whose result is no token.
    #[error("`model.merges` has {merge}, whose result is not in `model.vocab`")]
    Merge {
        /// The first such merge as written.
        merge: String,
    },
    /// Added tokens whose surrounding spaces may be claimed twice.
    #[error(
        "added token {token:?} starts with a space and takes the spaces before it (`lstrip`), \
         which another one with `rstrip` takes as well"
    )]
    OverlappingSpaces {
        /// Text of the added token.
        token: String,
    },
    /// An added token that has another id than the file says.
    #[error(
        "added token {token:?} has the id {expected}, expected {}, the next free one at its \
         position",
        found.map_or("none".to_owned(), |id| id.to_string())
    )]
    AddedTokenId {
        /// Text of the added token.
        token: String,
        /// Id that the tokenizer gives it, if any.
        found: Option<u32>,
        /// Id that the file gives it.
        expected: u64,
    },
}

/// Key of a stage, key of the list inside its `Sequence`, and the supported types.
const STAGES: [(&str, &str, &[&str]); 4] = [
    (
        "normalizer",
        "normalizers",
        &[
            "BertNormalizer",
            "ByteLevel",
            "Lowercase",
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Prepend",
            "Replace",
            "Sequence",
            "Strip",
            "StripAccents",
        ],
    ),
    (
        "pre_tokenizer",
        "pretokenizers",
        &[
            "BertPreTokenizer",
            "ByteLevel",
            "Digits",
            "Metaspace",
            "Punctuation",
            "Sequence",
            "Split",
            "Whitespace",
            "WhitespaceSplit",
        ],
    ),
    (
        "post_processor",
        "processors",
        &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"],
    ),
    (
        "decoder",
        "decoders",
        &[
            "ByteFallback",
            "ByteLevel",
            "Fuse",
            "Metaspace",
            "Replace",
            "Sequence",
            "Strip",
            "WordPiece",
        ],
    ),
];

/// Checks the stages of a tokenizer before it is built.
pub(crate) fn check_stages(json: &Value) -> Result<(), Vec<TokenizerProblem>> {
    let Value::Object(object) = json else { return Err(vec![TokenizerProblem::NotAnObject]) };
    let mut problems = Vec::new();
    let mut templates = 0;
    for (stage, list, supported) in STAGES {
        let Some(value) = object.get(stage).filter(|value| !value.is_null()) else { continue };
        for part in parts(value, list) {
            let kind = part.get("type").unwrap_or(&Value::Null);
            if !kind.as_str().is_some_and(|kind| supported.contains(&kind)) {
                problems.push(TokenizerProblem::Stage {
                    stage: stage.to_owned(),
                    found: kind.to_string(),
                    supported: supported.join(", "),
                });
            }
            if let Some(regex) = part.pointer("/pattern/Regex").and_then(Value::as_str) {
                let (length, repeats) = (regex.len(), repeats(regex));
                if length > PATTERN_LENGTH || repeats > PATTERN_REPEATS {
                    let stage = stage.to_owned();
                    problems.push(TokenizerProblem::Pattern { stage, length, repeats });
                }
            }
            // The type of a post-processor is not what decides how it is read, so look at the keys.
            if let ("post_processor", Some(single)) = (stage, part.get("single")) {
                templates += 1;
                check_template(single, part.get("special_tokens"), &mut problems);
            }
            if let ("decoder", Some(stop)) = (stage, part.get("stop"))
                && *stop != 0
            {
                problems.push(TokenizerProblem::StripStop { found: stop.to_string() });
            }
        }
    }
    if templates > 1 {
        problems.push(TokenizerProblem::Templates { found: templates });
    }
    if let Some(model) = object.get("model") {
        check_merges(model, &mut problems);
    }
    check_spaces(json, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A stage and, where it is a sequence, everything in it. The depth is bounded by that of JSON.
fn parts<'a>(stage: &'a Value, list: &str) -> Vec<&'a Value> {
    let mut all = vec![stage];
    if let Some(nested) = stage.get(list).and_then(Value::as_array) {
        all.extend(nested.iter().flat_map(|part| parts(part, list)));
    }
    all
}

/// Product of the decimal numbers above 0 in a text; the largest `usize` where it overflows.
fn repeats(regex: &str) -> usize {
    regex
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| digits.bytes().any(|digit| digit != b'0'))
        .map(|digits| digits.parse().unwrap_or(usize::MAX))
        .fold(1, usize::saturating_mul)
}

/// Checks the template for a single text: every special token is defined, no second text is used.
fn check_template(
    single: &Value,
    special_tokens: Option<&Value>,
    problems: &mut Vec<TokenizerProblem>,
) {
    // The tokens are an object whose keys need not be what they are looked up by: `id` inside is.
    let defined = |id: &Value| {
        let id = id.as_str()?;
        special_tokens?.as_object()?.get(id)?.get("id").filter(|inner| *inner == id)
    };
    for piece in single.as_array().into_iter().flatten() {
        if let Some(token) = piece.get("SpecialToken")
            && token.get("id").and_then(defined).is_none()
        {
            let token = token.get("id").unwrap_or(token).to_string();
            problems.push(TokenizerProblem::TemplateToken { token });
        }
        if let Some(sequence) = piece.get("Sequence")
            && sequence.get("id").and_then(Value::as_str) != Some("A")
        {
            let found = sequence.get("id").unwrap_or(sequence).to_string();
            problems.push(TokenizerProblem::TemplateSequence { found });
        }
    }
}

/// Checks that every merge of a byte-pair model joins two texts to one of the vocabulary.
fn check_merges(model: &Value, problems: &mut Vec<TokenizerProblem>) {
    let Some(merges) = model.get("merges").and_then(Value::as_array) else { return };
    let prefix = model.get("continuing_subword_prefix").unwrap_or(&Value::Null);
    if !prefix.is_null() && prefix != "" {
        problems.push(TokenizerProblem::SubwordPrefix { found: prefix.to_string() });
    }
    let vocab = model.get("vocab").and_then(Value::as_object);
    let is_token = |merge: &&Value| {
        let merged = match merge {
            // "a b"; what is not two parts is refused when the model is built.
            Value::String(pair) => pair.replacen(' ', "", 1),
            Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        vocab.is_some_and(|vocab| vocab.contains_key(&merged))
    };
    if let Some(merge) = merges.iter().find(|merge| !is_token(merge)) {
        problems.push(TokenizerProblem::Merge { merge: merge.to_string() });
    }
}

/// Checks that no two added tokens can claim the same space.
fn check_spaces(json: &Value, problems: &mut Vec<TokenizerProblem>) {
    let flag = |token: &Value, key| token.get(key).and_then(Value::as_bool) == Some(true);
    let tokens = added_tokens(json);
    if !tokens.iter().any(|token| flag(token, "rstrip")) {
        return;
    }
    for token in tokens {
        let content = content(token);
        if flag(token, "lstrip") && content.starts_with(char::is_whitespace) {
            problems.push(TokenizerProblem::OverlappingSpaces { token: content.to_owned() });
        }
    }
}

/// Added tokens as the file lists them: text and id.
pub(crate) fn added_token_ids(json: &Value) -> Vec<(String, u64)> {
    added_tokens(json)
        .iter()
        .filter_map(|token| Some((content(token).to_owned(), token.get("id")?.as_u64()?)))
        .filter(|(content, _)| !content.is_empty())
        .collect()
}

fn added_tokens(json: &Value) -> &[Value] {
    json.get("added_tokens").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn content(token: &Value) -> &str {
    token.get("content").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(json: Value) -> String {
        let problems = check_stages(&json).expect_err("refused");
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    }

    #[test]
    fn unsupported_stages_are_named() {
        check_stages(&json!({"normalizer": null, "decoder": {"type": "ByteLevel"}})).unwrap();
        assert!(
            problem(json!({"normalizer": {"type": "Precompiled"}})).contains("\"Precompiled\"")
        );
        let nested = json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "CTC"}]});
        assert!(problem(json!({"decoder": nested})).contains("`decoder` has the type \"CTC\""));
        assert!(problem(json!({"pre_tokenizer": {}})).contains("the type null"));
        assert_eq!(problem(json!([])), "expected a JSON object");
    }

    #[test]
    fn strip_decoders_cut_at_the_start_only() {
        let strip = |stop: u64| json!({"decoder": {"type": "Strip", "start": 1, "stop": stop}});
        check_stages(&strip(0)).unwrap();
        assert!(problem(strip(1)).contains("`stop` 1"));
    }

    #[test]
    fn templates_define_what_they_use() {
        let template = |single: Value| {
            json!({"type": "TemplateProcessing", "single": single, "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})
        };
        let good = template(json!([{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]));
        check_stages(&json!({"post_processor": good})).unwrap();
        let token = template(json!([{"SpecialToken": {"id": "</s>"}}]));
        assert!(problem(json!({"post_processor": token})).contains("\"</s>\""));
        let second = template(json!([{"Sequence": {"id": "B"}}]));
        assert!(problem(json!({"post_processor": second})).contains("sequence \"B\""));
        let twice = json!({"type": "Sequence", "processors": [good, good]});
        assert!(problem(json!({"post_processor": twice})).contains("2 templates"));
    }

    #[test]
    fn repetition_counts_are_bounded() {
        let split =
            |regex: &str| json!({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": regex}}});
        check_stages(&split(r"\p{N}{1,3}|\s+(?!\S)|a{0,10}")).unwrap();
        assert!(problem(split("a{18446744073709551615,}")).contains("regular expression"));
        assert!(problem(split("((a{99999}){99999}){99999}")).contains("multiply to"));
        assert!(problem(split(&"a".repeat(PATTERN_LENGTH + 1))).contains("16385 bytes"));
    }

    #[test]
    fn merges_give_tokens() {
        let model = |prefix: Value, merges: Value| {
            json!({"model": {"type": "BPE", "continuing_subword_prefix": prefix,
                "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges}})
        };
        check_stages(&model(json!(null), json!([["a", "b"]]))).unwrap();
        check_stages(&model(json!(""), json!(["a b"]))).unwrap();
        // Longer than every token: the crate would write past its buffer.
        assert!(problem(model(json!(null), json!([["ab", "ab"]]))).contains("[\"ab\",\"ab\"]"));
        assert!(problem(model(json!(null), json!(["b a"]))).contains("\"b a\""));
        assert!(problem(model(json!("##"), json!([]))).contains("\"##\""));
    }

    #[test]
    fn spaces_belong_to_one_added_token() {
        let token = |content: &str, lstrip: bool, rstrip: bool| json!({"id": 0, "content": content, "lstrip": lstrip, "rstrip": rstrip});
        check_stages(&json!({"added_tokens": [token(" ", true, false)]})).unwrap();
        let both = json!({"added_tokens": [token(" ", true, false), token("a", false, true)]});
        assert!(problem(both).contains("added token \" \""));
    }
}
