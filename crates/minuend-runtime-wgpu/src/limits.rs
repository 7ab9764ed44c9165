//! From what an adapter says of itself to the limits that kernels are chosen by.

use minuend_codegen::wgsl::{CooperativeShape, SubgroupSizes, WgslLimits};
use wgpu::{Adapter, CooperativeScalarType, DeviceType, Features};

/// Features that are used where they are.
pub(crate) const WANTED: Features = Features::SHADER_F16
    .union(Features::SUBGROUP)
    .union(Features::PIPELINE_CACHE)
    .union(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

/// Largest tensor window, in bytes, that 32-bit byte arithmetic in a driver is trusted with.
const MAX_WINDOW: u64 = 2 << 30;

/// The limits of an adapter.
pub(crate) fn limits_of(adapter: &Adapter) -> WgslLimits {
    let (limits, features, info) = (adapter.limits(), adapter.features(), adapter.get_info());
    let subgroups = features
        .contains(Features::SUBGROUP)
        .then_some(SubgroupSizes { min: info.subgroup_min_size, max: info.subgroup_max_size });
    WgslLimits {
        max_workgroup_size: limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x),
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_binding_bytes: limits.max_storage_buffer_binding_size.min(MAX_WINDOW),
        offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment.max(4)),
        is_cpu: info.device_type == DeviceType::Cpu,
        f16: features.contains(Features::SHADER_F16),
        subgroups,
        cooperative_matrix: cooperative_shape(adapter),
        half_products: false,
    }
}

/// The largest square shape with f16 operands and f32 sums.
fn cooperative_shape(adapter: &Adapter) -> Option<CooperativeShape> {
    let features = adapter.features();
    if !features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16) {
        return None;
    }
    let shapes = adapter.cooperative_matrix_properties();
    let usable = shapes.iter().filter(|shape| {
        shape.m_size == shape.n_size
            && shape.n_size == shape.k_size
            && shape.ab_type == CooperativeScalarType::F16
            && shape.cr_type == CooperativeScalarType::F32
    });
    usable.map(|shape| shape.m_size).max().map(|size| CooperativeShape { size })
}
