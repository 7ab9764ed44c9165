//! Deterministic operands.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};
use minuend_interp::{Data, Tensor, Weights};
use minuend_ir::DType;
use minuend_runtime::{HostTensor, StoredTensor, WeightSource};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What an operand is filled with; truth values are random whatever is said here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fill {
    /// Reals in -1..1.
    Unit,
    /// Reals of magnitude 0.5..2 and either sign, integers below 100: functions and quotients of them
    /// neither overflow nor amplify errors much.
    Moderate,
    /// Reals in 0..1.
    Share,
    /// This integer alone.
    Exactly(i64),
    /// Integers in `0..end`; end is above 0.
    Below(usize),
}

/// A source of operands, a function of the seed alone.
pub(super) struct Values(ChaCha8Rng);

impl Values {
    pub(super) fn new(seed: u64) -> Values {
        Values(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A tensor whose reals are exactly values of its type; `None` for one too large for memory.
    pub(super) fn tensor(&mut self, dtype: DType, shape: &[usize], fill: Fill) -> Option<Tensor> {
        let count = Tensor::element_count(dtype, shape).ok()?;
        let rng = &mut self.0;
        let data = match dtype {
            DType::F32 | DType::F16 | DType::Bf16 => {
                let real = |_| rounded(dtype, real(rng, fill));
                Data::Reals((0..count).map(real).collect())
            }
            DType::I64 | DType::I32 => {
                let start = if let Fill::Exactly(value) = fill { value } else { 0 };
                let end = match fill {
                    Fill::Exactly(value) => value.saturating_add(1),
                    Fill::Below(end) => i64::try_from(end).ok()?.max(1),
                    Fill::Unit | Fill::Moderate | Fill::Share => 100,
                };
                Data::Ints((0..count).map(|_| rng.random_range(start..end)).collect())
            }
            DType::Bool => Data::Bools((0..count).map(|_| rng.random()).collect()),
        };
        Tensor::new(dtype, shape, data).ok()
    }
}

fn real(rng: &mut ChaCha8Rng, fill: Fill) -> f64 {
    match fill {
        Fill::Unit | Fill::Below(_) | Fill::Exactly(_) => rng.random_range(-1.0..1.0),
        Fill::Share => rng.random_range(0.0..1.0),
        Fill::Moderate => {
            let size = rng.random_range(0.5..2.0);
            if rng.random() { size } else { -size }
        }
    }
}

fn rounded(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F16 => f16::from_f64(value).to_f64(),
        DType::Bf16 => bf16::from_f64(value).to_f64(),
        DType::F32 | DType::I64 | DType::I32 | DType::Bool => f64::from(value as f32),
    }
}

/// The tensor as an argument of a session.
pub(super) fn host_tensor(tensor: &Tensor) -> Option<HostTensor> {
    HostTensor::from_bytes(tensor.dtype(), tensor.shape(), bytes_of(tensor))
}

/// The elements, little endian.
fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    match (tensor.data(), tensor.dtype()) {
        (Data::Reals(values), DType::F16) => {
            values.iter().flat_map(|x| f16::from_f64(*x).to_le_bytes()).collect()
        }
        (Data::Reals(values), DType::Bf16) => {
            values.iter().flat_map(|x| bf16::from_f64(*x).to_le_bytes()).collect()
        }
        (Data::Reals(values), _) => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        (Data::Ints(values), DType::I32) => {
            values.iter().flat_map(|x| (*x as i32).to_le_bytes()).collect()
        }
        (Data::Ints(values), _) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Bools(values), _) => values.iter().map(|x| u8::from(*x)).collect(),
    }
}

/// The weights of a case, for the interpreter and for the device.
#[derive(Default)]
pub(super) struct CaseWeights(HashMap<String, Arc<Tensor>>);

impl CaseWeights {
    pub(super) fn insert(&mut self, name: &str, tensor: Tensor) {
        self.0.insert(name.to_string(), Arc::new(tensor));
    }
}

impl Weights for CaseWeights {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        self.0.get(name).cloned()
    }
}

impl WeightSource for CaseWeights {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        let tensor = self.0.get(name)?;
        let data = Bytes::from(bytes_of(tensor));
        Some(StoredTensor { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data })
    }
}
