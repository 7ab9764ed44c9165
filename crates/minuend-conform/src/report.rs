//! What came out, in a form that can be stored, compared and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ConformError;

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// What came out of all cases on all devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// The version of minuend.
    pub minuend: String,
    /// The devices, one entry for each variant.
    pub devices: Vec<DeviceReport>,
    /// The cases, in the order in which they ran.
    pub cases: Vec<CaseReport>,
}

/// A device with one family of its kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The device's name.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Facts about it: key and value.
    pub details: Vec<(String, String)>,
    /// The kernel family.
    pub variant: String,
    /// Why nothing ran on it; absent if it ran.
    pub unavailable: Option<String>,
}

/// One case on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// What it is about: `matmul`, `model`.
    pub family: String,
    /// Its name, unique in its family.
    pub name: String,
    /// How the device came to run it: `kernels`, `raised`, `decomposed`, or `model`.
    pub runner: String,
    /// The device's name.
    pub device: String,
    /// The kernel family.
    pub variant: String,
    /// What came out.
    pub status: Status,
    /// What is wrong, or why it was skipped; absent where it passed.
    pub message: Option<String>,
    /// The largest error over what is allowed there, so that above 1 is wrong; absent where there is no
    /// number: nothing ran, or what must be exact is not.
    pub max_error: Option<f64>,
    /// `||found - expected|| / ||expected||`, the largest of all outputs; absent where nothing ran.
    pub relative_l2: Option<f64>,
    /// Milliseconds that the device took, loading included.
    pub time_ms: f64,
    /// The first node at which the device left the interpreter: `%y = softmax`.
    pub diverging_node: Option<String>,
}

/// Items of a JSON array, each on a line of its own.
fn lines<T: Serialize>(items: &[T]) -> Result<String, ConformError> {
    let lines = items.iter().map(|item| Ok(format!("\n{}", serde_json::to_string(item)?)));
    Ok(lines.collect::<Result<Vec<_>, ConformError>>()?.join(","))
}

/// What came out of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every output is close enough.
    Pass,
    /// An output is not.
    Fail,
    /// The device says that it cannot run it.
    Skipped,
    /// The device failed, or the case could not be made.
    Error,
}

impl Status {
    /// The word of the JSON format.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Skipped => "skipped",
            Status::Error => "error",
        }
    }

    /// True for a case that shows a fault.
    pub fn is_fault(self) -> bool {
        matches!(self, Status::Fail | Status::Error)
    }
}

impl CaseReport {
    /// Family and name: `matmul/weight 7x2 bf16`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }
}

/// The cases of one family on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed, errors among them.
    pub failed: usize,
    /// Cases that the device cannot run.
    pub skipped: usize,
    /// The largest error over its allowance, of the cases that have one.
    pub max_error: f64,
    /// Milliseconds on the device.
    pub time_ms: f64,
}

impl Summary {
    fn add(&mut self, case: &CaseReport) {
        match case.status {
            Status::Pass => self.passed += 1,
            Status::Fail | Status::Error => self.failed += 1,
            Status::Skipped => self.skipped += 1,
        }
        self.max_error = self.max_error.max(case.max_error.unwrap_or(0.0));
        self.time_ms += case.time_ms;
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`ConformError::Report`] and [`ConformError::ReportVersion`].
    pub fn from_json(text: &str) -> Result<Report, ConformError> {
        let report: Report = serde_json::from_str(text)?;
        if report.version != VERSION {
            return Err(ConformError::ReportVersion { found: report.version, expected: VERSION });
        }
        Ok(report)
    }

    /// The report as JSON, each device and each case on a line of its own, so that stored reports can be
    /// compared line by line.
    ///
    /// # Errors
    /// Never for a report, which has no map but those of text.
    pub fn to_json(&self) -> Result<String, ConformError> {
        let version = self.version;
        let minuend = serde_json::to_string(&self.minuend)?;
        let devices = lines(&self.devices)?;
        let cases = lines(&self.cases)?;
        Ok(format!(
            "{{\n\"version\": {version},\n\"minuend\": {minuend},\n\"devices\": [{devices}\n],\n\"cases\": [{cases}\n]\n}}"
        ))
    }

    /// True if no case shows a fault.
    pub fn passed(&self) -> bool {
        !self.cases.iter().any(|case| case.status.is_fault())
    }

    /// The cases on one device and variant.
    pub fn cases_of(&self, device: &DeviceReport) -> impl Iterator<Item = &CaseReport> {
        let (name, variant) = (device.name.clone(), device.variant.clone());
        self.cases.iter().filter(move |case| case.device == name && case.variant == variant)
    }

    /// Sums of the cases of each family on one device and variant, families in order of name.
    pub fn summaries(&self, device: &DeviceReport) -> BTreeMap<&str, Summary> {
        let mut summaries: BTreeMap<&str, Summary> = BTreeMap::new();
        for case in self.cases_of(device) {
            summaries.entry(&case.family).or_default().add(case);
        }
        summaries
    }
}
