//! Compiled kernels on disk.
//!
//! A file's name is the hash of all that its content depends on: every byte given to the compiler, the
//! options, the architecture among them, and the compiler's version.

use std::fs;
use std::path::PathBuf;

use minuend_codegen::cuda::KernelSource;
use sha2::{Digest, Sha256};

/// A directory of compiled kernels; none keeps nothing.
#[derive(Clone, Debug)]
pub(crate) struct CodeCache {
    directory: Option<PathBuf>,
}

/// What compiles: NVRTC's version, and whether the driver is given machine code or assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) version: (i32, i32),
    pub(crate) is_ptx: bool,
}

impl CodeCache {
    pub(crate) fn new(directory: Option<PathBuf>) -> CodeCache {
        CodeCache { directory }
    }

    /// The file for a kernel.
    fn file(&self, source: &KernelSource, compiler: Compiler) -> Option<PathBuf> {
        let kind = if compiler.is_ptx { "ptx" } else { "cubin" };
        let name = format!("{}.{kind}", key(source, compiler));
        self.directory.as_ref().map(|directory| directory.join(name))
    }

    /// The code of a kernel compiled earlier.
    pub(crate) fn get(&self, source: &KernelSource, compiler: Compiler) -> Option<Vec<u8>> {
        let code = fs::read(self.file(source, compiler)?).ok()?;
        (!code.is_empty()).then_some(code)
    }

    /// Keeps the code of a kernel. A cache that cannot be written only costs time on the next start.
    pub(crate) fn put(&self, source: &KernelSource, compiler: Compiler, code: &[u8]) {
        let Some(file) = self.file(source, compiler) else { return };
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let written = file
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&temporary, code))
            .and_then(|()| fs::rename(&temporary, &file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    /// Forgets a kernel, whose code the driver refused.
    pub(crate) fn remove(&self, source: &KernelSource, compiler: Compiler) {
        if let Some(file) = self.file(source, compiler) {
            let _ = fs::remove_file(file);
        }
    }
}

/// The hash, in hexadecimal digits. Every part is preceded by its length, so that no two lists of parts
/// are one text.
fn key(source: &KernelSource, compiler: Compiler) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(source.file.as_bytes());
    add(source.text.as_bytes());
    for (name, text) in &source.headers {
        add(name.as_bytes());
        add(text.as_bytes());
    }
    add(b"options");
    source.options.iter().for_each(|option| add(option.as_bytes()));
    let Compiler { version: (major, minor), is_ptx } = compiler;
    add(format!("nvrtc {major}.{minor} ptx={is_ptx}").as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPILER: Compiler = Compiler { version: (13, 0), is_ptx: false };

    fn source() -> KernelSource {
        KernelSource {
            label: "label".into(),
            file: "cuda/a.cu".into(),
            text: "text".into(),
            headers: vec![("h.cuh", "header".into())],
            options: vec!["-DX=1".into()],
            entry: "entry",
        }
    }

    #[test]
    fn the_key_covers_all_that_the_code_depends_on() {
        let base = key(&source(), COMPILER);
        let changes: [fn(&mut KernelSource); 4] = [
            |s| s.text = "other".into(),
            |s| s.headers[0].1 = "other".into(),
            |s| s.options[0] = "-DX=2".into(),
            |s| s.options.push("-lineinfo".into()),
        ];
        for change in changes {
            let mut changed = source();
            change(&mut changed);
            assert_ne!(key(&changed, COMPILER), base);
        }
        assert_ne!(key(&source(), Compiler { version: (13, 1), ..COMPILER }), base);
        assert_ne!(key(&source(), Compiler { is_ptx: true, ..COMPILER }), base);
        assert_eq!(key(&source(), COMPILER), base);
    }

    #[test]
    fn code_is_kept_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(Some(directory.path().join("below")));
        assert_eq!(cache.get(&source(), COMPILER), None);
        cache.put(&source(), COMPILER, b"code");
        assert_eq!(cache.get(&source(), COMPILER).as_deref(), Some(&b"code"[..]));
        cache.remove(&source(), COMPILER);
        assert_eq!(cache.get(&source(), COMPILER), None);
        CodeCache::new(None).put(&source(), COMPILER, b"code");
    }
}
