//! The checkpoints that must open, and what they contain.

use minuend_models::{
    Architecture, Checkpoint, ExpectedOutputs, ModelError, RopeLayout, StoredDtype, TensorRole,
    tensors,
};

use crate::scratch::{demo, fixture};

#[test]
fn fixtures_open_with_every_tensor_and_no_note() {
    for (directory, architecture, layout, dtype, tied) in [
        (
            fixture("tiny-diffv2"),
            Architecture::DiffV2,
            RopeLayout::Interleaved,
            StoredDtype::F32,
            true,
        ),
        (
            fixture("tiny-diffv2-gqa8-halfsplit"),
            Architecture::DiffV2,
            RopeLayout::HalfSplit,
            StoredDtype::Bf16,
            false,
        ),
        (
            fixture("tiny-llama"),
            Architecture::Llama,
            RopeLayout::HalfSplit,
            StoredDtype::F32,
            false,
        ),
        (demo(), Architecture::DiffV2, RopeLayout::Interleaved, StoredDtype::Bf16, true),
    ] {
        let checkpoint = Checkpoint::open(&directory).unwrap();
        let config = &checkpoint.config;
        assert_eq!(
            (config.architecture, config.rope.layout, config.stored_dtype, config.tied_head),
            (architecture, layout, dtype, tied)
        );
        assert_eq!(checkpoint.notes, Vec::<String>::new());

        let specs = tensors(config);
        assert_eq!(specs.iter().any(|spec| spec.role == TensorRole::Head), !tied);
        assert_eq!(checkpoint.weights().count(), specs.len());
        let mut bytes = 0;
        for spec in specs {
            let tensor = checkpoint.weight(&spec.name).unwrap();
            assert_eq!((&tensor.shape, tensor.dtype), (&spec.shape, dtype));
            let elements: usize = spec.shape.iter().product();
            assert_eq!(tensor.data.len(), elements * dtype.size_in_bytes());
            bytes += tensor.data.len() as u64;
        }
        assert_eq!(checkpoint.total_bytes(), bytes);
        let file = std::fs::metadata(directory.join("model.safetensors")).unwrap().len();
        assert!(bytes < file && file - bytes < 8 + 10_000, "all but the header is weights");

        let expected = ExpectedOutputs::open(directory.join("expected.safetensors")).unwrap();
        assert!(expected.groups.iter().all(|group| group.vocab_size == config.vocab_size));
    }
}

#[test]
fn sizes_of_the_demo_model() {
    let checkpoint = Checkpoint::open(demo()).unwrap();
    let config = &checkpoint.config;
    assert_eq!(
        (config.heads, config.query_heads(), config.kv_heads, config.head_dim),
        (4, 8, 2, 64)
    );
    assert_eq!((config.vocab_size, config.layers, config.max_positions), (1024, 6, 1024));
    assert_eq!((checkpoint.eos_ids(), checkpoint.bos_id()), ([0].as_slice(), Some(0)));
}

#[test]
fn generation_config_is_read_where_there_is_one() {
    assert!(Checkpoint::open(fixture("tiny-diffv2")).unwrap().generation.is_none());
    let llama = Checkpoint::open(fixture("tiny-llama")).unwrap();
    assert_eq!(llama.generation.as_ref().unwrap().eos_ids, [2]);
    assert_eq!((llama.eos_ids(), llama.bos_id()), ([2].as_slice(), Some(1)));
}

#[test]
fn bytes_are_those_of_the_file() {
    let directory = fixture("tiny-diffv2-gqa8-halfsplit");
    let file = std::fs::read(directory.join("model.safetensors")).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&file).unwrap();
    let checkpoint = Checkpoint::open(directory).unwrap();
    assert_eq!(checkpoint.weights().count(), reference.len());
    for (name, tensor) in checkpoint.weights() {
        assert_eq!(tensor.data, reference.tensor(name).unwrap().data(), "{name}");
    }
}

#[test]
fn weights_outlive_the_checkpoint() {
    let checkpoint = Checkpoint::open(fixture("tiny-llama")).unwrap();
    let norm = checkpoint.weight("model.norm.weight").unwrap().clone();
    drop(checkpoint);
    assert_eq!(norm.data.len(), 64 * 4);
}

#[test]
fn absent_files_are_named() {
    let missing = Checkpoint::open("no/such/directory").expect_err("absent");
    assert!(matches!(missing, ModelError::NotADirectory { .. }), "{missing}");

    let directory = tempfile::tempdir().unwrap();
    let no_config = Checkpoint::open(directory.path()).expect_err("empty").to_string();
    assert!(no_config.contains("config.json: cannot read"), "{no_config}");

    std::fs::copy(fixture("tiny-llama").join("config.json"), directory.path().join("config.json"))
        .unwrap();
    let no_weights = Checkpoint::open(directory.path()).expect_err("no weights").to_string();
    assert!(no_weights.contains("neither model.safetensors nor"), "{no_weights}");

    std::fs::create_dir(directory.path().join("model.safetensors")).unwrap();
    let folder = Checkpoint::open(directory.path()).expect_err("a folder").to_string();
    assert!(folder.contains("not a regular file"), "{folder}");
}
