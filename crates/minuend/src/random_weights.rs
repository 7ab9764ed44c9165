//! Random weights for measurements: right shapes and types, no meaning.

use std::collections::HashMap;

use bytes::Bytes;
use half::{bf16, f16};
use minuend_ir::DType;
use minuend_models::{ModelConfig, StoredDtype, tensors};
use minuend_runtime::{StoredTensor, WeightSource};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One tensor of each name that a config asks for.
pub(crate) struct RandomWeights {
    table: HashMap<String, StoredTensor>,
}

impl RandomWeights {
    /// Uniform values of variance `1 / fan_in`, so that activations neither grow nor vanish; norm
    /// weights are around 1.
    pub(crate) fn new(config: &ModelConfig, seed: u64) -> RandomWeights {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut table = HashMap::new();
        for spec in tensors(config) {
            let elements: usize = spec.shape.iter().product();
            let is_vector = spec.shape.len() == 1;
            let reach = match spec.shape.last() {
                Some(inputs) if !is_vector => (3.0 / *inputs as f32).sqrt(),
                _ => 0.1,
            };
            let centre = if is_vector { 1.0 } else { 0.0 };
            let values = (0..elements).map(|_| centre + rng.random_range(-reach..reach));
            let (dtype, data): (DType, Vec<u8>) = match config.stored_dtype {
                StoredDtype::F32 => (DType::F32, values.flat_map(f32::to_le_bytes).collect()),
                StoredDtype::F16 => {
                    (DType::F16, values.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect())
                }
                StoredDtype::Bf16 => {
                    (DType::Bf16, values.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect())
                }
            };
            let data = Bytes::from(data);
            table.insert(spec.name, StoredTensor { dtype, shape: spec.shape, data });
        }
        RandomWeights { table }
    }
}

impl WeightSource for RandomWeights {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        self.table.get(name).cloned()
    }
}
