//! Tests of what parser and verifier refuse.

use minuend_ir::text::{ParsedGraph, parse_with_lines};
use minuend_ir::verify::verify;

use crate::failure::Failure;
use crate::file::TestFile;

/// Begins an expectation in a line's comment.
const ERROR: &str = "; error: ";

/// A line and a message.
type At = (usize, String);

/// Compares the errors reported with the `; error: ` comments, line by line.
pub(crate) fn verify_test(file: &TestFile<'_>) -> Result<(), Failure> {
    let source = file.source();
    let mut expected: Vec<At> = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let comments = line.split(ERROR).skip(1);
        expected.extend(comments.map(|text| (index + 1, text.trim().to_string())));
    }
    let found: Vec<At> = match parse_with_lines(&source) {
        Ok(graphs) => graphs.iter().flat_map(violations).collect(),
        Err(errors) => errors.0.iter().map(|e| (e.span.line, e.kind.to_string())).collect(),
    };
    let mut wrong = difference(&expected, &found, "expected and not reported");
    wrong.extend(difference(&found, &expected, "reported and not expected"));
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Errors(wrong)) }
}

fn violations(parsed: &ParsedGraph) -> Vec<At> {
    let Err(errors) = verify(&parsed.graph) else { return Vec::new() };
    let line = |at| parsed.lines.get(&at).copied().unwrap_or(parsed.line);
    let errors = errors.0.into_iter();
    errors.map(|error| (error.at.map_or(parsed.line, line), error.kind.to_string())).collect()
}

/// What `a` has more often than `b`, in words.
fn difference(a: &[At], b: &[At], what: &str) -> Vec<String> {
    let mut rest = b.to_vec();
    let mut wrong = Vec::new();
    for at in a {
        match rest.iter().position(|other| other == at) {
            Some(index) => drop(rest.swap_remove(index)),
            None => wrong.push(format!("line {}: {what}: {}", at.0, at.1)),
        }
    }
    wrong
}
