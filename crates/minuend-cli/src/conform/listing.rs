//! Reports and their differences as lines of text.

use std::fmt::Write;

use minuend_conform::{CaseReport, Change, DeviceReport, Difference, Report, Status};

use crate::output::plain;

/// A line for each case that fails, or for each case, then a summary of every device and family.
pub(super) fn of_report(report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    for case in report.cases.iter().filter(|case| verbose || case.status.is_fault()) {
        text += &line(case);
    }
    for device in &report.devices {
        text += &summary(report, device);
    }
    let faults = report.cases.iter().filter(|case| case.status.is_fault()).count();
    let all = report.cases.len();
    // Writing to a string does not fail.
    let _ = match faults {
        0 => writeln!(text, "all of {all} cases pass or are skipped"),
        _ => writeln!(text, "{faults} of {all} cases FAIL"),
    };
    text
}

fn line(case: &CaseReport) -> String {
    let status = match case.status {
        Status::Pass => "pass",
        Status::Fail => "FAIL",
        Status::Skipped => "skipped",
        Status::Error => "ERROR",
    };
    let CaseReport { device, variant, runner, .. } = case;
    let mut text = format!("{status:<7} {device} {variant} {} ({runner})", case.full_name());
    if let Some(error) = case.max_error {
        let _ = write!(text, ", {error:.3} of the allowance");
    }
    if let Some(node) = &case.diverging_node {
        let _ = write!(text, ", first at {node}");
    }
    if let Some(message) = &case.message {
        let _ = write!(text, ": {message}");
    }
    plain(&text) + "\n"
}

fn summary(report: &Report, device: &DeviceReport) -> String {
    let DeviceReport { name, description, variant, unavailable, .. } = device;
    let mut text = format!("\n{name} {variant}: {}\n", plain(description));
    if let Some(reason) = unavailable {
        let _ = writeln!(text, "  skipped: {}", plain(reason));
        return text;
    }
    let heads = ["passed", "failed", "skipped", "error/allowance", "ms"];
    let _ = writeln!(
        text,
        "  {:<12} {:>7} {:>7} {:>7} {:>16} {:>9}",
        "family", heads[0], heads[1], heads[2], heads[3], heads[4]
    );
    for (family, sums) in report.summaries(device) {
        let _ = writeln!(
            text,
            "  {family:<12} {:>7} {:>7} {:>7} {:>16.3} {:>9.1}",
            sums.passed, sums.failed, sums.skipped, sums.max_error, sums.time_ms
        );
    }
    text
}

/// A line for each difference, or that there is none.
pub(super) fn of_differences(differences: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { case, change: what } in differences {
        text += &plain(&format!("{case}: {}", change(what)));
        text.push('\n');
    }
    let _ = match differences.len() {
        0 => writeln!(text, "the reports agree"),
        count => writeln!(text, "{count} differences"),
    };
    text
}

/// A change in words.
pub(super) fn change(change: &Change) -> String {
    let number = |error: &Option<f64>| error.map_or("no number".into(), |x| format!("{x:.3e}"));
    match change {
        Change::Status(before, after) => format!("{} -> {}", before.name(), after.name()),
        Change::Error(before, after) => {
            format!("error over allowance {} -> {}", number(before), number(after))
        }
        Change::OnlyInFirst => "only in the first report".into(),
        Change::OnlyInSecond => "only in the second report".into(),
    }
}
