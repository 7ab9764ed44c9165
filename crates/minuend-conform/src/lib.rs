//! Checks that a device computes what the float64 interpreter computes.
//!
//! A [`problem::Problem`] is a small graph with inputs, weights and a reasoned tolerance for each
//! output; [`problems::all`] lists those that every device must solve. A [`runners::Runner`] is a way
//! for a device to come to a program: the kernels for the ops as given, the ops raised anew from
//! primitive ops by the passes, and every fused op decomposed. [`check()`] runs one problem and compares;
//! a [`Suite`] runs all of them, and whole models, on all [`subjects()`] and gives a [`Report`].
//!
//! Errors are in units of what is allowed: `units * 2^-24 * magnitude`, the magnitude of each element
//! being computed by a graph of its own. For attention it is attention over `|v|`, because the
//! difference of two attentions cancels. What GPU built-ins may be off more is a table in
//! [`accuracy`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod accuracy;
mod check;
mod compare_reports;
pub mod comparison;
pub mod decomposing_target;
pub mod diff_attention_problem;
pub mod divergence;
mod error;
pub mod float_types;
mod html;
pub mod ideal_device;
mod interpret;
pub mod models;
pub mod problem;
pub mod problem_builder;
pub mod problems;
pub mod random_values;
mod report;
pub mod runners;
mod stored_weights;
mod subjects;
mod suite;
pub mod weight_table;

pub use accuracy::Accuracy;
pub use check::{Reference, Verdict, check};
pub use compare_reports::{Change, Difference, differences};
pub use error::ConformError;
pub use html::page;
pub use interpret::interpret;
pub use report::{CaseReport, DeviceReport, Report, Status, Summary};
pub use stored_weights::StoredWeights;
pub use subjects::{Subject, runs_in, subjects};
pub use suite::{Progress, Selection, Suite};
