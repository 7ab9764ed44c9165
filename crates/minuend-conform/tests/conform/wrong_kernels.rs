//! A device with a wrong kernel fails the cases that reach it, and they name it.

use minuend::ir::ops::{RopeLayout, UnaryOp};
use minuend::ir::{Op, Real};
use minuend_conform::{CaseReport, Report, Selection, Status, Subject, Suite};

use crate::wrong_device::{Exchange, right, subject, wrong};

pub(crate) fn run(subject: Subject, filter: &str) -> Report {
    let filter = Some(filter.to_string());
    let suite = Suite::new(&Selection { filter, ..Selection::default() });
    suite.run(&[subject], &mut |_| {})
}

fn faults(report: &Report) -> Vec<&CaseReport> {
    report.cases.iter().filter(|case| case.status != Status::Pass).collect()
}

/// The cases of a filter pass on the CPU, and fail with an exchanged kernel at that node.
fn assert_found(filter: &str, exchange: Exchange, op: &str) {
    let report = run(right(), filter);
    assert!(report.passed() && !report.cases.is_empty(), "{filter}: {:?}", faults(&report));
    let report = run(wrong(exchange), filter);
    let faults = faults(&report);
    assert!(!report.passed() && !faults.is_empty(), "{filter} passes with a wrong {op}");
    for case in faults {
        assert_eq!(case.status, Status::Fail, "{case:?}");
        assert!(case.message.is_some() && case.full_name().contains(filter), "{case:?}");
        let node = case.diverging_node.as_deref().unwrap_or_default();
        assert!(node.contains(&format!("= {op}")), "{case:?}");
    }
}

#[test]
fn a_wrong_function() {
    let exchange: Exchange = |op| match op {
        Op::Unary(UnaryOp::Tanh) => Some(Op::Unary(UnaryOp::Erf)),
        _ => None,
    };
    assert_found("elementwise/unary random", exchange, "tanh");
}

#[test]
fn a_wrong_epsilon() {
    let exchange: Exchange = |op| match op {
        Op::RmsNorm(_) => Some(Op::RmsNorm(minuend::ir::ops::RmsNorm { epsilon: Real::new(1e-2) })),
        _ => None,
    };
    assert_found("norms/rms_norm 17 f32", exchange, "rms_norm");
}

#[test]
fn wrong_pairs_of_a_rotation_in_a_model() {
    let exchange: Exchange = |op| match op {
        Op::Rope(rope) => {
            let layout = match rope.layout {
                RopeLayout::Interleaved => RopeLayout::HalfSplit,
                RopeLayout::HalfSplit => RopeLayout::Interleaved,
            };
            Some(Op::Rope(minuend::ir::ops::Rope { layout, ..*rope }))
        }
        _ => None,
    };
    assert_found("model/random llama", exchange, "rope");
}

#[test]
fn a_wrong_scale_over_a_growing_cache() {
    let exchange: Exchange = |op| match op {
        Op::Attention(attention) => {
            let scale = Real::new(0.36);
            Some(Op::Attention(minuend::ir::ops::Attention { scale, ..*attention }))
        }
        _ => None,
    };
    assert_found("cache/attention over a cache, causal", exchange, "attention");
}

#[test]
fn a_filter_chooses() {
    let report = run(right(), "cache/running");
    assert_eq!(report.cases.len(), 3);
    assert!(
        Suite::new(&Selection { filter: Some("no such case".into()), ..Selection::default() })
            .is_empty()
    );
}

#[test]
fn a_device_that_is_not_there_is_told() {
    let mut absent = right();
    absent.opened = Err("no adapter".into());
    absent.device = "gpu".into();
    let suite = Suite::new(&Selection { filter: Some("truth".into()), ..Selection::default() });
    let mut told = Vec::new();
    let present = subject(minuend::open_device("cpu", 1).unwrap());
    let report = suite.run(&[absent, present], &mut |now| told.push((now.done, now.total)));
    assert_eq!(told, [(0, 3), (1, 3), (2, 3)]);
    assert_eq!(report.devices[0].unavailable.as_deref(), Some("no adapter"));
    assert_eq!(report.devices[1].unavailable, None);
    assert!(report.cases.iter().all(|case| case.device == "cpu"));
}
