//! Damaged checkpoint files: every one opens or is refused, without a panic and without a large
//! allocation.

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use minuend_models::{
        Checkpoint, ExpectedOutputs, GenerationConfig, ModelConfig, Tokenizer, tensors,
    };
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use serde_json::{Value, json};

    /// The system's allocator, which remembers the largest request.
    struct Measured;

    static LARGEST: AtomicUsize = AtomicUsize::new(0);

    #[global_allocator]
    static ALLOCATOR: Measured = Measured;

    // SAFETY: every call is passed on unchanged to `System`, which upholds the contract; the
    // counter neither allocates nor panics.
    unsafe impl GlobalAlloc for Measured {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller's promises are those that `System` asks for.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the pointer came from `System` with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            LARGEST.fetch_max(size, Ordering::Relaxed);
            // SAFETY: the pointer came from `System` with this layout.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    /// No file here is larger than 1 MiB. The compiled form of a regular expression in a tokenizer
    /// is bounded by its crate, at 10 MiB.
    const ALLOCATION_LIMIT: usize = 32 << 20;

    fn assert_small_allocations() {
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest < ALLOCATION_LIMIT, "one allocation of {largest} bytes");
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
    }

    const FIXTURES: [&str; 3] = ["tiny-diffv2", "tiny-diffv2-gqa8-halfsplit", "tiny-llama"];

    /// Values that reading code tends to trust too much.
    const EXTREMES: [&str; 18] = [
        "0",
        "-1",
        "1",
        "2",
        "3",
        "1.5",
        "1e308",
        "-1e308",
        "255",
        "65536",
        "2147483648",
        "4294967295",
        "4294967296",
        "2305843009213693951",
        "9223372036854775808",
        "18446744073709551608",
        "18446744073709551615",
        "18446744073709551616",
    ];
    /// JSON of other types.
    const OTHERS: [&str; 8] = ["null", "true", "\"\"", "\"é\"", "[]", "{}", "[[[]]]", "{\"a\":{}}"];

    /// Damages the bytes once or a few times.
    fn mutate(rng: &mut ChaCha8Rng, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..rng.random_range(1..=3) {
            if bytes.is_empty() {
                break;
            }
            mutate_once(rng, &mut bytes);
        }
        bytes
    }

    fn mutate_once(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..40)).min(bytes.len());
        match rng.random_range(0..10) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len() - piece.len());
                bytes[to..to + piece.len()].copy_from_slice(&piece);
            }
            6 | 7 => replace_run(rng, bytes, at, &EXTREMES, |b| b.is_ascii_digit()),
            8 => replace_run(rng, bytes, at, &OTHERS, |b| b.is_ascii_digit()),
            _ => replace_run(rng, bytes, at, &OTHERS, |b| b.is_ascii_alphanumeric() || b == b'"'),
        }
    }

    /// Replaces the next run of bytes that `member` accepts by one of `choices`.
    fn replace_run(
        rng: &mut ChaCha8Rng,
        bytes: &mut Vec<u8>,
        at: usize,
        choices: &[&str],
        member: impl Fn(u8) -> bool,
    ) {
        let Some(start) = bytes[at..].iter().position(|&b| member(b)).map(|i| at + i) else {
            return;
        };
        let length = bytes[start..].iter().take_while(|&&b| member(b)).count();
        let choice = choices.choose(rng).unwrap();
        bytes.splice(start..start + length, choice.bytes());
    }

    /// Damages a safetensors file: its header, with a fitting or an unfitting length, or its size.
    fn mutate_safetensors(rng: &mut ChaCha8Rng, original: &[u8]) -> Vec<u8> {
        let (length, rest) = original.split_first_chunk().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        match rng.random_range(0..10) {
            0 => {
                let end = rng.random_range(0..original.len());
                original[..end].to_vec()
            }
            1 => {
                let mut bytes = original.to_vec();
                let length = u64::MAX >> rng.random_range(0..64);
                bytes[..8].copy_from_slice(&length.to_le_bytes());
                bytes
            }
            2 => {
                let mut bytes = original.to_vec();
                bytes[rng.random_range(0..8)] = rng.random();
                bytes
            }
            _ => {
                let header = mutate(rng, header);
                [(header.len() as u64).to_le_bytes().as_slice(), &header, data].concat()
            }
        }
    }

    /// Runs `check` on damaged copies of a file inside a copy of its directory.
    fn damage(
        directory: &str,
        file: &str,
        rounds: u64,
        mutate: impl Fn(&mut ChaCha8Rng, &[u8]) -> Vec<u8>,
        check: impl Fn(&Path) -> bool,
    ) {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture(directory)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let path = copy.path().join(file);
        let original = std::fs::read(&path).unwrap();
        assert!(check(copy.path()), "the undamaged {file} is accepted");
        let mut rng = ChaCha8Rng::seed_from_u64(original.len() as u64);
        let mut refused = 0;
        for _ in 0..rounds {
            std::fs::write(&path, mutate(&mut rng, &original)).unwrap();
            if !check(copy.path()) {
                refused += 1;
            }
        }
        // Some damage is harmless, such as to spaces or unused keys.
        assert!(refused > rounds / 4, "{file}: only {refused} of {rounds} refused");
        assert_small_allocations();
    }

    #[test]
    fn damaged_configs() {
        for directory in FIXTURES {
            damage(directory, "config.json", 1500, mutate, |d| Checkpoint::open(d).is_ok());
        }
    }

    #[test]
    fn damaged_generation_configs() {
        damage("tiny-llama", "generation_config.json", 500, mutate, |d| {
            Checkpoint::open(d).is_ok()
        });
    }

    #[test]
    fn damaged_weights() {
        for directory in FIXTURES {
            let check = |d: &Path| Checkpoint::open(d).is_ok();
            damage(directory, "model.safetensors", 400, mutate_safetensors, check);
        }
    }

    #[test]
    fn damaged_expected_outputs() {
        for directory in FIXTURES {
            damage(directory, "expected.safetensors", 1500, mutate_safetensors, |d| {
                ExpectedOutputs::open(d.join("expected.safetensors")).is_ok()
            });
        }
    }

    #[test]
    fn damaged_config_text_never_asks_for_many_tensors() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for directory in FIXTURES {
            let text = std::fs::read(fixture(directory).join("config.json")).unwrap();
            for _ in 0..2000 {
                let text = String::from_utf8_lossy(&mutate(&mut rng, &text)).into_owned();
                let _ = GenerationConfig::from_json_str("generation_config.json", &text);
                if let Ok(config) = ModelConfig::from_json_str("config.json", &text) {
                    assert!(tensors(&config).len() <= 4096 * 16 + 3);
                }
            }
        }
        assert_small_allocations();
    }

    #[test]
    fn damaged_indices() {
        let names: Vec<String> = {
            let checkpoint = Checkpoint::open(fixture("tiny-llama")).unwrap();
            checkpoint.weights().map(|(name, _)| name.to_owned()).collect()
        };
        let directory = tempfile::tempdir().unwrap();
        let copy = |from: &str, to: &str| {
            std::fs::copy(fixture("tiny-llama").join(from), directory.path().join(to)).unwrap();
        };
        copy("config.json", "config.json");
        copy("model.safetensors", "a.safetensors");
        let map: Value = names.into_iter().map(|name| (name, json!("a.safetensors"))).collect();
        let index = json!({"metadata": {"total_size": 300000}, "weight_map": map}).to_string();
        let path = directory.path().join("model.safetensors.index.json");
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        std::fs::write(&path, &index).unwrap();
        Checkpoint::open(directory.path()).unwrap();
        for _ in 0..1000 {
            std::fs::write(&path, mutate(&mut rng, index.as_bytes())).unwrap();
            let _ = Checkpoint::open(directory.path());
        }
        assert_small_allocations();
    }

    /// Uses a tokenizer in all ways, if the file describes one.
    fn exercise(path: &Path) {
        let Ok(tokenizer) = Tokenizer::from_file(path, 2000) else { return };
        for text in ["", "ROMEO:\n", " a b  é😀\u{0}\u{300}<|endoftext|> Hello, [MASK] world"] {
            let Ok(ids) = tokenizer.encode(text) else { continue };
            let _ = tokenizer.decode(&ids);
            let mut stream = tokenizer.stream();
            for id in ids {
                let _ = stream.push(id);
            }
            let _ = stream.finish();
        }
        let _ = tokenizer.decode(&[0, 1, 2, 3, 500, u32::MAX]);
    }

    fn damage_tokenizer(rng: &mut ChaCha8Rng, json: &[u8], rounds: u32) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        std::fs::write(&path, json).unwrap();
        Tokenizer::from_file(&path, 2000).expect("the undamaged tokenizer is accepted");
        for _ in 0..rounds {
            std::fs::write(&path, mutate(rng, json)).unwrap();
            exercise(&path);
        }
        assert_small_allocations();
    }

    #[test]
    fn damaged_demo_tokenizer() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples/models/shakespeare-diffv2/tokenizer.json");
        let json = std::fs::read(path).unwrap();
        damage_tokenizer(&mut ChaCha8Rng::seed_from_u64(5), &json, 300);
    }

    #[test]
    fn damaged_tokenizers_of_every_kind() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for json in small_tokenizers() {
            damage_tokenizer(&mut rng, json.to_string().as_bytes(), 1000);
        }
    }

    /// A tokenizer of each model type, with all common kinds of the other stages.
    fn small_tokenizers() -> Vec<Value> {
        let special = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": true,
                "rstrip": false, "normalized": false, "special": true})
        };
        let tokenizer = |stages: Value, model: Value, added: Vec<Value>| {
            let mut json = json!({
                "version": "1.0", "added_tokens": added, "model": model, "normalizer": null,
                "pre_tokenizer": null, "post_processor": null, "decoder": null,
                "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst",
                    "stride": 0},
                "padding": {"strategy": {"Fixed": 20}, "direction": "Right",
                    "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"},
            });
            for (key, value) in stages.as_object().unwrap() {
                json[key] = value.clone();
            }
            json
        };
        let bpe = json!({"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "byte_fallback": true,
            "ignore_merges": true,
            "vocab": {"<unk>": 0, "a": 1, "b": 2, "▁": 3, "▁a": 4, "<0xE2>": 5, "ab": 6},
            "merges": [["▁", "a"], ["a", "b"]]});
        let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true,
            "vocab": [["<unk>", 0.0], ["a", -1.5], ["▁a", -0.5], ["<0xC3>", -9.0], ["b", -2.0]]});
        let word_piece = json!({"type": "WordPiece", "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "hello": 5}});
        let word_level = json!({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}});
        let template = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}});
        vec![
            tokenizer(
                json!({
                    "normalizer": {"type": "Sequence", "normalizers": [
                        {"type": "Prepend", "prepend": "▁"},
                        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
                    "post_processor": template,
                    "decoder": {"type": "Sequence", "decoders": [
                        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                        {"type": "ByteFallback"}, {"type": "Fuse"},
                        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                }),
                bpe.clone(),
                vec![special(7, "<s>"), special(8, "</s>")],
            ),
            tokenizer(
                json!({
                    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\p{N}{1,3}|[a-z]+"},
                            "behavior": "Isolated", "invert": false},
                        {"type": "Digits", "individual_digits": true},
                        {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                            "use_regex": false}]},
                    "post_processor": {"type": "ByteLevel", "add_prefix_space": true,
                        "trim_offsets": true, "use_regex": true},
                    "decoder": {"type": "ByteLevel", "add_prefix_space": true,
                        "trim_offsets": true, "use_regex": true},
                }),
                bpe,
                vec![special(7, "<|endoftext|>")],
            ),
            tokenizer(
                json!({
                    "normalizer": {"type": "NFKC"},
                    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁",
                        "prepend_scheme": "always", "split": true},
                    "decoder": {"type": "Metaspace", "replacement": "▁",
                        "prepend_scheme": "always", "split": true},
                }),
                unigram,
                vec![special(5, "</s>")],
            ),
            tokenizer(
                json!({
                    "normalizer": {"type": "BertNormalizer", "clean_text": true,
                        "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
                    "pre_tokenizer": {"type": "BertPreTokenizer"},
                    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2],
                        "cls": ["[CLS]", 1]},
                    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
                }),
                word_piece,
                vec![special(1, "[CLS]"), special(2, "[SEP]"), special(6, "[MASK]")],
            ),
            tokenizer(
                json!({
                    "pre_tokenizer": {"type": "WhitespaceSplit"},
                    "post_processor": {"type": "RobertaProcessing", "sep": ["?", 0],
                        "cls": ["a", 1], "trim_offsets": true, "add_prefix_space": true},
                    "decoder": {"type": "Fuse"},
                }),
                word_level,
                vec![],
            ),
        ]
    }
}
