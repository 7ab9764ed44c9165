//! The shared libraries of CUDA: where they lie, and whether they are there.
//!
//! They are opened when a CUDA device or the compiler is asked for, never before: the program starts on
//! machines that have none of them. The bindings used here end the process when a library is missing, so
//! each is opened by its path first; opening it again by its name then finds the one that is loaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;

/// Directories to look into before the system's own, separated like `PATH`: for CUDA libraries that no
/// toolkit installed, such as those of Python packages.
pub const DIRECTORIES_VARIABLE: &str = "MINUEND_CUDA_LIBRARIES";

/// A CUDA library that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{library} was not found: {hint}")]
pub struct MissingLibrary {
    /// What it is called by users: `the CUDA driver`, `NVRTC`.
    pub library: &'static str,
    /// What to do about it.
    pub hint: String,
}

/// True if the CUDA driver can be loaded.
pub(crate) fn driver() -> Result<(), MissingLibrary> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    // SAFETY: looking for the library runs its initialisers; the CUDA driver is made to be opened so.
    let is_found = *FOUND.get_or_init(|| unsafe { cudarc::driver::sys::is_culib_present() });
    let hint = "install an NVIDIA driver".to_string();
    if is_found { Ok(()) } else { Err(MissingLibrary { library: "the CUDA driver", hint }) }
}

/// Opens the compiler.
pub(crate) fn compiler() -> Result<(), MissingLibrary> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let is_found = *FOUND.get_or_init(|| {
        preload("libnvrtc-builtins.so.", 13);
        let found = preload("libnvrtc.so.", 13) || preload("libnvrtc.so.", 12);
        // SAFETY: as for the driver.
        found || unsafe { cudarc::nvrtc::sys::is_culib_present() }
    });
    if is_found { Ok(()) } else { Err(missing("NVRTC", "libnvrtc.so.13")) }
}

/// Opens the library of dense products.
pub(crate) fn products() -> Result<(), MissingLibrary> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let is_found = *FOUND.get_or_init(|| {
        let found = preload("libcublasLt.so.", 13) || preload("libcublasLt.so.", 12);
        // SAFETY: as for the driver.
        found || unsafe { cudarc::cublaslt::sys::is_culib_present() }
    });
    if is_found { Ok(()) } else { Err(missing("cuBLASLt", "libcublasLt.so.13")) }
}

fn missing(library: &'static str, file: &str) -> MissingLibrary {
    let hint = format!(
        "install the CUDA toolkit, or set {DIRECTORIES_VARIABLE} to the directory of {file}"
    );
    MissingLibrary { library, hint }
}

/// Opens the newest file of a library's major version in the known directories and keeps it open.
fn preload(stem: &str, major: u32) -> bool {
    let prefix = format!("{stem}{major}");
    directories().iter().any(|directory| open_in(directory, &prefix))
}

fn open_in(directory: &Path, prefix: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<OsString> = names.filter(|name| has_version(name, prefix)).collect();
    names.sort();
    names.iter().rev().any(|name| {
        // SAFETY: the file is a CUDA library by its name, in a directory where such libraries are
        // installed; its initialisers are what the CUDA runtime itself would run.
        match unsafe { Library::new(directory.join(name)) } {
            Ok(library) => {
                // It stays open for as long as the process lives: the bindings keep its functions.
                std::mem::forget(library);
                true
            }
            Err(_) => false,
        }
    })
}

/// `libnvrtc.so.13` and `libnvrtc.so.13.0.88` have the version that the prefix ends with;
/// `libnvrtc.so.130` has not.
fn has_version(name: &OsString, prefix: &str) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Directories that may hold CUDA libraries: the user's, that of the program, those of toolkits and of
/// Python environments in use.
fn directories() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    if let Some(list) = std::env::var_os(DIRECTORIES_VARIABLE) {
        found.extend(std::env::split_paths(&list));
    }
    if let Some(list) = std::env::var_os("LD_LIBRARY_PATH") {
        found.extend(std::env::split_paths(&list));
    }
    let program = std::env::current_exe().ok();
    found.extend(program.as_deref().and_then(Path::parent).map(Path::to_path_buf));
    for variable in ["CUDA_PATH", "CUDA_HOME"] {
        found.extend(std::env::var_os(variable).map(|home| Path::new(&home).join("lib64")));
    }
    found.push("/usr/local/cuda/lib64".into());
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        let Some(home) = std::env::var_os(variable) else { continue };
        found.extend(python_packages(&Path::new(&home).join("lib")));
    }
    found
}

/// `lib/python3.N/site-packages/nvidia/*/lib`, where the packages of NVIDIA put their libraries.
fn python_packages(lib: &Path) -> Vec<PathBuf> {
    let list = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let versions = list(lib).into_iter().filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with("python3"))
    });
    let packages = versions.flat_map(|path| list(&path.join("site-packages").join("nvidia")));
    packages.map(|path| path.join("lib")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        let has = |name: &str| has_version(&OsString::from(name), "libnvrtc.so.13");
        assert!(has("libnvrtc.so.13"));
        assert!(has("libnvrtc.so.13.0.88"));
        assert!(!has("libnvrtc.so.130"));
        assert!(!has("libnvrtc.so.12"));
        assert!(!has("libnvrtc.alt.so.13"));
    }

    #[test]
    fn libraries_of_python_environments_are_found() {
        let home = tempfile::tempdir().unwrap();
        let lib = home.path().join("python3.12/site-packages/nvidia/cu13/lib");
        std::fs::create_dir_all(&lib).unwrap();
        assert_eq!(python_packages(home.path()), [lib]);
    }

    #[test]
    fn a_missing_library_says_what_to_do() {
        let text = missing("NVRTC", "libnvrtc.so.13").to_string();
        assert!(
            text.contains("NVRTC was not found") && text.contains(DIRECTORIES_VARIABLE),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_is_no_library_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("libnvrtc.so.13"), b"not a library").unwrap();
        assert!(!open_in(directory.path(), "libnvrtc.so.13"));
    }
}
