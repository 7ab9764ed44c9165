//! Every case on every device.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use minuend::Device;
use minuend::ir::DType;

use crate::accuracy::Accuracy;
use crate::check::{Reference, Verdict, check, value_name};
use crate::divergence::Suspect;
use crate::error::ConformError;
use crate::models::{ModelCase, ModelSource, built_in};
use crate::problem::Problem;
use crate::problems::{self, ACTIVATIONS, NamedProblem};
use crate::report::{CaseReport, DeviceReport, Report, Status, VERSION};
use crate::runners::Runner;
use crate::subjects::{Subject, runs_in};

/// Which cases run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only the few that stand for their family.
    pub quick: bool,
    /// Only those whose family and name contain this text.
    pub filter: Option<String>,
    /// Checkpoint directories beside the built-in models.
    pub models: Vec<PathBuf>,
}

/// The family of whole models.
const MODEL: &str = "model";

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Cases that began earlier.
    pub done: usize,
    /// All cases.
    pub total: usize,
    /// The case that began last.
    pub case: &'a str,
}

/// The cases of a run.
pub struct Suite {
    problems: Vec<NamedProblem>,
    models: Vec<ModelSource>,
}

impl Suite {
    /// The cases of a selection. A filter holds for the models of directories too.
    pub fn new(selection: &Selection) -> Suite {
        let is_wanted =
            |name: &str| selection.filter.as_ref().is_none_or(|text| name.contains(text.as_str()));
        let mut problems = problems::all();
        problems.retain(|problem| {
            is_wanted(&problem.full_name()) && (problem.is_quick || !selection.quick)
        });
        let mut models = built_in();
        if selection.quick {
            models.truncate(1);
        }
        models.extend(selection.models.iter().cloned().map(ModelSource::Directory));
        models.retain(|model| is_wanted(&format!("{MODEL}/{}", model.name())));
        Suite { problems, models }
    }

    /// True for a filter that leaves nothing.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty() && self.models.is_empty()
    }

    /// Runs every case on every subject that is open, several at a time. Whatever goes wrong is part of
    /// the report, which lists the cases in the order of the suite.
    pub fn run(&self, subjects: &[Subject], progress: &mut dyn FnMut(Progress<'_>)) -> Report {
        let open: Vec<Open<'_>> = subjects.iter().filter_map(Open::of).collect();
        let runs_problem = |problem: &&NamedProblem, on: &Open<'_>| problem.runs_on(on.device);
        let of_device = |on: &Open<'_>| {
            let problems = self.problems.iter().filter(|problem| runs_problem(problem, on)).count();
            let types = ACTIVATIONS.into_iter().filter(|t| runs_in(on.device.target(), *t)).count();
            problems * Runner::ON_DEVICES.len() + self.models.len() * types
        };
        let total = open.iter().map(of_device).sum();
        let mut done = 0;
        let cases = in_parallel(&self.jobs(), &open, &mut |case| {
            progress(Progress { done, total, case });
            done += 1;
        });
        Report {
            version: VERSION,
            minuend: env!("CARGO_PKG_VERSION").to_string(),
            devices: subjects.iter().map(device_report).collect(),
            cases,
        }
    }

    fn jobs(&self) -> Vec<Job<'_>> {
        let of_model = |model| ACTIVATIONS.map(|activations| Job::Model(model, activations));
        let problems = self.problems.iter().map(Job::Problem);
        problems.chain(self.models.iter().flat_map(of_model)).collect()
    }
}

/// Cases that share a reference.
enum Job<'a> {
    Problem(&'a NamedProblem),
    Model(&'a ModelSource, DType),
}

impl Job<'_> {
    fn run(&self, open: &[Open<'_>], tell: &dyn Fn(String)) -> Vec<CaseReport> {
        let mut run = Run { cases: Vec::new(), tell };
        match self {
            Job::Problem(problem) => run.problem(problem, open),
            Job::Model(model, activations) => run.model(model, *activations, open),
        }
        run.cases
    }
}

/// What a thread tells.
enum Event {
    Starts(String),
    Done(usize, Vec<CaseReport>),
}

/// Runs the jobs on as many threads as there are cores. Most of the time goes to the interpreter and to
/// compilers of kernels, which use one each.
fn in_parallel(
    jobs: &[Job<'_>],
    open: &[Open<'_>],
    starts: &mut dyn FnMut(&str),
) -> Vec<CaseReport> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut cases: Vec<Vec<CaseReport>> = jobs.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                // Events are received until all senders are gone.
                let tell = |case: String| drop(sender.send(Event::Starts(case)));
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    drop(sender.send(Event::Done(index, job.run(open, &tell))));
                }
            });
        }
        drop(sender);
        for event in receiver {
            match event {
                Event::Starts(case) => starts(&case),
                Event::Done(index, found) => cases[index] = found,
            }
        }
    });
    cases.into_iter().flatten().collect()
}

fn device_report(subject: &Subject) -> DeviceReport {
    DeviceReport {
        name: subject.device.clone(),
        description: subject.description.clone(),
        details: subject.details.clone(),
        variant: subject.variant.clone(),
        unavailable: subject.opened.as_ref().err().cloned(),
    }
}

/// A subject that cases can run on.
struct Open<'s> {
    subject: &'s Subject,
    device: &'s dyn Device,
    accuracy: Accuracy,
}

impl Open<'_> {
    fn of(subject: &Subject) -> Option<Open<'_>> {
        let device = subject.opened.as_deref().ok()?;
        Some(Open { subject, device, accuracy: Accuracy::of(device, &subject.variant) })
    }
}

/// The cases of a job so far.
struct Run<'t> {
    cases: Vec<CaseReport>,
    tell: &'t dyn Fn(String),
}

/// What a case is called.
struct Label<'a> {
    family: &'static str,
    name: String,
    runner: &'static str,
    subject: &'a Subject,
}

impl Run<'_> {
    /// The interpreter runs once for all devices and runners.
    fn problem(&mut self, named: &NamedProblem, open: &[Open<'_>]) {
        let mut open = open.iter().filter(|on| named.runs_on(on.device)).peekable();
        if open.peek().is_none() {
            return;
        }
        let made = named.build().and_then(|problem| {
            let reference = Reference::of(&problem)?;
            Ok((problem, reference))
        });
        for Open { subject, device, accuracy } in open {
            for runner in Runner::ON_DEVICES {
                (self.tell)(format!("{} {} {}", subject.name(), named.full_name(), runner.name()));
                let (family, name) = (named.family, named.name.clone());
                let label = Label { family, name, runner: runner.name(), subject };
                match &made {
                    Err(error) => self.refused(label, error),
                    Ok((problem, reference)) => {
                        match check(problem, reference, runner, *device, *accuracy) {
                            Err(error) => self.refused(label, &error),
                            Ok(verdict) => {
                                let node = verdict.fault.as_ref().and_then(|_| {
                                    diverging_node(problem, runner, *device, *accuracy)
                                });
                                self.checked(label, verdict, node);
                            }
                        }
                    }
                }
            }
        }
    }

    fn model(&mut self, source: &ModelSource, activations: DType, open: &[Open<'_>]) {
        let runs_model = |on: &&Open<'_>| runs_in(on.device.target(), activations);
        let mut open = open.iter().filter(runs_model).peekable();
        if open.peek().is_none() {
            return;
        }
        let (name, runner) = (source.name_in(activations), MODEL);
        let opened = source.open(activations);
        for Open { subject, device, accuracy } in open {
            (self.tell)(format!("{} {MODEL}/{name}", subject.name()));
            let label = |name: String| Label { family: MODEL, name, runner, subject };
            let verdicts = match &opened {
                Err(error) => {
                    self.refused(label(name.clone()), error);
                    continue;
                }
                Ok(model) => model.check(*device, *accuracy),
            };
            match (verdicts, &opened) {
                (Ok(verdicts), Ok(model)) => {
                    let place = || model.first_diverging_node(*device, *accuracy).ok().flatten();
                    self.model_verdicts(model, verdicts, &place, &label);
                }
                (Err(error), _) => self.refused(label(name.clone()), &error),
                (Ok(_), Err(_)) => {}
            }
        }
    }

    fn model_verdicts<'a>(
        &mut self,
        model: &ModelCase,
        verdicts: Vec<(String, Verdict)>,
        place: &dyn Fn() -> Option<String>,
        label: &dyn Fn(String) -> Label<'a>,
    ) {
        let is_wrong = verdicts.iter().any(|(_, verdict)| verdict.fault.is_some());
        // What goes wrong while the place is looked for does not change that there is a fault.
        let node = if is_wrong { place() } else { None };
        for (output, verdict) in verdicts {
            let node = verdict.fault.as_ref().and(node.clone());
            self.checked(label(format!("{} {output}", model.name)), verdict, node);
        }
    }

    fn checked(&mut self, label: Label<'_>, verdict: Verdict, node: Option<String>) {
        let Verdict { max_error, relative_l2, fault, time } = verdict;
        let status = if fault.is_some() { Status::Fail } else { Status::Pass };
        let number = |value: f64| Some(value).filter(|value| value.is_finite());
        self.cases.push(CaseReport {
            message: fault,
            max_error: number(max_error),
            relative_l2: number(relative_l2),
            time_ms: time.as_secs_f64() * 1e3,
            diverging_node: node,
            ..label.case(status)
        });
    }

    fn refused(&mut self, label: Label<'_>, error: &ConformError) {
        let status = if error.is_unsupported() { Status::Skipped } else { Status::Error };
        self.cases.push(CaseReport { message: Some(error.to_string()), ..label.case(status) });
    }
}

impl Label<'_> {
    fn case(self, status: Status) -> CaseReport {
        CaseReport {
            family: self.family.to_string(),
            name: self.name,
            runner: self.runner.to_string(),
            device: self.subject.device.clone(),
            variant: self.subject.variant.clone(),
            status,
            message: None,
            max_error: None,
            relative_l2: None,
            time_ms: 0.0,
            diverging_node: None,
        }
    }
}

/// Where a problem goes wrong: in the graph that the runner makes; the first output's op where no value
/// is off by more than rounding explains.
fn diverging_node(
    problem: &Problem,
    runner: Runner,
    device: &dyn Device,
    accuracy: Accuracy,
) -> Option<String> {
    let graph = runner.graph(problem).ok()?;
    let Problem { weights, runs, capacity, activations, .. } = problem;
    let surely_wrong = accuracy.surely_wrong(*activations);
    let capacity = *capacity;
    let suspect = Suspect { graph: &graph, weights, runs, capacity, device, surely_wrong };
    let found = suspect.first_diverging_node().ok().flatten();
    found.or_else(|| Some(value_name(problem, 0)).filter(|_| problem.graph.outputs().len() == 1))
}
