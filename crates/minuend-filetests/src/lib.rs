//! The harness of the text tests under tests/filetests.
