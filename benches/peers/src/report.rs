//! Figures and agreements, as JSON or as tables.

use std::fmt;

use serde::Serialize;

use crate::agreement::Agreement;
use crate::alternate::Times;

/// Everything that one run of the program found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    threads: usize,
    device: String,
    figures: Vec<Figure>,
    agreements: Vec<Agreement>,
    notes: Vec<String>,
}

/// How fast one contestant is at one piece of work.
#[derive(Debug, Serialize)]
struct Figure {
    work: String,
    library: String,
    what: String,
    runs: usize,
    median_ms: f64,
    best_ms: f64,
    /// Work per second at the median: tokens, or floating-point operations.
    rate: Option<Rate>,
}

/// Work per second.
#[derive(Debug, Serialize)]
struct Rate {
    median: f64,
    best: f64,
    unit: &'static str,
}

/// How much work one run is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    /// Tokens fed to a model.
    Tokens(usize),
    /// Floating-point operations.
    Flops(f64),
    /// No count that means the same for every contestant.
    Uncounted,
}

impl Report {
    /// An empty report of a run on that device of minuend's, with that many threads.
    pub(crate) fn new(threads: usize, device: &str) -> Report {
        let device = device.to_string();
        Report { threads, device, figures: vec![], agreements: vec![], notes: vec![] }
    }

    /// minuend's name of the device: `cpu`, or an adapter that burn reaches through wgpu as well.
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// True on the CPU, where every peer runs.
    pub(crate) fn is_cpu(&self) -> bool {
        self.device == "cpu"
    }

    /// Threads of each library.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Adds the times of one contestant, given by library and what it does.
    pub(crate) fn add(
        &mut self,
        work: &str,
        (library, what): (&str, &str),
        times: &Times,
        amount: Amount,
    ) {
        let rate = |count: f64, unit| {
            Some(Rate { median: count / times.median(), best: count / times.best(), unit })
        };
        self.figures.push(Figure {
            work: work.into(),
            library: library.into(),
            what: what.into(),
            runs: times.count(),
            median_ms: times.median() * 1e3,
            best_ms: times.best() * 1e3,
            rate: match amount {
                Amount::Tokens(count) => rate(count as f64, "tokens/s"),
                Amount::Flops(count) => rate(count / 1e9, "GFLOP/s"),
                Amount::Uncounted => None,
            },
        });
    }

    pub(crate) fn agree(&mut self, agreement: Agreement) {
        self.agreements.push(agreement);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Number of results that are too far from the one they are compared with.
    pub(crate) fn disagreements(&self) -> usize {
        self.agreements.iter().filter(|agreement| !agreement.holds()).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "device: {}, threads: {}", self.device, self.threads)?;
        let mut work = "";
        for figure in &self.figures {
            if figure.work != work {
                work = &figure.work;
                writeln!(f, "\n{work} (median of {})\n", figure.runs)?;
                writeln!(f, "| library | what | median ms | best ms | rate at the median |")?;
                writeln!(f, "|---|---|--:|--:|--:|")?;
            }
            let Figure { library, what, median_ms, best_ms, .. } = figure;
            let rate = figure.rate.as_ref();
            let rate =
                rate.map_or(String::new(), |rate| format!("{:.1} {}", rate.median, rate.unit));
            writeln!(f, "| {library} | {what} | {median_ms:.3} | {best_ms:.3} | {rate} |")?;
        }
        writeln!(f)?;
        for Agreement { what, relative_l2, limit } in &self.agreements {
            writeln!(f, "relative L2 {relative_l2:.1e} (limit {limit:.0e}): {what}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}
