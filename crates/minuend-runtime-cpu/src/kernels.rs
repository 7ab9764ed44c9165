//! The CPU kernels: functions over slices and strided views.
//!
//! Activations are f32. Weights keep the float type they are stored in and are widened in registers
//! or in tiles. Parallel kernels use the current rayon pool; callers choose it with
//! `ThreadPool::install`. The instruction set is chosen at run time. Every size is a run-time
//! value, and an output with a zero-length axis is left as it is.

mod along_axis;
mod attention;
mod elementwise;
mod error;
mod exponential;
mod few_rows;
mod flash;
mod gemm_call;
mod mask;
mod matmul_batched;
mod matmul_weight;
mod rms_norm;
mod rope;
mod sample;
mod scratch;
mod softmax;
mod swiglu;
#[cfg(test)]
mod test_values;
mod tile_product;
mod view;
mod weight;

pub(crate) use along_axis::{arg_max, reduce, softmax_along};
pub use attention::{attention, diff_attention};
pub(crate) use elementwise::{fill_rows, map, map2, select};
pub use error::KernelError;
pub use mask::Mask;
pub use matmul_batched::matmul_batched;
pub use matmul_weight::{matmul_weight, matmul_weight_kn};
pub use rms_norm::{add_rms_norm, rms_norm};
pub use rope::rope;
pub(crate) use sample::{Rules, sample};
pub use softmax::softmax;
pub use swiglu::swiglu;
pub use view::{MAX_RANK, StridedMut, StridedRef, dense_strides};
pub use weight::{WeightRef, WeightRows};

/// Runs an operation with one lane, with the widest vectors of the machine and, on x86-64, with
/// AVX2 as well, and checks each result.
#[cfg(test)]
fn on_every_simd<O: pulp::WithSimd>(op: impl Fn() -> O, check: impl Fn(O::Output)) {
    check(op().with_simd(pulp::Scalar));
    check(pulp::Arch::new().dispatch(op()));
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        check(pulp::Simd::vectorize(avx2, op()));
    }
}
