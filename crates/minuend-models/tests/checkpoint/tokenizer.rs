//! Text to ids and back, and streaming.

use std::path::Path;

use minuend_models::{Checkpoint, ModelError, Tokenizer};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::json;

use crate::scratch::{demo, fixture};

/// One entry of the demo model's `expected.json`.
#[derive(Deserialize)]
struct ExpectedText {
    prompt: String,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    greedy_text: String,
}

fn demo_tokenizer() -> Tokenizer {
    Checkpoint::open(demo()).unwrap().tokenizer().unwrap()
}

/// All pieces of a stream, the last one from its end.
fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<String> = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
    pieces.extend(stream.finish().unwrap());
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    pieces
}

#[test]
fn prompts_and_continuations_of_the_demo_model() {
    let tokenizer = demo_tokenizer();
    let text = std::fs::read_to_string(demo().join("expected.json")).unwrap();
    let expected: Vec<ExpectedText> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected[0].prompt, "ROMEO:\n");
    for entry in expected {
        assert_eq!(tokenizer.encode(&entry.prompt).unwrap(), entry.prompt_ids);
        assert_eq!(tokenizer.decode(&entry.greedy_ids).unwrap(), entry.greedy_text);
        assert_eq!(pieces(&tokenizer, &entry.greedy_ids).concat(), entry.greedy_text);
    }
}

#[test]
fn an_absent_tokenizer_is_named() {
    let error = Checkpoint::open(fixture("tiny-llama")).unwrap().tokenizer().expect_err("absent");
    assert!(matches!(error, ModelError::NoTokenizer { .. }));
    assert!(error.to_string().contains("tokenizer.json: no such file"), "{error}");
}

#[test]
fn streams_hold_back_parts_of_characters() {
    let tokenizer = demo_tokenizer();
    // Not in the training text: one token for each byte.
    let ids = tokenizer.encode("é😀x").unwrap();
    let mut stream = tokenizer.stream();
    let pieces: Vec<Option<String>> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    let found: Vec<Option<&str>> = pieces.iter().map(Option::as_deref).collect();
    assert_eq!(found, [None, Some("é"), None, None, None, Some("😀"), Some("x")]);
    assert_eq!(stream.finish().unwrap(), None);
}

#[test]
fn an_unfinished_character_ends_as_a_replacement() {
    let tokenizer = demo_tokenizer();
    let ids = tokenizer.encode("a😀").unwrap();
    assert_eq!(pieces(&tokenizer, &ids[..ids.len() - 1]), ["a", "\u{fffd}"]);
}

#[test]
fn streams_give_the_text_of_the_whole() {
    let tokenizer = demo_tokenizer();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..40 {
        // Arbitrary ids are mostly text; the single bytes 128..256 are mostly invalid.
        let range = if round % 2 == 0 { 0..1100 } else { 94..257 };
        let ids: Vec<u32> = (0..300).map(|_| rng.random_range(range.clone())).collect();
        assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
    }
}

#[test]
fn special_and_unknown_ids_have_no_text() {
    let tokenizer = demo_tokenizer();
    assert!(pieces(&tokenizer, &[0, 0, 5000, u32::MAX]).is_empty());
    let ids = [vec![0; 40], tokenizer.encode("To be").unwrap(), vec![0; 40]].concat();
    assert_eq!(pieces(&tokenizer, &ids).concat(), "To be");
}

/// A tokenizer in the manner of SentencePiece: `▁` for a space, tokens for single bytes.
fn sentence_pieces(directory: &Path) -> Tokenizer {
    let json = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null,
        "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 1u64 << 40}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
            "split": true},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "byte_fallback": true,
            "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "▁b": 5,
                "<0xE2>": 6, "<0x82>": 7, "<0xAC>": 8},
            "merges": ["▁ a", "▁ b"]},
    });
    let path = directory.join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    Tokenizer::from_file(&path, 9).unwrap()
}

#[test]
fn leading_spaces_survive_streaming() {
    let directory = tempfile::tempdir().unwrap();
    let tokenizer = sentence_pieces(directory.path());
    let ids = tokenizer.encode("a b€ a").unwrap();
    assert_eq!(ids, [4, 5, 6, 7, 8, 4], "neither cut nor padded");
    assert_eq!(pieces(&tokenizer, &ids), ["a", " b", "€", " a"]);
    let long: Vec<u32> = (0..200).map(|i| if i % 3 == 0 { 4 } else { 5 }).collect();
    assert_eq!(pieces(&tokenizer, &long).concat(), tokenizer.decode(&long).unwrap());
}

#[test]
fn ids_outside_the_embedding_are_refused() {
    let path = demo().join("tokenizer.json");
    let tokenizer = Tokenizer::from_file(&path, 500).unwrap();
    tokenizer.encode("a").unwrap();
    let error = tokenizer.encode("ROMEO").expect_err("id 859 of 500");
    assert!(matches!(error, ModelError::TokenOutsideVocabulary { id: 859, vocab_size: 500, .. }));
}

#[test]
fn malformed_tokenizers_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    for text in ["", "{", "{}", r#"{"version":"1.0","model":{"type":"BPE"}}"#] {
        std::fs::write(&path, text).unwrap();
        let error = Tokenizer::from_file(&path, 10).expect_err("refused").to_string();
        assert!(error.contains("tokenizer.json: invalid JSON"), "{error}");
    }
}

#[test]
fn added_tokens_keep_their_ids() {
    let text = std::fs::read_to_string(demo().join("tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut token = json["added_tokens"][0].clone();
    token["content"] = json!("<|end|>");
    token["id"] = json!(1030);
    json["added_tokens"].as_array_mut().unwrap().push(token);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let error = Tokenizer::from_file(&path, 1031).expect_err("a gap in the ids").to_string();
    assert!(error.contains("\"<|end|>\" has the id 1030, expected 1024"), "{error}");

    json["added_tokens"][1]["id"] = json!(1024);
    std::fs::write(&path, json.to_string()).unwrap();
    let tokenizer = Tokenizer::from_file(&path, 1031).unwrap();
    assert_eq!(tokenizer.encode("<|end|>").unwrap(), [1024]);
}

#[test]
fn dropout_is_ignored() {
    let text = std::fs::read_to_string(demo().join("tokenizer.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, text.replace("\"dropout\": null", "\"dropout\": 0.9")).unwrap();
    let tokenizer = Tokenizer::from_file(&path, 1024).unwrap();
    assert_eq!(tokenizer.encode("ROMEO:\n").unwrap(), [859, 26, 199]);
}
