//! What holds for every template.

use crate::wgsl::dispatch::FIRST_GROUP;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::template::{Dialect, specialise};
use crate::wgsl::templates::templates;
use crate::wgsl::validate::validate;

/// `specialise` refuses a marked line without a value and a value without a marked line.
#[test]
fn every_row_sets_what_its_file_marks_and_is_valid() {
    for template in templates() {
        let rows = (template.rows)();
        assert!(!rows.is_empty(), "{}", template.name);
        for row in rows {
            assert_eq!(row.template, template.name);
            for dialect in [Dialect::Native, Dialect::Web] {
                let source = specialise(&row, dialect).unwrap_or_else(|error| panic!("{error}"));
                if dialect == Dialect::Web {
                    continue;
                }
                let checked = validate(&source).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(checked.uniforms[0].name, FIRST_GROUP, "{}", source.label);
                if !source.needs.cooperative_matrix {
                    let limits = WgslLimits::portable();
                    let bindings = checked.read_only.len();
                    assert!(bindings <= limits.max_storage_buffers as usize, "{}", source.label);
                }
            }
        }
    }
}
