//! Expectations about a printed graph, one to a comment line.

use crate::failure::Failure;

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// A line behind the one matched before.
    Line(String),
    /// The line right behind the one matched before.
    NextLine(String),
    /// A text that no line holds.
    Not(String),
    /// The graph prints as before.
    Unchanged,
    /// A remark that holds the text was made.
    Remark(String),
    /// No remark was made.
    NoRemarks,
}

/// The expectations of a source, with their lines.
pub(crate) fn expectations(source: &str) -> Result<Vec<(usize, Expectation)>, Failure> {
    let mut found = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix(';').map(str::trim) else { continue };
        let expectation = match comment {
            "unchanged" => Expectation::Unchanged,
            "no-remarks" => Expectation::NoRemarks,
            comment => {
                let Some((word, text)) = comment.split_once(':') else { continue };
                let text = text.trim().to_string();
                match word {
                    "check" => Expectation::Line(text),
                    "nextln" => Expectation::NextLine(text),
                    "not" => Expectation::Not(text),
                    "remark" => Expectation::Remark(text),
                    // A misspelt expectation would never fail.
                    word if word.chars().all(|c| c.is_ascii_lowercase() || c == '-') => {
                        let (line, found) = (index + 1, comment.to_string());
                        return Err(Failure::UnknownExpectation { line, found });
                    }
                    _ => continue,
                }
            }
        };
        found.push((index + 1, expectation));
    }
    Ok(found)
}

/// A graph before and behind the passes, and what they remarked.
pub(crate) struct Outcome {
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) remarks: Vec<String>,
}

impl Outcome {
    /// Fails at the first expectation that does not hold.
    pub(crate) fn meets(&self, expectations: &[(usize, Expectation)]) -> Result<(), Failure> {
        let lines: Vec<&str> = self.after.lines().collect();
        let mut behind = 0;
        for (line, expectation) in expectations {
            let fail = |what: String, printed: &str| {
                Err(Failure::Expectation { line: *line, what, printed: printed.to_string() })
            };
            match expectation {
                Expectation::Line(text) => {
                    let rest = lines.iter().skip(behind);
                    match rest.into_iter().position(|line| is_line(text, line)) {
                        Some(offset) => behind += offset + 1,
                        None => {
                            return fail(
                                format!("no line `{text}` behind line {behind}"),
                                &self.after,
                            );
                        }
                    }
                }
                Expectation::NextLine(text) => {
                    if !lines.get(behind).is_some_and(|line| is_line(text, line)) {
                        let what = format!("line {} is not `{text}`", behind + 1);
                        return fail(what, &self.after);
                    }
                    behind += 1;
                }
                Expectation::Not(text) => {
                    if lines.iter().any(|line| line.contains(text)) {
                        return fail(format!("a line holds `{text}`"), &self.after);
                    }
                }
                Expectation::Unchanged => {
                    if self.after != self.before {
                        return fail("the graph has changed".to_string(), &self.after);
                    }
                }
                Expectation::Remark(text) => {
                    if !self.remarks.iter().any(|remark| remark.contains(text)) {
                        return fail(format!("no remark `{text}`"), &self.remarks.join("\n"));
                    }
                }
                Expectation::NoRemarks => {
                    if !self.remarks.is_empty() {
                        return fail("there are remarks".to_string(), &self.remarks.join("\n"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// True if the printed line is the expected one, or is it but for its result types, where the
/// expectation has none, and its result names, where the expectation begins with `=`.
fn is_line(expected: &str, printed: &str) -> bool {
    let mut printed = printed.trim();
    if expected.starts_with("= ")
        && let Some(equals) = printed.find("= ")
    {
        printed = printed.get(equals..).unwrap_or_default();
    }
    let untyped = printed.rsplit_once(" : ").map(|(untyped, _)| untyped);
    expected == printed || untyped == Some(expected)
}
