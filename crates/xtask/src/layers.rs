//! Which crate may depend on which.
//!
//! Three rules: `minuend-ir` depends on nothing of ours; nothing that produces text or plans depends on
//! a runtime or a GPU API; nothing but `minuend` and what stands on it sees more than one runtime.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Every crate of ours with the crates of ours that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("minuend-ir", &[]),
    ("minuend-passes", &["minuend-ir"]),
    ("minuend-interp", &["minuend-ir"]),
    ("minuend-codegen", &["minuend-ir"]),
    ("minuend-models", &["minuend-ir"]),
    ("minuend-onnx", &["minuend-ir"]),
    ("minuend-plan", &["minuend-ir", "minuend-codegen"]),
    ("minuend-runtime", &["minuend-ir", "minuend-codegen", "minuend-plan"]),
    ("minuend-runtime-cpu", &["minuend-ir", "minuend-codegen", "minuend-plan", "minuend-runtime"]),
    ("minuend-runtime-cuda", &["minuend-ir", "minuend-codegen", "minuend-plan", "minuend-runtime"]),
    ("minuend-runtime-wgpu", &["minuend-ir", "minuend-codegen", "minuend-plan", "minuend-runtime"]),
    (
        "minuend",
        &[
            "minuend-ir",
            "minuend-passes",
            "minuend-interp",
            "minuend-codegen",
            "minuend-plan",
            "minuend-runtime",
            "minuend-runtime-cpu",
            "minuend-runtime-cuda",
            "minuend-runtime-wgpu",
            "minuend-models",
            "minuend-onnx",
        ],
    ),
    // Checks devices against the interpreter; opens them through the facade alone.
    (
        "minuend-conform",
        &[
            "minuend",
            "minuend-ir",
            "minuend-passes",
            "minuend-interp",
            "minuend-codegen",
            "minuend-plan",
        ],
    ),
    ("minuend-cli", &["minuend", "minuend-conform"]),
    (
        "minuend-filetests",
        &["minuend-ir", "minuend-passes", "minuend-interp", "minuend-codegen", "minuend-plan"],
    ),
    ("minuend-examples", &["minuend"]),
    // Tests across layers see all of them but the command line.
    (
        "minuend-tests",
        &[
            "minuend-ir",
            "minuend-passes",
            "minuend-interp",
            "minuend-codegen",
            "minuend-plan",
            "minuend-runtime",
            "minuend-runtime-cpu",
            "minuend-models",
            "minuend-onnx",
            "minuend",
            "minuend-conform",
            "minuend-filetests",
        ],
    ),
    ("xtask", &[]),
];

/// GPU APIs, which only the crates named `minuend-runtime-*` may use.
const GPU_APIS: &[&str] = &["cudarc", "wgpu", "ash", "metal"];

/// Compares the workspace's manifests with [`LAYERS`]; all violations at once.
pub(crate) fn check() -> Result<String, String> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|error| error.to_string())?;
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in &packages {
        check_package(package, &ours, &mut violations);
    }
    if violations.is_empty() {
        return Ok(format!("{} crates keep to their layers", packages.len()));
    }
    Err(violations.join("\n"))
}

fn check_package(package: &Package, ours: &BTreeSet<&str>, violations: &mut Vec<String>) {
    let name = package.name.as_str();
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        violations.push(format!("{name}: not in the table of crates/xtask/src/layers.rs"));
        return;
    };
    // Unit tests may look across layers.
    let used = package.dependencies.iter().filter(|dep| dep.kind == DependencyKind::Normal);
    for dependency in used {
        let dependency = dependency.name.as_str();
        if ours.contains(dependency) && !allowed.contains(&dependency) {
            violations
                .push(format!("{name} depends on {dependency}, which its layer must not see"));
        }
        if GPU_APIS.contains(&dependency) && !name.starts_with("minuend-runtime-") {
            violations.push(format!("{name} depends on the GPU API {dependency}"));
        }
    }
}
