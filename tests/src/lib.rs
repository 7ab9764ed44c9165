//! Tests across crates; see `tests/` for the test programs and `filetests/` for the text tests.
