//! Loops written out, so that arrays are only indexed by constants: compilers then keep them in
//! registers, also those that do not unroll loops themselves.

use std::borrow::Cow;

/// The text with every loop of the form
///
/// ```text
/// for (var i = 0u; i < BOUND; i = i + 1u) { //@unroll
/// }
/// ```
///
/// replaced by a block for each value of its variable. `bounds` gives the values of names; a loop with
/// a bound that is neither a name nor a number stays.
pub(in crate::wgsl::families) fn unrolled(text: &str, bounds: &[(&str, u32)]) -> String {
    let mut unrolled = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(counts) = Loop::of(line, bounds) else {
            unrolled.push_str(line);
            unrolled.push('\n');
            continue;
        };
        let mut body = String::new();
        let mut depth = 1usize;
        for inner in lines.by_ref() {
            let code = inner.split("//").next().unwrap_or(inner);
            let (opened, closed) = (code.matches('{').count(), code.matches('}').count());
            depth = (depth + opened).saturating_sub(closed);
            if depth == 0 {
                break;
            }
            body.push_str(inner);
            body.push('\n');
        }
        for value in (0..counts.bound).step_by(counts.step as usize) {
            unrolled.push_str("{\n");
            let numbered = replace_word(&body, counts.variable, &format!("{value}u"));
            unrolled.push_str(&self::unrolled(&numbered, bounds));
            unrolled.push_str("}\n");
        }
    }
    unrolled
}

struct Loop<'l> {
    variable: &'l str,
    bound: u32,
    /// At least 1.
    step: u32,
}

impl<'l> Loop<'l> {
    fn of(line: &'l str, bounds: &[(&str, u32)]) -> Option<Loop<'l>> {
        let head = line.trim().strip_suffix("//@unroll")?.trim_end();
        let head = head.strip_prefix("for (var ")?.strip_suffix(") {")?;
        let (variable, head) = head.split_once(" = 0u; ")?;
        let (condition, step) = head.split_once("; ")?;
        let (_, bound) = condition.split_once(" < ")?;
        let (_, step) = step.split_once(" + ")?;
        let number = |text: &str| text.strip_suffix('u')?.parse().ok();
        let named = || bounds.iter().find(|(name, _)| *name == bound).map(|(_, value)| *value);
        let step = number(step).filter(|step| *step > 0)?;
        Some(Loop { variable, bound: number(bound).or_else(named)?, step })
    }
}

fn replace_word<'t>(text: &'t str, word: &str, by: &str) -> Cow<'t, str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        // A name behind a point is a component or field.
        let is_own = !before.ends_with(|c| is_part(c) || c == '.') && !after.starts_with(is_part);
        replaced.push_str(before);
        replaced.push_str(if is_own { by } else { word });
        rest = after;
    }
    if replaced.is_empty() {
        return Cow::Borrowed(text);
    }
    replaced.push_str(rest);
    Cow::Owned(replaced)
}

/// The lines of a file's region.
pub(in crate::wgsl::families) fn region_of<'s>(source: &'s str, name: &str) -> Option<&'s str> {
    let (_, text) = source.split_once(&format!("//@region {name}\n"))?;
    text.split_once("//@end").map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_loops_become_blocks() {
        let text = "a;\nfor (var i = 0u; i < N; i = i + 1u) { //@unroll\n    x[i] = i_0;\n    \
                    for (var j = 0u; j < 4u; j = j + 2u) { //@unroll\n        y[i + j].i = 1;\n    }\n}\nb;\n";
        let expected = "a;\n{\n    x[0u] = i_0;\n{\n        y[0u + 0u].i = 1;\n}\n{\n        y[0u + 2u].i = 1;\n}\n}\n\
                        {\n    x[1u] = i_0;\n{\n        y[1u + 0u].i = 1;\n}\n{\n        y[1u + 2u].i = 1;\n}\n}\nb;\n";
        assert_eq!(unrolled(text, &[("N", 2)]), expected);
        assert_eq!(unrolled(text, &[("N", 0)]), "a;\nb;\n");
    }

    #[test]
    fn other_loops_stay() {
        let text = "for (var i = 0u; i < N; i = i + 1u) {\n}\nfor (var i = 0u; i < M; i = i + 1u) { //@unroll\n}\n";
        assert_eq!(unrolled(text, &[("N", 2)]), text);
    }

    #[test]
    fn regions_are_found() {
        let source = "x\n//@region one\na\nb\n//@end\n//@region two\nc\n//@end\n";
        assert_eq!(region_of(source, "one"), Some("a\nb\n"));
        assert_eq!(region_of(source, "two"), Some("c\n"));
        assert_eq!(region_of(source, "three"), None);
    }
}
