//! GPU architectures, as data.

/// A GPU architecture that kernels are compiled for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Arch {
    /// The target's name: `cuda-sm90a`.
    pub target: &'static str,
    /// What the compiler calls it: `sm_90a`.
    pub compiler_name: &'static str,
    /// Compute capability, major part.
    pub major: u32,
    /// Compute capability, minor part.
    pub minor: u32,
    /// Bytes of shared memory that a thread block may take.
    pub shared_bytes: u32,
    /// Multiprocessors of a typical card: what sizes grids where no device is at hand.
    pub multiprocessors: u32,
    /// Matrix products of warpgroups, from shared memory (`wgmma`).
    pub has_wgmma: bool,
    /// Matrix products that one thread starts, with sums in tensor memory (`tcgen05`).
    pub has_tcgen05: bool,
    /// The bulk tensor copy engine and its barriers (TMA, `mbarrier`), clusters, and programmatic
    /// dependent launch.
    pub has_tma: bool,
}

/// Every architecture that this build knows, by compute capability.
///
/// Names with an `a` are exact: code for them runs on no other chip. Shared memory: CUDA C++ Programming
/// Guide, "Technical Specifications per Compute Capability".
pub static ARCHES: &[Arch] = &[
    arch("cuda-sm80", "sm_80", (8, 0), 163, 108),
    arch("cuda-sm86", "sm_86", (8, 6), 99, 84),
    arch("cuda-sm87", "sm_87", (8, 7), 163, 16),
    arch("cuda-sm89", "sm_89", (8, 9), 99, 128),
    Arch { has_wgmma: true, ..arch("cuda-sm90a", "sm_90a", (9, 0), 227, 132) },
    Arch { has_tcgen05: true, ..arch("cuda-sm100a", "sm_100a", (10, 0), 227, 148) },
    Arch { has_tcgen05: true, ..arch("cuda-sm103a", "sm_103a", (10, 3), 227, 148) },
    arch("cuda-sm110a", "sm_110a", (11, 0), 227, 20),
    arch("cuda-sm120a", "sm_120a", (12, 0), 99, 170),
    arch("cuda-sm121a", "sm_121a", (12, 1), 99, 48),
];

const fn arch(
    target: &'static str,
    compiler_name: &'static str,
    (major, minor): (u32, u32),
    shared_kib: u32,
    multiprocessors: u32,
) -> Arch {
    let has_tma = major >= 9;
    let shared_bytes = shared_kib << 10;
    Arch {
        target,
        compiler_name,
        major,
        minor,
        shared_bytes,
        multiprocessors,
        has_wgmma: false,
        has_tcgen05: false,
        has_tma,
    }
}

impl Arch {
    /// The architecture of a device; `None` for one that kernels are not made for.
    pub fn of_capability(major: u32, minor: u32) -> Option<&'static Arch> {
        ARCHES.iter().find(|arch| arch.major == major && arch.minor == minor)
    }

    /// The architecture of a target's name.
    pub fn of_target(target: &str) -> Option<&'static Arch> {
        ARCHES.iter().find(|arch| arch.target == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arches_are_found_by_capability_and_by_target() {
        for arch in ARCHES {
            assert_eq!(Arch::of_capability(arch.major, arch.minor), Some(arch));
            assert_eq!(Arch::of_target(arch.target), Some(arch));
            assert_eq!(
                arch.target.trim_start_matches("cuda-").replace("sm", "sm_"),
                arch.compiler_name
            );
        }
        assert_eq!(Arch::of_capability(7, 5), None);
    }
}
