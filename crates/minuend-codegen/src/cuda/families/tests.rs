//! What holds for every kernel file.

use std::collections::HashSet;

use crate::cuda::{ARCHES, headers, parameters, specialise, templates};

#[test]
fn every_row_specialises() {
    let mut labels = HashSet::new();
    for template in templates() {
        let rows = (template.rows)();
        assert!(!rows.is_empty(), "{} has no rows", template.name);
        assert!(!parameters(template.source).is_empty(), "{} has no entry", template.name);
        for row in rows {
            assert_eq!(row.template, template.name);
            for arch in ARCHES.iter().filter(|arch| template.needs.met_by(arch)) {
                if let Err(error) = specialise(&row, arch) {
                    panic!("{}: {error}", row.label());
                }
            }
            assert!(labels.insert(row.label()), "{} is listed twice", row.label());
        }
    }
}

#[test]
fn every_include_is_known() {
    let known: HashSet<&str> = headers().iter().map(|(name, _)| *name).collect();
    let texts = templates().map(|template| (template.name, template.source));
    for (file, text) in texts.chain(headers().iter().copied()) {
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("#include ")) {
            let name = line.trim_matches('"');
            assert!(known.contains(name), "{file} includes {line}");
        }
    }
}
