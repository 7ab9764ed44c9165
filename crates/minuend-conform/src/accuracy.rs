//! How exactly a device computes elementary functions, as data.
//!
//! The tolerances of problems assume functions that are right to a few roundings, as those of a
//! mathematical library are. The built-in functions of GPU languages promise less: the tables
//! "Accuracy of built-in functions" of the WGSL specification give errors in units in the last place
//! (1 ulp is at most 2 roundings of f32, a rounding being 2^-24 of the value), or absolute ones. What
//! they promise less is a [`Slack`], added to the tolerance of the outputs that the function reaches.
//! Sums, differences and products are correctly rounded there too and have none.

use minuend::ir::DType;
use minuend::ir::ops::UnaryOp;
use minuend::{Device, ModelConfig, logits_tolerance};

use crate::float_types::{coarseness, is_half};

/// How exactly a device computes elementary functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// To a few roundings, infinities and NaN included. Products are exact and summed in f32.
    Library,
    /// As the built-in functions of WGSL. Results that are infinite or NaN, and those of operands that
    /// are, are not promised at all and are not compared.
    GpuBuiltIns,
    /// As [`Accuracy::GpuBuiltIns`], and the operands of matrix products are rounded to f16.
    HalfProducts,
}

impl Accuracy {
    /// The accuracy of a device with one family of its kernels.
    pub fn of(device: &dyn Device, variant: &str) -> Accuracy {
        match (device.target().name(), variant) {
            ("wgsl", "cooperative-matrix") => Accuracy::HalfProducts,
            ("wgsl", _) => Accuracy::GpuBuiltIns,
            // CUDA's functions in f32 are those of a library, and its products of 16-bit operands are
            // exact in f32; products of f32 operands are never rounded to a shorter type.
            (name, _) if name.starts_with("cuda-") => Accuracy::Library,
            _ => Accuracy::Library,
        }
    }

    /// True if infinities and NaN come out as they should.
    pub fn keeps_non_finite(self) -> bool {
        self == Accuracy::Library
    }

    /// Roundings of a tensor's values to f32 beyond which an intermediate value of a graph is surely
    /// wrong, where no tolerance was reasoned for it.
    pub fn surely_wrong(self, activations: DType) -> f64 {
        let computing = match self {
            Accuracy::Library => 128.0,
            Accuracy::GpuBuiltIns => 512.0,
            Accuracy::HalfProducts => 16.0 * HALF_PRODUCT,
        };
        computing + if is_half(activations) { 16.0 * coarseness(activations) } else { 0.0 }
    }

    /// Largest relative L2 error of a model's logits that passes: what the roundings of the activations
    /// leave ([`logits_tolerance`]), and the functions in softmax, norms and gates of a GPU, which are some
    /// times coarser than a rounding to f32.
    pub fn logits_tolerance(self, activations: DType, config: &ModelConfig) -> f64 {
        let rounding = logits_tolerance(activations, config);
        match self {
            Accuracy::Library => rounding,
            Accuracy::GpuBuiltIns => rounding + 3e-5,
            Accuracy::HalfProducts => rounding + 1e-2,
        }
    }
}

/// What a built-in `y = f(x)` may be off beyond a library's function, in roundings of f32:
/// `(relative + relative_by_x |x|) |y| + absolute + absolute_by_x |x|`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slack {
    /// For each unit of the result.
    pub relative: f64,
    /// For each unit of the result and of the operand.
    pub relative_by_x: f64,
    /// Whatever the values are.
    pub absolute: f64,
    /// For each unit of the operand.
    pub absolute_by_x: f64,
}

/// The slack of a product of operands in f16, in roundings of the sum of magnitudes: 2^-11 of either.
pub const HALF_PRODUCT: f64 = (1 << 14) as f64;

/// The slack of a division: 2.5 ulp.
pub const DIVISION: f64 = 5.0;

/// The slack of an exponential for each unit of its argument: `3 + 2 |x|` ulp.
pub const EXP_BY_X: f64 = 4.0;

/// The slack of an exponential whose argument is 0.
pub const EXP: f64 = 6.0;

/// The slack of `1 / sqrt(x)`: 2 ulp.
pub const RSQRT: f64 = 4.0;

/// The slack of a logarithm: 3 ulp, and within 0.5..2 an absolute 2^-21.
pub const LOG: (f64, f64) = (6.0, 8.0);

/// The slack of each elementwise function.
pub fn slack(function: UnaryOp) -> Slack {
    let relative = |relative| Slack { relative, ..Slack::default() };
    match function {
        // Exact: a bit is changed.
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not => Slack::default(),
        UnaryOp::Exp => Slack { relative_by_x: EXP_BY_X, ..relative(EXP) },
        UnaryOp::Log => Slack { absolute: LOG.1, ..relative(LOG.0) },
        // Inherited from 1 / inverseSqrt(x).
        UnaryOp::Sqrt => relative(RSQRT + DIVISION),
        UnaryOp::Rsqrt => relative(RSQRT),
        UnaryOp::Reciprocal => relative(DIVISION),
        // The built-ins are of no use (2^-11 absolute, within -pi..pi only): kernels reduce the argument
        // in f32, as if it were rounded once more by an ulp, and evaluate polynomials.
        UnaryOp::Sin | UnaryOp::Cos => {
            Slack { absolute: 2.0, absolute_by_x: 2.0, ..Slack::default() }
        }
        // 1e-5 absolute.
        UnaryOp::Tanh => Slack { absolute: 168.0, ..Slack::default() },
        // No built-in: a polynomial times an exponential, subtracted from 1.
        UnaryOp::Erf => Slack { absolute: 8.0, ..relative(EXP) },
        // 1 / (1 + exp(-x)).
        UnaryOp::Sigmoid => Slack { relative_by_x: EXP_BY_X, ..relative(EXP + DIVISION) },
        UnaryOp::Silu => Slack { relative_by_x: EXP_BY_X, ..relative(EXP + DIVISION + 2.0) },
    }
}
