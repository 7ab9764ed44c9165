//! A report as one page: no other file, readable on a phone and in the dark.

use std::fmt::{self, Display, Write};

use crate::report::{CaseReport, DeviceReport, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Text in which nothing is markup.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters are no text of a page.
                c if c.is_control() && c != '\n' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page of a report.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, report);
    page
}

fn write_page(out: &mut String, report: &Report) -> fmt::Result {
    let count = |is_of: fn(&CaseReport) -> bool| report.cases.iter().filter(|c| is_of(c)).count();
    let failed = count(|case| case.status.is_fault());
    let all = report.cases.len();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>minuend conform</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>minuend conform</h1>\n<p>minuend {}: {failed} of {all} cases fail.</p>\n",
        Escaped(&report.minuend)
    )?;
    for device in &report.devices {
        write_device(out, report, device)?;
    }
    write_cases(out, report)?;
    write!(out, "<script>\n{SCRIPT}</script>\n</body>\n</html>\n")
}

fn write_device(out: &mut String, report: &Report, device: &DeviceReport) -> fmt::Result {
    let DeviceReport { name, description, details, variant, unavailable } = device;
    writeln!(out, "<h2>{}, {}</h2>", Escaped(name), Escaped(variant))?;
    write!(out, "<dl>\n<dt>device</dt><dd>{}</dd>\n", Escaped(description))?;
    for (key, value) in details {
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", Escaped(key), Escaped(value))?;
    }
    writeln!(out, "</dl>")?;
    if let Some(reason) = unavailable {
        return writeln!(out, "<p>Nothing ran on it: {}</p>", Escaped(reason));
    }
    writeln!(
        out,
        "<div class=\"scroll\">\n<table>\n<thead><tr><th>family</th><th>passed</th><th>failed</th>\
         <th>skipped</th><th>largest error / allowance</th><th>ms</th></tr></thead>\n<tbody>"
    )?;
    for (family, sums) in report.summaries(device) {
        let class = if sums.failed > 0 { "fail" } else { "pass" };
        write!(out, "<tr class=\"{class}\"><td class=\"status\">{}</td>", Escaped(family))?;
        for number in [sums.passed, sums.failed, sums.skipped] {
            write!(out, "<td class=\"number\">{number}</td>")?;
        }
        let (error, time) = (sums.max_error, sums.time_ms);
        writeln!(
            out,
            "<td class=\"number\">{error:.3}</td><td class=\"number\">{time:.1}</td></tr>"
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>")?;
    let cases: Vec<&CaseReport> = report.cases_of(device).collect();
    write_plot(out, &cases)
}

/// Size of a plot, in its own units.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 260.0;
/// Room for the labels of the axis.
const LEFT: f64 = 50.0;
/// Powers of 10 at the ends of the axis; what is beyond lies on the edge.
const LOWEST: i32 = -5;
const HIGHEST: i32 = 3;

/// The height of an error over its allowance. Without a number it is as large as can be.
fn height(error: Option<f64>) -> f64 {
    let (lowest, highest) = (f64::from(LOWEST), f64::from(HIGHEST));
    let power = error.map_or(highest, |error| error.max(f64::MIN_POSITIVE).log10());
    let margin = 12.0;
    let share = (power.clamp(lowest, highest) - lowest) / (highest - lowest);
    HEIGHT - margin - share * (HEIGHT - 2.0 * margin)
}

/// One point for each case that ran: its error over its allowance, on a logarithmic scale.
fn write_plot(out: &mut String, cases: &[&CaseReport]) -> fmt::Result {
    writeln!(
        out,
        "<p>Error over allowance of each case, in the order in which they ran; above the dashed line \
         is wrong.</p>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"error over allowance of each case\">"
    )?;
    for power in LOWEST..=HIGHEST {
        let y = height(Some(10f64.powi(power)));
        let class = if power == 0 { "limit" } else { "grid" };
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        )?;
        writeln!(out, "<text x=\"4\" y=\"{:.1}\">1e{power}</text>", y + 4.0)?;
    }
    let ran = cases.iter().filter(|case| case.relative_l2.is_some() || case.status.is_fault());
    let ran: Vec<&&CaseReport> = ran.collect();
    let step = (WIDTH - LEFT - 10.0) / ran.len().max(1) as f64;
    for (at, case) in ran.iter().enumerate() {
        let (x, y) = (LEFT + 5.0 + (at as f64 + 0.5) * step, height(case.max_error));
        let class = if case.status.is_fault() { "fail" } else { "pass" };
        writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\">\
             <title>{} {}: {}</title></circle>",
            Escaped(case.full_name()),
            Escaped(&case.runner),
            error_text(case)
        )?;
    }
    writeln!(out, "</svg>")
}

fn error_text(case: &CaseReport) -> String {
    case.max_error.map_or_else(String::new, |error| format!("{error:.3e}"))
}

const COLUMNS: [&str; 9] = [
    "status",
    "device",
    "variant",
    "case",
    "runner",
    "error / allowance",
    "relative L2",
    "ms",
    "diverging node and message",
];

fn write_cases(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "<h2>Cases</h2>\n<div class=\"scroll\">\n<table id=\"cases\">\n<thead><tr>")?;
    for column in COLUMNS {
        writeln!(out, "<th><button type=\"button\">{column}</button></th>")?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for case in &report.cases {
        write_case(out, case)?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>")
}

fn write_case(out: &mut String, case: &CaseReport) -> fmt::Result {
    let status = case.status.name();
    write!(out, "<tr class=\"{status}\"><td class=\"status\">{status}</td>")?;
    for text in [&case.device, &case.variant, &case.full_name(), &case.runner] {
        write!(out, "<td>{}</td>", Escaped(text))?;
    }
    // What has no number sorts behind all that has: above where it is a fault, below where nothing ran.
    let missing = if case.status.is_fault() { f64::MAX } else { -1.0 };
    for (value, text) in [
        (case.max_error, error_text(case)),
        (case.relative_l2, case.relative_l2.map_or_else(String::new, |x| format!("{x:.2e}"))),
        (Some(case.time_ms), format!("{:.2}", case.time_ms)),
    ] {
        let key = value.unwrap_or(missing);
        write!(out, "<td class=\"number\" data-key=\"{key:e}\">{text}</td>")?;
    }
    let node = case.diverging_node.iter().map(|node| format!("first at {node}"));
    let words: Vec<String> = node.chain(case.message.clone()).collect();
    writeln!(out, "<td>{}</td></tr>", Escaped(words.join(": ")))
}
