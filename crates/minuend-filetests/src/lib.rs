//! The harness of the text tests under `tests/filetests`.
//!
//! A test is one `.mnd` file: header lines, graphs, and expectations in comments. The first header
//! line says what is tested:
//!
//! `test parse`: the canonical print of the graphs is the file's own text, or the block of `; > `
//! lines if the file has one.
//!
//! `test verify`: each `; error: TEXT` names an error that is reported for its line, by the parser or,
//! if the file parses, by the verifier. No other error occurs.
//!
//! `test pass NAME...`: the passes run in that order, and these comments, each on a line of its own
//! behind the graph it is about, say what must be:
//! `; check: LINE` the printed graph has the line, behind the line of the check before;
//! `; nextln: LINE` the very next line is this one;
//! `; not: TEXT` no line holds the text;
//! `; unchanged` the graph prints as it did before;
//! `; remark: TEXT` a pass made a remark that holds the text;
//! `; no-remarks` no pass made any.
//! A line is compared without its result types where the expectation has none, and without its
//! result names where the expectation begins with `=`.
//!
//! `test pipeline`: the graphs at level fused, behind the standard pipeline, are the `; > ` block.
//!
//! `test plan`: the plan is the `; > ` block.
//!
//! `test run`: the interpreter computes the same from the graphs before and behind the pipeline, on
//! random inputs.
//!
//! Further header lines: `target NAME` (default `cpu`) and `set NAME = NUMBER`, which gives a symbol
//! its value in `plan` and `run`, and sets `seed` and `int_limit` (integer inputs are below it) of a
//! `run`. Blessing rewrites `; > ` blocks and the text of `parse` tests.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod expectation;
mod failure;
mod file;
mod golden;
mod pass_test;
mod random;
mod run_test;
mod stages;
mod verify_test;

use std::path::{Path, PathBuf};

pub use failure::Failure;
use file::{Kind, TestFile};

/// Every test file under a folder, sorted.
///
/// # Errors
/// A folder that cannot be read.
pub fn discover(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let unreadable = |source| Failure::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mnd") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Runs the test of one file. With `bless`, an expectation that is a whole text is rewritten.
///
/// # Errors
/// Why the test fails.
pub fn run(path: &Path, bless: bool) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    match check(&path.display().to_string(), &text) {
        Err(Failure::Golden { blessed, .. }) if bless => std::fs::write(path, blessed)
            .map_err(|source| Failure::Write { path: path.to_path_buf(), source }),
        outcome => outcome,
    }
}

/// Runs a test given as text; `name` stands in messages.
///
/// # Errors
/// Why the test fails.
pub fn check(name: &str, text: &str) -> Result<(), Failure> {
    let file = TestFile::read(name, text)?;
    match &file.kind {
        Kind::Parse => golden::parse_test(&file),
        Kind::Verify => verify_test::verify_test(&file),
        Kind::Pass(passes) => pass_test::pass_test(&file, passes),
        Kind::Pipeline => golden::pipeline_test(&file),
        Kind::Plan => golden::plan_test(&file),
        Kind::Run => run_test::run_test(&file),
    }
}

#[cfg(test)]
mod tests;
