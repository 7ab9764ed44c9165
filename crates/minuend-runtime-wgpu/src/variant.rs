//! Families of kernel variants: what a capability of the adapter adds.

use minuend_codegen::wgsl::WgslLimits;

/// A family of kernel variants. Each contains the ones before it, where the adapter has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// f32 arithmetic and workgroup memory: what every adapter has.
    Plain,
    /// Reductions by subgroup operations.
    Subgroups,
    /// The type `f16`. No exact kernel is better for it; it is what cooperative matrices hold.
    F16,
    /// Products of f16 matrices with f32 sums. Operands are rounded to f16, so the user asks for it.
    CooperativeMatrix,
}

/// Whether an adapter has a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantSupport {
    /// The variant.
    pub variant: Variant,
    /// Why the adapter does not have it; `None` if it does.
    pub unavailable: Option<String>,
}

impl Variant {
    /// Every variant, the plain one first.
    pub const ALL: [Variant; 4] =
        [Variant::Plain, Variant::Subgroups, Variant::F16, Variant::CooperativeMatrix];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Plain => "plain",
            Variant::Subgroups => "subgroups",
            Variant::F16 => "f16",
            Variant::CooperativeMatrix => "cooperative-matrix",
        }
    }

    /// The variant of that name.
    pub fn from_name(name: &str) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// What is taken if none is asked for: the most special one that is exact and has kernels of its own.
    pub fn of_default(limits: &WgslLimits) -> Variant {
        if limits.subgroups.is_some() { Variant::Subgroups } else { Variant::Plain }
    }

    /// The most special one that limits allow.
    pub fn of(limits: &WgslLimits) -> Variant {
        let is_allowed = |variant: &Variant| variant.support(limits).unavailable.is_none();
        Variant::ALL.into_iter().rev().find(is_allowed).unwrap_or(Variant::Plain)
    }

    /// Whether limits allow it.
    pub fn support(self, limits: &WgslLimits) -> VariantSupport {
        let missing = match self {
            Variant::Plain => None,
            Variant::Subgroups => {
                limits.subgroups.is_none().then_some("the adapter has no subgroup operations")
            }
            Variant::F16 => (!limits.f16).then_some("the adapter has no SHADER_F16"),
            Variant::CooperativeMatrix => limits.cooperative_matrix.is_none().then_some(
                "the adapter multiplies no f16 matrices of 8x8x8 or 16x16x16 with f32 sums",
            ),
        };
        VariantSupport { variant: self, unavailable: missing.map(String::from) }
    }

    /// Limits that leave only this variant and the ones it contains.
    pub fn restrict(self, limits: &WgslLimits) -> WgslLimits {
        let mut limits = limits.clone();
        if self < Variant::Subgroups {
            limits.subgroups = None;
        }
        if self < Variant::F16 {
            limits.f16 = false;
        }
        if self < Variant::CooperativeMatrix {
            limits.cooperative_matrix = None;
        }
        limits.half_products = self == Variant::CooperativeMatrix;
        limits
    }
}
