//! Tests that compare whole texts.

use minuend_ir::Graph;
use minuend_ir::text::print;
use similar::TextDiff;

use crate::failure::Failure;
use crate::file::TestFile;
use crate::stages;

/// Canonical print, twice over: what was printed must read back and print the same.
pub(crate) fn parse_test(file: &TestFile<'_>) -> Result<(), Failure> {
    let graphs = file.graphs()?;
    let printed = join(graphs.iter().map(|parsed| print(&parsed.graph)));
    let again = minuend_ir::text::parse(&printed)
        .map_err(|errors| Failure::Source(errors.render("the printed text", &printed)))?;
    let again = join(again.iter().map(print));
    if again != printed {
        let diff = diff(&printed, &again);
        return Err(Failure::Source(format!("printed, read and printed again:\n{diff}")));
    }
    match file.block() {
        Some(expected) => compare(&expected, &printed, || file.with_block(&printed)),
        None => compare(&file.body(), &printed, || file.with_body(&printed)),
    }
}

/// The graphs at level fused.
pub(crate) fn pipeline_test(file: &TestFile<'_>) -> Result<(), Failure> {
    let fused: Vec<Graph> = file
        .graphs()?
        .into_iter()
        .map(|parsed| stages::fused(parsed.graph))
        .collect::<Result<_, _>>()?;
    compare_block(file, &join(fused.iter().map(print)))
}

/// The plans.
pub(crate) fn plan_test(file: &TestFile<'_>) -> Result<(), Failure> {
    let plans: Vec<String> = file
        .graphs()?
        .into_iter()
        .map(|parsed| stages::plan_text(parsed.graph, &file.target, &file.settings))
        .collect::<Result<_, _>>()?;
    compare_block(file, &join(plans.into_iter()))
}

/// Texts with an empty line between them.
fn join(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

fn compare_block(file: &TestFile<'_>, found: &str) -> Result<(), Failure> {
    compare(&file.block().unwrap_or_default(), found, || file.with_block(found))
}

fn compare(expected: &str, found: &str, blessed: impl FnOnce() -> String) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::Golden { diff: diff(expected, found), blessed: blessed() })
}

fn diff(expected: &str, found: &str) -> String {
    TextDiff::from_lines(expected, found).unified_diff().header("expected", "found").to_string()
}
