//! A test file: header, graphs, block of expected text.

use std::collections::BTreeMap;

use minuend_ir::text::{ParsedGraph, parse_with_lines};

use crate::failure::Failure;

/// What is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Parse,
    Verify,
    Pass(Vec<String>),
    Pipeline,
    Plan,
    Run,
}

/// A test file with its header read.
#[derive(Debug)]
pub(crate) struct TestFile<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
    pub(crate) kind: Kind,
    pub(crate) target: String,
    pub(crate) settings: BTreeMap<String, u64>,
    /// Lines in front of the first graph.
    pub(crate) header_lines: usize,
}

/// Begins a line of the expected text.
const BLOCK: &str = "; >";

impl<'t> TestFile<'t> {
    /// Reads the header, which ends at the first line that begins with `graph`.
    pub(crate) fn read(name: &'t str, text: &'t str) -> Result<TestFile<'t>, Failure> {
        let mut kind = None;
        let mut target = "cpu".to_string();
        let mut settings = BTreeMap::new();
        let mut header_lines = 0;
        for (index, line) in text.lines().enumerate() {
            let wrong = |expected| {
                Err(Failure::Header { line: index + 1, found: line.to_string(), expected })
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            match (words.as_slice(), &kind) {
                (["graph", ..], _) => break,
                ([], _) => {}
                ([first, ..], _) if first.starts_with(';') => {}
                (["test", rest @ ..], None) => match test_kind(rest) {
                    Some(found) => kind = Some(found),
                    None => {
                        return wrong(
                            "parse, verify, pass NAME..., pipeline, plan or run behind test",
                        );
                    }
                },
                (_, None) => return wrong("a line `test KIND` first"),
                (["target", name], Some(_)) => target = (*name).to_string(),
                (["set", name, "=", value], Some(_)) => match value.parse() {
                    Ok(value) => drop(settings.insert((*name).to_string(), value)),
                    Err(_) => return wrong("set NAME = NUMBER"),
                },
                _ => return wrong("target NAME, set NAME = NUMBER or a graph"),
            }
            header_lines = index + 1;
        }
        let Some(kind) = kind else {
            let (line, found) = (header_lines.max(1), String::new());
            return Err(Failure::Header { line, found, expected: "a line `test KIND`" });
        };
        Ok(TestFile { name, text, kind, target, settings, header_lines })
    }

    /// The text for the parser: the header is blanked, so that lines keep their numbers.
    pub(crate) fn source(&self) -> String {
        let lines = self.text.lines().enumerate();
        let lines = lines.map(|(index, line)| if index < self.header_lines { "" } else { line });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The graphs.
    pub(crate) fn graphs(&self) -> Result<Vec<ParsedGraph>, Failure> {
        let source = self.source();
        parse_with_lines(&source)
            .map_err(|errors| Failure::Source(errors.render(self.name, &source)))
    }

    /// The text from the first graph on.
    pub(crate) fn body(&self) -> String {
        let lines: Vec<&str> = self.text.lines().skip(self.header_lines).collect();
        lines.join("\n") + "\n"
    }

    /// The expected text of the `; > ` lines, if there are any.
    pub(crate) fn block(&self) -> Option<String> {
        let lines: Vec<&str> =
            self.text.lines().filter_map(|line| line.strip_prefix(BLOCK)).collect();
        if lines.is_empty() {
            return None;
        }
        let lines = lines.into_iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
        Some(lines.map(|line| format!("{line}\n")).collect())
    }

    /// The file with another block, at its end.
    pub(crate) fn with_block(&self, block: &str) -> String {
        let kept: Vec<&str> = self.text.lines().filter(|line| !line.starts_with(BLOCK)).collect();
        let block = block.lines().map(|line| match line {
            "" => format!("{BLOCK}\n"),
            line => format!("{BLOCK} {line}\n"),
        });
        format!("{}\n\n{}", kept.join("\n").trim_end(), block.collect::<String>())
    }

    /// The file with another body.
    pub(crate) fn with_body(&self, body: &str) -> String {
        let header = self.text.lines().take(self.header_lines);
        header.map(|line| format!("{line}\n")).collect::<String>() + body
    }
}

fn test_kind(words: &[&str]) -> Option<Kind> {
    match words {
        ["parse"] => Some(Kind::Parse),
        ["verify"] => Some(Kind::Verify),
        ["pass", first, rest @ ..] => {
            Some(Kind::Pass([first].into_iter().chain(rest).map(ToString::to_string).collect()))
        }
        ["pipeline"] => Some(Kind::Pipeline),
        ["plan"] => Some(Kind::Plan),
        ["run"] => Some(Kind::Run),
        _ => None,
    }
}
