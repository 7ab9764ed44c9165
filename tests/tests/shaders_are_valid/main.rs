//! Every shader is valid for every GPU it may meet: each file as it lies on disk, and each specialisation with exactly
//! the features that it says it needs, written for Vulkan, Metal, Direct3D and OpenGL ES. No GPU takes part.
//!
//! `spirv-val` checks the SPIR-V where it is installed. With `MINUEND_SHADER_DIR` set, the texts for browsers are left
//! in that folder for a browser's compiler.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backends;
mod spirv_val;
mod wgsl;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use minuend_codegen::wgsl::{Dialect, Features, KernelSource, KernelSpec, specialise, templates};
use minuend_tests::runners::skipped;
use naga::valid::Capabilities;

use crate::backends::{Backend, Written};
use crate::spirv_val::Verdict;

/// Fails with everything that was found, one per line.
fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The specifications of all templates, each once.
fn rows() -> Vec<KernelSpec> {
    let mut labels = BTreeSet::new();
    let rows = templates().flat_map(|template| (template.rows)());
    rows.filter(|row| labels.insert(row.label())).collect()
}

/// The texts of the WGSL files below a folder, by their paths from there.
fn files_below(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// Features that a text needs by its own account, but is valid without.
fn needless(source: &KernelSource) -> Vec<String> {
    let needs = source.needs;
    let without = [
        ("f16", needs.f16, Features { f16: false, ..needs }),
        ("subgroups", needs.subgroups, Features { subgroups: false, ..needs }),
        (
            "cooperative_matrix",
            needs.cooperative_matrix,
            Features { cooperative_matrix: false, ..needs },
        ),
    ];
    without
        .into_iter()
        .filter(|(_, named, fewer)| {
            *named && wgsl::check(&source.text, wgsl::capabilities(*fewer)).is_ok()
        })
        .map(|(feature, ..)| format!("needs {feature} by its own account, but is valid without"))
        .collect()
}

/// The backends' view of a text: what is wrong, and the SPIR-V modules.
fn written(source: &KernelSource) -> (Vec<String>, Vec<Vec<u32>>) {
    let (mut faults, mut modules) = (Vec::new(), Vec::new());
    match wgsl::check(&source.text, wgsl::capabilities(source.needs)) {
        Err(fault) => faults.push(fault),
        Ok((module, _)) => {
            faults.extend(needless(source));
            for backend in backends::of(source.needs) {
                match backend.write(&module, &source.text) {
                    Err(fault) => faults.push(format!("{backend}: {fault}")),
                    Ok(Written::SpirV(words)) => modules.push(words),
                    Ok(Written::Text(text)) if text.trim().is_empty() => {
                        faults.push(format!("{backend}: an empty text"));
                    }
                    Ok(Written::Text(_)) => {}
                }
            }
        }
    }
    let faults = faults.iter().map(|fault| format!("{}: {fault}", source.label)).collect();
    (faults, modules)
}

#[test]
fn files_are_valid_as_they_lie_on_disk() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shaders");
    let files = files_below(&folder);
    let specialised: Vec<String> = rows()
        .iter()
        .filter_map(|row| specialise(row, Dialect::Native).ok())
        .map(|source| source.text)
        .collect();
    let mut faults = Vec::new();
    for (file, text) in &files {
        // The library is pieces of shaders. They are valid if the shaders are that they are put into.
        if file.starts_with("library/") {
            if !specialised.iter().any(|shader| shader.contains(text.trim_end())) {
                faults.push(format!("{file}: in no specialised text"));
            }
            continue;
        }
        if let Err(fault) = wgsl::check(text, Capabilities::all()) {
            faults.push(format!("{file}: {fault}"));
        }
        if !templates().any(|template| template.file == file && template.source == text) {
            faults.push(format!("{file}: no template is made of it"));
        }
    }
    for template in templates() {
        if !files.contains_key(template.file) {
            faults.push(format!("{}: no file {}", template.name, template.file));
        }
    }
    expect_none(&faults);
}

#[test]
fn every_template_has_rows() {
    for template in templates() {
        let rows = (template.rows)();
        assert!(!rows.is_empty(), "{}: no rows", template.name);
        for row in rows {
            assert_eq!(row.template, template.name, "{}", row.label());
        }
    }
}

/// All that is wrong with these specifications, and the templates that `spirv-val` is too old for.
fn faults_of(rows: &[KernelSpec], has_spirv_val: bool) -> (Vec<String>, BTreeSet<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut faults, mut too_new) = (Vec::new(), BTreeSet::new());
    for row in rows {
        let source = match specialise(row, Dialect::Native) {
            Ok(source) => source,
            Err(error) => {
                faults.push(format!("{}: {error}", row.label()));
                continue;
            }
        };
        let (found, modules) = written(&source);
        faults.extend(found);
        for words in modules.iter().filter(|_| has_spirv_val) {
            match spirv_val::validate(words, folder.path()) {
                Verdict::Valid => {}
                Verdict::TooOld => {
                    too_new.insert(row.template);
                }
                Verdict::Invalid(message) => {
                    faults.push(format!("{}: spirv-val: {message}", source.label));
                }
            }
        }
    }
    (faults, too_new)
}

#[test]
fn every_row_is_valid_on_every_platform() {
    let has_spirv_val = spirv_val::is_installed();
    if !has_spirv_val {
        skipped("spirv-val not found");
    }
    let rows = rows();
    assert!(!rows.is_empty());
    // Starting `spirv-val` for each module is most of the work.
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (mut faults, mut too_new) = (Vec::new(), BTreeSet::new());
    thread::scope(|scope| {
        let parts: Vec<_> = rows
            .chunks(rows.len().div_ceil(threads))
            .map(|part| scope.spawn(move || faults_of(part, has_spirv_val)))
            .collect();
        for part in parts {
            let (found, too_new_there) = part.join().unwrap();
            faults.extend(found);
            too_new.extend(too_new_there);
        }
    });
    for template in too_new {
        skipped(&format!("{template}: this spirv-val knows no cooperative matrices"));
    }
    expect_none(&faults);
}

/// A file name that says which shader it is.
fn file_name(index: usize, label: &str) -> String {
    let plain = label.chars().map(|c| if c.is_ascii_alphanumeric() || c == '=' { c } else { '_' });
    format!("{index:04}_{}.wgsl", plain.take(200).collect::<String>())
}

#[test]
fn browsers_get_the_same_text_and_directives() {
    let folder = env::var_os("MINUEND_SHADER_DIR").map(PathBuf::from);
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).unwrap();
    }
    let mut faults = Vec::new();
    for (index, row) in rows().iter().enumerate() {
        let texts = (specialise(row, Dialect::Native), specialise(row, Dialect::Web));
        let (Ok(native), Ok(web)) = texts else {
            faults.push(format!("{}: not in both dialects", row.label()));
            continue;
        };
        // No browser has cooperative matrices of this kind.
        if web.needs.cooperative_matrix {
            continue;
        }
        let code = |source: &KernelSource| -> Vec<String> {
            let lines = source.text.lines().filter(|line| !line.starts_with("enable "));
            lines.map(str::to_string).collect()
        };
        if code(&native) != code(&web) {
            faults.push(format!("{}: the dialects differ in code", web.label));
        }
        for (feature, needed) in [("f16", web.needs.f16), ("subgroups", web.needs.subgroups)] {
            let directive = format!("enable {feature};");
            if needed != web.text.lines().any(|line| line == directive) {
                faults.push(format!("{}: `{directive}` against its needs", web.label));
            }
        }
        if let Some(folder) = &folder {
            fs::write(folder.join(file_name(index, &web.label)), web.text).unwrap();
        }
    }
    expect_none(&faults);
}

/// A shader that puts `value` into a buffer.
fn stores(value: &str) -> KernelSource {
    let text = format!(
        "@group(0) @binding(0) var<storage, read_write> result: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_index) lane: u32) {{
            result[lane] = {value};
        }}"
    );
    KernelSource { label: "stores".to_string(), text, needs: Features::default() }
}

/// The one fault of a shader.
fn fault(source: &KernelSource) -> String {
    let (faults, _) = written(source);
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    fault.clone()
}

#[test]
fn wrong_shaders_are_found_out() {
    let right = stores("f32(lane)");
    assert_eq!(written(&right).0, [""; 0]);

    // Not WGSL, not valid, and more used than named: with the shader and the line.
    for value in ["f32(lane", "lane", "missing", "f32(1.0h)", "subgroupAdd(1.0)"] {
        let found = fault(&stores(value));
        assert!(found.starts_with("stores: line 4, `result[lane] = "), "{found}");
    }

    let mut needless = right.clone();
    needless.needs.subgroups = true;
    assert!(fault(&needless).contains("valid without"));

    // Valid, but not what the platform has.
    let double = stores("f32(f64(lane))");
    let (module, _) = wgsl::check(&double.text, Capabilities::all()).unwrap();
    assert!(Backend::Metal { version: (2, 3) }.write(&module, &double.text).is_err());
    assert!(Backend::Vulkan { index_checks: true }.write(&module, &double.text).is_ok());

    let panicking = backends::caught::<()>(|| panic!("not cached"));
    assert_eq!(panicking, Err("the writer panics: not cached".to_string()));
}

#[test]
fn spirv_val_finds_wrong_modules_out() {
    if !spirv_val::is_installed() {
        return skipped("spirv-val not found");
    }
    let folder = tempfile::tempdir().unwrap();
    let (faults, modules) = written(&stores("f32(lane)"));
    expect_none(&faults);
    for mut words in modules {
        assert_eq!(spirv_val::validate(&words, folder.path()), Verdict::Valid);
        // The end of the function.
        words.pop();
        let verdict = spirv_val::validate(&words, folder.path());
        assert!(matches!(verdict, Verdict::Invalid(_)), "{verdict:?}");
    }
}
