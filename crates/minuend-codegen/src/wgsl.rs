//! The portable GPU target: WGSL shaders chosen and specialised for each launch.
//!
//! The plan says what is computed on which tensors; [`dispatches`] says which shaders do it, with which
//! parameters, uniforms and bindings, for one set of sizes. [`specialise`] gives a shader's text and
//! [`validate`] checks it. None of this needs a device: what an adapter can do is [`WgslLimits`].
//!
//! Every shader follows one form. Binding 0 is a uniform struct whose first field is `first_group`; the
//! storage bindings follow. Workgroups are numbered in one dimension: a shader adds `first_group` to
//! `workgroup_id.x`, so that a device may run a dispatch in parts.

mod dispatch;
mod error;
mod families;
mod limits;
mod place;
mod select;
mod target;
mod template;
mod templates;
mod validate;

pub use dispatch::{Dispatch, FIRST_GROUP, Fault, LaunchPlaces};
pub use error::ShaderError;
pub use limits::{CooperativeShape, SubgroupSizes, WgslLimits};
pub use place::{Region, TensorPlace, Uniforms, Window};
pub use select::{copies, dispatches};
pub use target::WgslTarget;
pub use template::{
    Dialect, Features, KernelSource, KernelSpec, Param, RegionText, Template, specialise,
};
pub use templates::{template, templates};
pub use validate::{Checked, UniformField, capabilities, validate};
