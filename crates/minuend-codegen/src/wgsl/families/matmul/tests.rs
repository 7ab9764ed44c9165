//! Which kernels are chosen for which products, and that their texts are valid.

use minuend_ir::ops::Matmul;
use minuend_ir::{DType, Op};
use smallvec::smallvec;

use super::*;
use crate::kernel::{Kernel, Tail};
use crate::wgsl::limits::{CooperativeShape, SubgroupSizes};
use crate::wgsl::place::{Region, TensorPlace};
use crate::wgsl::template::{Dialect, specialise};
use crate::wgsl::validate::validate;

#[test]
fn every_row_is_valid() {
    for template in TEMPLATES {
        for spec in (template.rows)() {
            let source = specialise(&spec, Dialect::Native).unwrap();
            if let Err(error) = validate(&source) {
                panic!("{error}\n{}", source.text);
            }
        }
    }
}

#[test]
fn files_are_valid_as_they_are() {
    for template in TEMPLATES {
        let module = naga::front::wgsl::parse_str(template.source);
        assert!(module.is_ok(), "{}: {:?}", template.name, module.err());
    }
}
