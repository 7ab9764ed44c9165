//! Tensors in files beside the model.

use std::path::Path;

use minuend_onnx::proto::{EXTERNAL, Message, StringStringEntryProto};
use minuend_onnx::{ImportOptions, OnnxError, OnnxModel};
use minuend_tests::onnx::run::interpreted;
use minuend_tests::onnx::writer::reals;

use crate::small;

/// Writes the small model with `weight` elsewhere, and imports it.
fn open(folder: &Path, entries: &[(&str, &str)]) -> Result<OnnxModel, OnnxError> {
    let mut model = small().model();
    let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
    tensor.raw_data = None;
    tensor.data_location = EXTERNAL;
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: key.to_string(),
        value: value.to_string(),
    };
    tensor.external_data = entries.iter().map(entry).collect();
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    OnnxModel::open(path, &ImportOptions::default())
}

/// A folder with a folder `inside` for the model, and the weight's bytes in several files.
fn folders() -> tempfile::TempDir {
    let outside = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (1..=6).flat_map(|value: u8| f32::from(value).to_le_bytes()).collect();
    let inside = outside.path().join("inside");
    std::fs::create_dir_all(inside.join("deep")).unwrap();
    std::fs::write(outside.path().join("secret.bin"), &bytes).unwrap();
    std::fs::write(inside.join("weight.bin"), &bytes).unwrap();
    std::fs::write(inside.join("deep/weight.bin"), &bytes).unwrap();
    std::fs::write(inside.join("padded.bin"), [vec![9; 16], bytes, vec![9; 8]].concat()).unwrap();
    std::fs::write(inside.join("empty.bin"), []).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path().join("secret.bin"), inside.join("link.bin"))
            .unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.join("link")).unwrap();
        std::os::unix::fs::symlink("weight.bin", inside.join("alias.bin")).unwrap();
    }
    outside
}

#[test]
fn data_beside_the_model_is_read() {
    let folders = folders();
    let inside = folders.path().join("inside");
    let x = reals(&[1, 3], &[1., -1., 2.]);
    let stored = minuend_tests::onnx::run::import(small().bytes()).unwrap();
    let expected = interpreted(&stored, std::slice::from_ref(&x)).unwrap();
    let mut places: Vec<Vec<(&str, &str)>> = vec![
        vec![("location", "weight.bin")],
        vec![("location", "./weight.bin"), ("offset", "0")],
        vec![("location", "deep/weight.bin"), ("length", "24")],
        vec![("location", "padded.bin"), ("offset", "16"), ("length", "24")],
        vec![("location", "padded.bin"), ("offset", "16"), ("checksum", "unread")],
    ];
    if cfg!(unix) {
        places.push(vec![("location", "alias.bin")]);
    }
    for entries in places {
        let model = open(&inside, &entries).unwrap();
        assert_eq!(interpreted(&model, std::slice::from_ref(&x)).unwrap(), expected, "{entries:?}");
    }
}

#[test]
fn places_that_are_refused() {
    let folders = folders();
    let inside = folders.path().join("inside");
    let secret = folders.path().join("secret.bin");
    let secret = secret.to_str().unwrap();
    let outside = "lies outside of the model's folder";
    let mut places: Vec<(Vec<(&str, &str)>, &str)> = vec![
        (vec![], "external data without a location"),
        (vec![("location", "")], outside),
        (vec![("location", "gone.bin")], "external data \"gone.bin\""),
        (vec![("location", "../secret.bin")], outside),
        (vec![("location", "deep/../../secret.bin")], outside),
        (vec![("location", "deep/../weight.bin")], outside),
        (vec![("location", "..\\secret.bin")], outside),
        (vec![("location", secret)], outside),
        (vec![("location", "/etc/hostname")], outside),
        (vec![("location", "deep")], "is no file"),
        (vec![("location", ".")], "is no file"),
        (vec![("location", "empty.bin")], "from byte 0 on, 24 bytes, but \"empty.bin\" has 0"),
        (
            vec![("location", "weight.bin"), ("offset", "4")],
            "from byte 4 on, 24 bytes, but \"weight.bin\" has 24",
        ),
        (vec![("location", "weight.bin"), ("length", "25")], "25 bytes, but \"weight.bin\" has 24"),
        (vec![("location", "weight.bin"), ("length", "20")], "20 bytes of data, expected 24"),
        (
            vec![("location", "weight.bin"), ("offset", "-4")],
            "offset \"-4\", expected a number of bytes",
        ),
        (
            vec![("location", "weight.bin"), ("length", "many")],
            "length \"many\", expected a number of bytes",
        ),
        (
            vec![("location", "weight.bin"), ("offset", "18446744073709551615")],
            "from byte 18446744073709551615 on",
        ),
        (vec![("location", "a\0b")], "external data"),
    ];
    if cfg!(unix) {
        places.push((vec![("location", "link.bin")], outside));
        places.push((vec![("location", "link/secret.bin")], outside));
    }
    for (entries, words) in places {
        let Err(OnnxError::Model { problems, .. }) = open(&inside, &entries) else {
            panic!("{entries:?} is read")
        };
        assert_eq!(problems.len(), 1, "{entries:?}: {problems:#?}");
        let text = problems[0].to_string();
        assert!(text.starts_with("initializer \"weight\": "), "{entries:?}: {text}");
        assert!(text.contains(words), "{entries:?}: no {words:?} in {text}");
    }
}

/// A model without a folder has no file beside it.
#[test]
fn bytes_have_no_folder() {
    let mut model = small().model();
    let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
    tensor.data_location = EXTERNAL;
    tensor.external_data =
        vec![StringStringEntryProto { key: "location".into(), value: "weight.bin".into() }];
    crate::assert_problem(&model, &["external data of a model that is no file"]);
}
