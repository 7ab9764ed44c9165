//! Tests of single passes.

use minuend_ir::GraphLevel;
use minuend_ir::text::print;
use minuend_ir::verify::{VerifyErrorKind, verify};

use crate::expectation::{Expectation, Outcome, expectations};
use crate::failure::Failure;
use crate::file::TestFile;
use crate::stages;

/// Runs the passes on each graph and checks the expectations that stand behind it.
pub(crate) fn pass_test(file: &TestFile<'_>, passes: &[String]) -> Result<(), Failure> {
    let graphs = file.graphs()?;
    let expected = expectations(&file.source())?;
    let starts: Vec<usize> = graphs.iter().map(|parsed| parsed.line).collect();
    for (index, parsed) in graphs.into_iter().enumerate() {
        let next = starts.get(index + 1).copied().unwrap_or(usize::MAX);
        let about: Vec<(usize, Expectation)> = expected
            .iter()
            .filter(|(line, _)| *line > parsed.line && *line < next)
            .cloned()
            .collect();
        let mut graph = parsed.graph;
        if about.is_empty() {
            let of = format!(" of graph @{}", graph.name());
            return Err(Failure::NoExpectation { of });
        }
        let before = print(&graph);
        let remarks = stages::run_passes(&mut graph, passes, &file.target)?;
        check_sound(&graph)?;
        Outcome { before, after: print(&graph), remarks }.meets(&about)?;
    }
    Ok(())
}

/// Structure and types hold behind any pass. Levels are the pipeline's: a fusing pass alone leaves
/// fused ops in a graph that does not claim that level yet.
fn check_sound(graph: &minuend_ir::Graph) -> Result<(), Failure> {
    let mut raised = graph.clone();
    raised.set_level(graph.level().max(GraphLevel::Fused));
    let Err(errors) = verify(&raised) else { return Ok(()) };
    let is_level = |kind: &VerifyErrorKind| matches!(kind, VerifyErrorKind::Level { .. });
    match errors.0.into_iter().find(|error| !is_level(&error.kind)) {
        Some(error) => {
            let (graph, message) = (graph.name().to_string(), error.to_string());
            Err(Failure::Stage { graph, message })
        }
        None => Ok(()),
    }
}
