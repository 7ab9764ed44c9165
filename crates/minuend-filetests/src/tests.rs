//! The harness fails where it must.

use super::*;

const ADD: &str = "graph @g(%x: f32[S]) where S in 1..=8 {
  %y = neg %x : f32[S]
  %z = exp %y : f32[S]
  return %z
}
";

fn message(text: &str) -> String {
    check("test.mnd", text).unwrap_err().to_string()
}

#[test]
fn headers_are_required_and_understood() {
    assert!(check("a", &format!("test parse\n\n{ADD}")).is_ok());
    assert!(message(ADD).contains("expected a line `test KIND`"), "{}", message(ADD));
    let wrong = message(&format!("test parze\n{ADD}"));
    assert!(wrong.starts_with("line 1: expected parse, verify"), "{wrong}");
    let wrong = message(&format!("test parse\nset S = x\n{ADD}"));
    assert_eq!(wrong, "line 2: expected set NAME = NUMBER, found \"set S = x\"");
    let wrong = message(&format!("set S = 1\ntest parse\n{ADD}"));
    assert!(wrong.starts_with("line 1: expected a line `test KIND` first"), "{wrong}");
}

#[test]
fn a_text_that_differs_fails_and_can_be_blessed() {
    let text = format!("test parse\n\n; why\n{}", ADD.replace("%y", "%7"));
    let Err(Failure::Golden { diff, blessed }) = check("a", &text) else { panic!("no golden") };
    assert!(diff.contains("-  %7 = neg") && diff.contains("+  %0 = neg"), "{diff}");
    assert!(blessed.starts_with("test parse\n\n; why\ngraph @g"), "{blessed}");
    assert!(check("a", &blessed).is_ok());

    let text = format!("{text}; > stale\n");
    let Err(Failure::Golden { blessed, .. }) = check("a", &text) else { panic!("no golden") };
    assert!(blessed.contains("%7 = neg") && blessed.contains("\n; >   %0 = neg"), "{blessed}");
    assert!(check("a", &blessed).is_ok());
}

#[test]
fn parse_errors_are_rendered_at_their_line() {
    let text = format!("test parse\n{}", ADD.replace("exp %y", "exp %q"));
    let expected = "test.mnd:4:12: value %q is not defined before this line\n    %z = exp %q : f32[S]\n             ^^";
    assert_eq!(message(&text), expected);
}

#[test]
fn errors_must_be_expected_and_expected_errors_reported() {
    let wrong = ADD.replace("neg %x : f32[S]", "neg %x : f16[S] ; error: nonsense");
    assert_eq!(
        message(&format!("test verify\n{wrong}")),
        "line 3: expected and not reported: nonsense
line 3: reported and not expected: result 0 is declared f16[S], inferred f32[S]
line 4: reported and not expected: result 0 is declared f32[S], inferred f16[S]"
    );
    let level = ADD.replace("{\n", "level canonical {\n").replace(
        "neg %x : f32[S]",
        "cast %x {to = f32} : f32[S] ; error: not allowed at level canonical: an op that changes nothing",
    );
    assert!(check("a", &format!("test verify\n{level}")).is_ok());
    let twice = level.replace("; error: not", "; error: twice ; error: not");
    assert_eq!(
        message(&format!("test verify\n{twice}")),
        "line 3: expected and not reported: twice"
    );
}

#[test]
fn expectations_are_checked_in_order() {
    let run = |lines: &str| check("a", &format!("test pass eliminate-dead\n{ADD}{lines}"));
    for good in [
        "; check: %y = neg %x\n; nextln: %z = exp %y : f32[S]\n; nextln: return %z",
        "; unchanged\n; no-remarks",
        "; not: softmax",
        "; check: return %z",
        "; check: = exp %y",
    ] {
        assert!(run(good).is_ok(), "{good}");
    }
    for (bad, expected) in [
        ("", "the file states no expectation of graph @g"),
        (
            "; check: %z = exp %y\n; check: %y = neg %x",
            "line 8: no line `%y = neg %x` behind line 3",
        ),
        ("; check: %y = neg", "line 7: no line `%y = neg`"),
        ("; check: = exp %x", "line 7: no line `= exp %x`"),
        ("; check: = exp", "line 7: no line `= exp`"),
        ("; check: %y = neg %x\n; nextln: return %z", "line 8: line 3 is not `return %z`"),
        ("; not: neg", "line 7: a line holds `neg`"),
        ("; remark: why", "line 7: no remark `why`"),
        ("; chekc: %y = neg %x", "line 7: unknown expectation"),
    ] {
        let found = run(bad).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{bad}: {found}");
    }
    let found = message(&format!("test pass no-such-pass\n{ADD}; unchanged\n"));
    assert_eq!(found, "there is no pass no-such-pass");
}

#[test]
fn differing_tensors_are_seen() {
    use minuend_interp::Tensor;
    use minuend_ir::DType::{F32, I64};
    let reals = |values: &[f64]| Tensor::from_reals(F32, &[3], values.to_vec()).unwrap();
    let nan = f64::NAN;
    let a = reals(&[1.0, nan, f64::INFINITY]);
    assert_eq!(run_test::difference(&a, &reals(&[1.0 + 1e-13, nan, f64::INFINITY])), None);
    let cases = [[1.0 + 1e-8, nan, f64::INFINITY], [1.0, 0.0, f64::INFINITY], [1.0, nan, 5.0]];
    for (index, values) in cases.iter().enumerate() {
        let found = run_test::difference(&a, &reals(values)).unwrap();
        assert!(found.starts_with(&format!("element {index} is ")), "{found}");
    }
    let ints = |values: &[i64]| Tensor::from_ints(I64, &[2], values.to_vec()).unwrap();
    assert_eq!(run_test::difference(&ints(&[1, 2]), &ints(&[1, 2])), None);
    assert!(run_test::difference(&ints(&[1, 2]), &ints(&[2, 1])).is_some());
    assert!(run_test::difference(&a, &ints(&[1, 2])).is_some());
}
