//! What differs between two reports: of two versions, two drivers or two devices.

use std::collections::BTreeMap;

use crate::report::{CaseReport, Report, Status};

/// Errors that grow or shrink by more than this are told.
const FACTOR: f64 = 2.0;

/// A case that is not the same in both reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Family, name and runner; device and variant before them, unless each report has one of those.
    pub case: String,
    /// What differs.
    pub change: Change,
}

/// What differs.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The case came out otherwise.
    Status(Status, Status),
    /// Its error over its allowance changed by more than a factor of 2; `None` is an error without a
    /// number.
    Error(Option<f64>, Option<f64>),
    /// Only the first report has it.
    OnlyInFirst,
    /// Only the second report has it.
    OnlyInSecond,
}

/// Every difference, by case.
pub fn differences(first: &Report, second: &Report) -> Vec<Difference> {
    // Reports of one device each are comparable whatever the devices are.
    let is_one = |report: &Report| {
        let mut ran = report.cases.iter().map(|case| (&case.device, &case.variant));
        ran.next().is_none_or(|one| ran.all(|other| other == one))
    };
    let names_devices = !(is_one(first) && is_one(second));
    let (a, b) = (by_name(first, names_devices), by_name(second, names_devices));
    let mut found = Vec::new();
    for (case, before) in &a {
        let change = match b.get(case) {
            None => Some(Change::OnlyInFirst),
            Some(after) => change(before, after),
        };
        found.extend(change.map(|change| Difference { case: case.clone(), change }));
    }
    for case in b.keys().filter(|case| !a.contains_key(*case)) {
        found.push(Difference { case: case.clone(), change: Change::OnlyInSecond });
    }
    found.sort_by(|a, b| a.case.cmp(&b.case));
    found
}

fn by_name(report: &Report, names_devices: bool) -> BTreeMap<String, &CaseReport> {
    let name = |case: &CaseReport| {
        let own = format!("{} {}", case.full_name(), case.runner);
        if names_devices { format!("{} {} {own}", case.device, case.variant) } else { own }
    };
    report.cases.iter().map(|case| (name(case), case)).collect()
}

fn change(before: &CaseReport, after: &CaseReport) -> Option<Change> {
    if before.status != after.status {
        return Some(Change::Status(before.status, after.status));
    }
    let is_same = match (before.max_error, after.max_error) {
        (Some(a), Some(b)) => a.max(b) <= FACTOR * a.min(b),
        (a, b) => a == b,
    };
    (!is_same).then_some(Change::Error(before.max_error, after.max_error))
}
