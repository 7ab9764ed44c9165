//! Launches that begin while the launch before them still runs (programmatic dependent launch).
//!
//! A launch that overlaps may become resident, and run up to its wait, before the kernel in front of it
//! has ended. What follows from that, by induction over the launches of a stream or a path of a graph:
//!
//! - The wait of a kernel ends when the kernel in front of it is complete and its writes are visible. A
//!   kernel in which some thread waits is complete only behind that wait. So behind its wait a kernel
//!   finds *every* kernel in front complete, however many of them overlap.
//! - A kernel reads what others write, and writes anything at all - results, scratch memory, counters,
//!   faults - only behind its wait. No read or write can then meet one of an earlier kernel.
//! - What it reads before its wait no kernel writes: weights, and bytes that belong to the kernel. Both are
//!   in place before the first launch of a program.
//! - A launch that does not overlap, ours or the library's, starts when all in front of it is complete. So do
//!   copies. A launch that overlaps behind one of them waits for its end.

use crate::cuda::launch::{Arg, KernelLaunch};
use crate::cuda::limits::CudaLimits;

/// Whether launches of a kernel file may begin before the kernel in front of them has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// They start when all in front of them is complete.
    Never,
    /// Every thread that reads or writes memory which some kernel writes calls
    /// `minuend::wait_for_previous()` before, and so does at least one thread of every launch.
    BehindWait {
        /// Arguments that are read before the wait. Their parameters, and no other that is read, may be
        /// `const .. __restrict__`: that tells the compiler that the memory is constant while the kernel
        /// runs, which lets it read before the wait.
        ahead: &'static [&'static str],
    },
}

impl KernelLaunch {
    /// True if the launch may begin before the kernel in front of it has ended: its file waits, what is read
    /// before the wait is written by no kernel, and the device is one that overlaps.
    pub fn overlaps(&self, limits: &CudaLimits) -> bool {
        if !limits.overlap || !limits.arch.has_tma {
            return false;
        }
        let Ok(template) = crate::cuda::template(self.spec.template) else { return false };
        let Overlap::BehindWait { ahead } = template.overlap else { return false };
        let mut read_ahead = self.args.iter().filter(|(name, _)| ahead.contains(name));
        read_ahead.all(|(_, arg)| is_constant(arg))
    }
}

/// True for memory that no kernel writes.
fn is_constant(arg: &Arg) -> bool {
    match arg {
        Arg::Pointer { region, .. } => region.is_read_only(),
        Arg::TensorMap(map) => map.region.is_read_only(),
        Arg::Data(_)
        | Arg::Null
        | Arg::Int(_)
        | Arg::Long(_)
        | Arg::Float(_)
        | Arg::Axes(_)
        | Arg::Strides(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::signature::signature;
    use crate::cuda::template::KernelSpec;
    use crate::cuda::{ARCHES, Arch, parameters, specialise, templates};
    use crate::place::Region;

    #[test]
    fn files_that_wait_say_so() {
        for template in templates() {
            let row = (template.rows)().remove(0);
            let arch = ARCHES.iter().rfind(|arch| template.needs.met_by(arch)).unwrap();
            // The call may stand in a header. Its definition has no semicolon behind the parentheses.
            let text = specialise(&row, arch).unwrap().flat().text;
            let waits = text.contains("wait_for_previous();");
            let expected = template.overlap != Overlap::Never;
            assert_eq!(waits, expected, "{} has {:?}", template.name, template.overlap);
        }
    }

    #[test]
    fn only_what_is_read_ahead_counts_as_constant() {
        for template in templates() {
            let Overlap::BehindWait { ahead } = template.overlap else { continue };
            let (_, list) = signature(template.source).unwrap();
            for (text, parameter) in list.split(',').zip(parameters(template.source)) {
                let pointee = text.split('*').next().unwrap();
                let is_constant = pointee.contains("const ") && text.contains("__restrict__");
                let is_ahead = ahead.contains(&parameter.name);
                assert_eq!(is_constant, is_ahead, "{}: {}", template.name, text.trim());
            }
            for name in ahead {
                let known = parameters(template.source);
                assert!(known.iter().any(|known| known.name == *name), "{name}");
            }
        }
    }

    #[test]
    fn a_launch_overlaps_if_what_it_reads_ahead_is_constant() {
        let launch = |region| {
            KernelLaunch::new(KernelSpec::new("matmul/few_rows_mma"), 1, 32)
                .arg("lhs", Arg::Pointer { region: Region::Arena, byte_offset: 0 })
                .arg("weight", Arg::Pointer { region, byte_offset: 0 })
        };
        let hopper = CudaLimits::typical(Arch::of_target("cuda-sm90a").unwrap());
        assert!(launch(Region::Weight(0)).overlaps(&hopper));
        // A product of two activations reads its right operand as it would a weight.
        assert!(!launch(Region::Arena).overlaps(&hopper));
        assert!(!launch(Region::State(0)).overlaps(&hopper));
        let off = CudaLimits { overlap: false, ..hopper.clone() };
        assert!(!launch(Region::Weight(0)).overlaps(&off));
        let ampere = Arch::of_target("cuda-sm80").unwrap();
        let ampere = CudaLimits { overlap: true, ..CudaLimits::typical(ampere) };
        assert!(!launch(Region::Weight(0)).overlaps(&ampere));
        // A product that is tiled does not wait.
        let tiled = KernelLaunch::new(KernelSpec::new("matmul/mma"), 1, 32);
        assert!(!tiled.overlaps(&hopper));
    }
}
