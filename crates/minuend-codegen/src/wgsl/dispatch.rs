//! What a launch becomes on the device.

use smallvec::SmallVec;

pub use crate::place::{Fault, LaunchPlaces};
use crate::wgsl::place::{Uniforms, Window};
use crate::wgsl::template::{KernelSpec, Param};

/// One kernel with everything it needs to run: its groups are numbered, and the device may run them in
/// several parts by giving each part another `first_group`.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub spec: KernelSpec,
    /// Storage bindings from binding 1 on.
    pub windows: SmallVec<[Window; 6]>,
    /// The uniform struct at binding 0.
    pub uniforms: Uniforms,
    /// Number of workgroups.
    pub groups: u64,
    /// Multiply-adds and loads of one workgroup, roughly: what bounds the time of a part.
    pub work_per_group: u64,
}

impl Dispatch {
    /// A dispatch without bindings, whose groups start at 0.
    pub fn new(spec: KernelSpec, groups: usize) -> Dispatch {
        let mut uniforms = Uniforms::default();
        uniforms.word(FIRST_GROUP, 0);
        Dispatch {
            spec,
            windows: SmallVec::new(),
            uniforms,
            groups: groups as u64,
            work_per_group: 1 << 16,
        }
    }

    /// Adds a binding that is only read where its region allows, named as in the template.
    pub fn bind(&mut self, name: &'static str, window: Window) {
        let is_read_only = window.data.is_some() || window.region.is_read_only();
        self.spec.params.push((name, Param::ReadOnly(is_read_only)));
        self.windows.push(window);
    }
}

/// The uniform field, first of every struct, that numbers the first workgroup of a part.
pub const FIRST_GROUP: &str = "first_group";
