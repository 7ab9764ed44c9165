//! What a GPU can do, as data.

use crate::cuda::arch::Arch;

/// What kernels are chosen by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CudaLimits {
    /// What is compiled for.
    pub arch: &'static Arch,
    /// Multiprocessors of the device.
    pub multiprocessors: u32,
    /// Dense products may go to cuBLASLt.
    pub has_blas: bool,
    /// Kernels of warpgroups may be used where the architecture has them.
    pub use_wgmma: bool,
    /// Kernels with sums in tensor memory may be used where the architecture has it.
    pub use_tcgen05: bool,
    /// Kernels that can begin while the one in front of them runs do so, on architectures that have
    /// programmatic dependent launch.
    pub overlap: bool,
}

impl CudaLimits {
    /// The limits of a typical card of an architecture, with every library at hand.
    pub fn typical(arch: &'static Arch) -> CudaLimits {
        let multiprocessors = arch.multiprocessors;
        CudaLimits {
            arch,
            multiprocessors,
            has_blas: true,
            use_wgmma: arch.has_wgmma,
            use_tcgen05: arch.has_tcgen05,
            overlap: arch.has_tma,
        }
    }
}
