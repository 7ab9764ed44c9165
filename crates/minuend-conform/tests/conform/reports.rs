//! Reports are stored, compared and shown.

use minuend_conform::{
    CaseReport, Change, ConformError, DeviceReport, Report, Status, differences, page,
};

fn case(name: &str, status: Status, max_error: Option<f64>) -> CaseReport {
    CaseReport {
        family: "matmul".into(),
        name: name.into(),
        runner: "kernels".into(),
        device: "cpu".into(),
        variant: "plain".into(),
        status,
        message: None,
        max_error,
        relative_l2: max_error.map(|error| error * 1e-7),
        time_ms: 1.5,
        diverging_node: None,
    }
}

fn report(cases: Vec<CaseReport>) -> Report {
    let device = DeviceReport {
        name: "cpu".into(),
        description: "a <processor> & more".into(),
        details: vec![("driver".into(), "\"quoted\"".into())],
        variant: "plain".into(),
        unavailable: None,
    };
    Report { version: 1, minuend: "0.1.0".into(), devices: vec![device], cases }
}

#[test]
fn a_stored_report_is_read_as_it_was() {
    let report = report(vec![case("a", Status::Pass, Some(0.25)), case("b", Status::Fail, None)]);
    let text = report.to_json().unwrap();
    assert_eq!(Report::from_json(&text).unwrap(), report);
    assert!(!report.passed());
    let summary = report.summaries(&report.devices[0])["matmul"];
    assert_eq!((summary.passed, summary.failed, summary.max_error), (1, 1, 0.25));
    let later = text.replacen("\"version\": 1", "\"version\": 7", 1);
    let error = Report::from_json(&later).unwrap_err();
    assert!(matches!(error, ConformError::ReportVersion { found: 7, expected: 1 }), "{error}");
    assert!(Report::from_json("{}").is_err());
}

#[test]
fn differences_are_status_large_errors_and_missing_cases() {
    let first = report(vec![
        case("same", Status::Pass, Some(0.5)),
        case("little", Status::Pass, Some(0.5)),
        case("more", Status::Pass, Some(0.2)),
        case("broken", Status::Pass, Some(0.5)),
        case("gone", Status::Pass, Some(0.5)),
    ]);
    let second = report(vec![
        case("same", Status::Pass, Some(0.5)),
        case("little", Status::Pass, Some(0.9)),
        case("more", Status::Pass, Some(0.5)),
        case("broken", Status::Fail, None),
        case("new", Status::Pass, Some(0.5)),
    ]);
    assert_eq!(differences(&first, &first), []);
    let found: Vec<_> = differences(&first, &second)
        .into_iter()
        .map(|difference| (difference.case, difference.change))
        .collect();
    let name = |name: &str| format!("matmul/{name} kernels");
    assert_eq!(
        found,
        [
            (name("broken"), Change::Status(Status::Pass, Status::Fail)),
            (name("gone"), Change::OnlyInFirst),
            (name("more"), Change::Error(Some(0.2), Some(0.5))),
            (name("new"), Change::OnlyInSecond),
        ]
    );
}

#[test]
fn reports_of_one_device_each_are_comparable() {
    let first = report(vec![case("a", Status::Pass, Some(0.5))]);
    let mut second = first.clone();
    second.cases[0].device = "wgpu:0".into();
    assert_eq!(differences(&first, &second), []);
    second.cases.push(case("a", Status::Pass, Some(0.5)));
    let found = differences(&first, &second);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].case, "wgpu:0 plain matmul/a kernels");
}

/// Elements that are closed by what they are.
const EMPTY: [&str; 3] = ["meta", "line", "!DOCTYPE"];

/// Panics unless every element is closed in order; gives the text outside of tags.
fn assert_well_formed(page: &str) -> String {
    let mut open: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        text += &rest[..start];
        // Style and script hold text that is no markup.
        if let Some(raw @ ("style" | "script")) = open.last().copied() {
            let end = rest.find(&format!("</{raw}>")).unwrap();
            rest = &rest[end..];
            open.pop();
            rest = &rest[rest.find('>').unwrap() + 1..];
            continue;
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closed out of order"),
            None if EMPTY.contains(&name) => {}
            None => open.push(name),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} not closed");
    text
}

#[test]
fn the_page_is_well_formed_and_nothing_in_it_is_markup() {
    let mut bad = case("<script>alert(1)</script>", Status::Fail, Some(1e9));
    bad.message = Some("is <b>\"wrong\"</b> & 'worse'\u{1b}[31m".into());
    bad.diverging_node = Some("%\"</title>\" = softmax".into());
    let skipped = CaseReport { relative_l2: None, ..case("s", Status::Skipped, None) };
    let mut report = report(vec![bad, case("zero", Status::Pass, Some(0.0)), skipped]);
    let mut absent = report.devices[0].clone();
    (absent.variant, absent.unavailable) = ("half".into(), Some("no <f16>".into()));
    report.devices.push(absent);
    let page = page(&report);
    let text = assert_well_formed(&page);
    for escaped in [
        "matmul/&lt;script&gt;alert(1)&lt;/script&gt;",
        "a &lt;processor&gt; &amp; more",
        "&quot;quoted&quot;",
        "is &lt;b&gt;&quot;wrong&quot;&lt;/b&gt; &amp; &#39;worse&#39;\u{fffd}[31m",
        "%&quot;&lt;/title&gt;&quot; = softmax",
        "no &lt;f16&gt;",
    ] {
        assert!(text.contains(escaped), "{escaped} is not in the page");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<circle").count(), 2, "skipped cases have no point");
    // Nothing is fetched from anywhere.
    for word in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(word), "{word}");
    }
}
