//! Random tensors, a function of the seed alone.

use half::{bf16, f16};
use minuend::ir::DType;
use minuend_interp::{Data, Tensor, TensorError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::float_types::rounded;

/// What a tensor is filled with.
#[derive(Clone, Debug)]
pub enum Values {
    /// Uniform reals in `-reach..reach`; reach is above 0.
    Within(f64),
    /// Uniform reals in `low..high`; low is below high.
    Between(f64, f64),
    /// Uniform integers in `0..end`; end is above 0.
    Below(i64),
    /// Truth values.
    Truth,
    /// These reals, again and again.
    Reals(Vec<f64>),
    /// These integers, again and again.
    Ints(Vec<i64>),
}

/// A source of random tensors and choices.
pub struct RandomValues(ChaCha8Rng);

impl RandomValues {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> RandomValues {
        RandomValues(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A tensor of that type. Reals are exactly values of the element type.
    ///
    /// # Errors
    /// Values that are no values of the element type, and shapes too large for the interpreter.
    pub fn tensor(
        &mut self,
        dtype: DType,
        shape: &[usize],
        values: &Values,
    ) -> Result<Tensor, TensorError> {
        let count = Tensor::element_count(dtype, shape)?;
        let rng = &mut self.0;
        let data = match values {
            Values::Within(reach) => {
                reals(dtype, (0..count).map(|_| rng.random_range(-reach..*reach)))
            }
            Values::Between(low, high) => {
                reals(dtype, (0..count).map(|_| rng.random_range(*low..*high)))
            }
            Values::Below(end) => {
                Data::Ints((0..count).map(|_| rng.random_range(0..*end)).collect())
            }
            Values::Truth => Data::Bools((0..count).map(|_| rng.random()).collect()),
            Values::Reals(list) => reals(dtype, list.iter().copied().cycle().take(count)),
            Values::Ints(list) => Data::Ints(list.iter().copied().cycle().take(count).collect()),
        };
        Tensor::new(dtype, shape, data)
    }
}

/// The values rounded to a float type.
fn reals(dtype: DType, values: impl Iterator<Item = f64>) -> Data {
    Data::Reals(values.map(|value| rounded(dtype, value)).collect())
}

/// The elements as bytes, row-major and little endian.
pub fn bytes_of(tensor: &Tensor) -> Vec<u8> {
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
