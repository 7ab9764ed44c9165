//! In which float type a model computes between its weights and its logits.

use std::str::FromStr;

use minuend_codegen::Target;
use minuend_ir::DType;
use minuend_models::StoredDtype;

use crate::error::RequestError;

/// The element type asked for: of activations, of the key/value cache, and, unless it is f32, of the
/// weights, which are converted when they are loaded. Sums, norms, softmax and logits are f32 in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// The type in which the checkpoint stores its embedding, where the target has kernels for it;
    /// otherwise f32.
    #[default]
    Auto,
    /// This float type.
    Of(DType),
}

impl Activations {
    /// The types that can be asked for, as the command line spells them.
    pub const NAMES: &'static str = "auto, f32, bf16 or f16";

    /// The element type on a target, of a model that is stored in this type.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedActivations`] if the target has no kernels for the type asked for.
    pub fn dtype(self, target: &dyn Target, stored: StoredDtype) -> Result<DType, RequestError> {
        let supported = target.activation_dtypes();
        match self {
            Activations::Auto => {
                let stored = stored.dtype();
                Ok(if supported.contains(&stored) { stored } else { DType::F32 })
            }
            Activations::Of(dtype) if supported.contains(&dtype) => Ok(dtype),
            Activations::Of(dtype) => {
                let names: Vec<&str> = supported.iter().map(|dtype| dtype.name()).collect();
                Err(RequestError::UnsupportedActivations {
                    target: target.name(),
                    dtype,
                    supported: names.join(", "),
                })
            }
        }
    }

    /// The element type where no target is asked: f32 unless another one is asked for.
    pub fn dtype_anywhere(self) -> DType {
        match self {
            Activations::Auto => DType::F32,
            Activations::Of(dtype) => dtype,
        }
    }
}

impl FromStr for Activations {
    type Err = RequestError;

    /// `auto`, or the name of a float type.
    fn from_str(name: &str) -> Result<Activations, RequestError> {
        if name == "auto" {
            return Ok(Activations::Auto);
        }
        let dtype = DType::from_name(name).filter(|dtype| dtype.is_float());
        dtype.map(Activations::Of).ok_or_else(|| RequestError::UnknownActivations {
            name: name.to_string(),
            known: Activations::NAMES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_codegen::{CodegenError, CpuTarget, Kernel};
    use minuend_ir::{Legality, Op, OpInstance, OpSupport};

    /// The CPU's target, but for the types of activations.
    struct WithTypes(&'static [DType]);

    impl OpSupport for WithTypes {
        fn legality(&self, op: &OpInstance<'_>) -> Legality {
            CpuTarget.legality(op)
        }
    }

    impl Target for WithTypes {
        fn name(&self) -> &'static str {
            "some"
        }

        fn activation_dtypes(&self) -> &'static [DType] {
            self.0
        }

        fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
            CpuTarget.select(op)
        }

        fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
            CpuTarget.reads_strided(op, operand, dense_last_axis)
        }
    }

    #[test]
    fn auto_follows_the_checkpoint_where_it_can() {
        let all = WithTypes(&[DType::F32, DType::F16, DType::Bf16]);
        let halves = WithTypes(&[DType::F32, DType::F16]);
        let of = |target, stored| Activations::Auto.dtype(target, stored).unwrap();
        assert_eq!(of(&all, StoredDtype::Bf16), DType::Bf16);
        assert_eq!(of(&all, StoredDtype::F32), DType::F32);
        assert_eq!(of(&halves, StoredDtype::F16), DType::F16);
        assert_eq!(of(&halves, StoredDtype::Bf16), DType::F32);
        assert_eq!(Activations::Auto.dtype(&CpuTarget, StoredDtype::Bf16).unwrap(), DType::F32);
    }

    #[test]
    fn what_a_target_lacks_is_refused() {
        let halves = WithTypes(&[DType::F32, DType::F16]);
        let asked = Activations::Of(DType::Bf16);
        let error = asked.dtype(&halves, StoredDtype::Bf16).unwrap_err();
        let message = "target some has no kernels for activations in bf16, expected one of auto, \
            f32, f16";
        assert_eq!(error.to_string(), message);
        assert_eq!(asked.dtype_anywhere(), DType::Bf16);
    }

    #[test]
    fn names() {
        assert_eq!("auto".parse(), Ok(Activations::Auto));
        assert_eq!("f16".parse(), Ok(Activations::Of(DType::F16)));
        for bad in ["i64", "half", ""] {
            let error = bad.parse::<Activations>().unwrap_err().to_string();
            assert!(error.ends_with("expected auto, f32, bf16 or f16"), "{error}");
        }
    }
}
