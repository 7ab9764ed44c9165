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

/// Matrices are read at multiples of 16 bytes, and a driver may lay out workgroup variables one behind the
/// other: each takes a multiple of 16 bytes.
#[test]
fn workgroup_variables_beside_matrices_keep_them_aligned() {
    let mut seen = 0;
    for row in templates().flat_map(|template| (template.rows)()) {
        let source = specialise(&row, Dialect::Native).unwrap();
        if !source.needs.cooperative_matrix {
            continue;
        }
        let module = naga::front::wgsl::parse_str(&source.text).unwrap();
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        for (_, variable) in module.global_variables.iter() {
            if variable.space == naga::AddressSpace::WorkGroup {
                seen += 1;
                let size = layouter[variable.ty].size;
                assert_eq!(size % 16, 0, "{}: {:?}", source.label, variable.name);
            }
        }
    }
    assert!(seen > 0);
}
