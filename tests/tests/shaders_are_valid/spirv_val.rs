//! Khronos's validator of SPIR-V, where it is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::wgsl::one_line;

/// What the validator says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The module is valid for Vulkan 1.1.
    Valid,
    /// The validator is older than cooperative matrices, which the module uses.
    TooOld,
    /// The module is not valid, in the validator's words.
    Invalid(String),
}

/// Whether `spirv-val` can be run here.
pub(crate) fn is_installed() -> bool {
    Command::new("spirv-val").arg("--version").output().is_ok_and(|said| said.status.success())
}

/// Validates a module for Vulkan 1.1, through a file in this folder.
pub(crate) fn validate(words: &[u32], folder: &Path) -> Verdict {
    let file = folder.join("module.spv");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(&file, bytes).unwrap();
    let said =
        Command::new("spirv-val").args(["--target-env", "vulkan1.1"]).arg(&file).output().unwrap();
    if said.status.success() {
        return Verdict::Valid;
    }
    let message = one_line(&String::from_utf8_lossy(&[said.stderr, said.stdout].concat()));
    // 6022 is CooperativeMatrixKHR, a capability by number alone to a validator that does not know it.
    if message.contains("Invalid capability operand: 6022") {
        return Verdict::TooOld;
    }
    Verdict::Invalid(message)
}
