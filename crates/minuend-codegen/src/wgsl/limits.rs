//! What an adapter can do, as data.

/// Shape of a cooperative matrix product: f16 operands, f32 sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CooperativeShape {
    /// Rows, columns and inner size, all the same.
    pub size: u32,
}

/// Sizes of subgroups that an adapter may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubgroupSizes {
    /// Least number of invocations.
    pub min: u32,
    /// Greatest number of invocations.
    pub max: u32,
}

/// Limits and optional features that kernels are chosen by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WgslLimits {
    /// Invocations of a workgroup.
    pub max_workgroup_size: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Storage buffers that a kernel may bind.
    pub max_storage_buffers: u32,
    /// Bytes of a buffer that one binding may reach.
    pub max_binding_bytes: u64,
    /// Bindings start at multiples of this many bytes.
    pub offset_alignment: u64,
    /// The adapter runs on the CPU: workgroup memory is no faster than a cache, and barriers are dear.
    pub is_cpu: bool,
    /// `f16` as a type of values and of storage.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: Option<SubgroupSizes>,
    /// Cooperative matrices of f16 with f32 sums.
    pub cooperative_matrix: Option<CooperativeShape>,
    /// Products of matrices may round their operands to f16; sums stay f32.
    pub half_products: bool,
}

impl WgslLimits {
    /// What every WebGPU adapter has: the profile for which everything can run.
    pub fn portable() -> WgslLimits {
        WgslLimits {
            max_workgroup_size: 256,
            max_workgroup_bytes: 16 << 10,
            max_storage_buffers: 8,
            max_binding_bytes: 128 << 20,
            offset_alignment: 256,
            is_cpu: false,
            f16: false,
            subgroups: None,
            cooperative_matrix: None,
            half_products: false,
        }
    }
}
