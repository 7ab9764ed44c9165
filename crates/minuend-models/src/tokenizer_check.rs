//! What a `tokenizer.json` may contain.
//!
//! The `tokenizers` crate trusts its input: some stages panic on parameters that its own trainers
//! never write. Only stages whose parameters are harmless, or are checked here, are let through.

use serde_json::Value;

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
    fn spaces_belong_to_one_added_token() {
        let token = |content: &str, lstrip: bool, rstrip: bool| json!({"id": 0, "content": content, "lstrip": lstrip, "rstrip": rstrip});
        check_stages(&json!({"added_tokens": [token(" ", true, false)]})).unwrap();
        let both = json!({"added_tokens": [token(" ", true, false), token("a", false, true)]});
        assert!(problem(both).contains("added token \" \""));
    }
}
