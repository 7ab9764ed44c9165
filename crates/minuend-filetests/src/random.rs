//! Inputs and weights of `run` tests, a function of the seed alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use minuend_interp::{Data, Tensor};
use minuend_ir::{Bindings, DType, Graph, Op, TensorType};

use crate::failure::Failure;

/// Pseudo-random numbers (Marsaglia's xorshift, 64 bits).
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Random {
        // The state must not be zero; the constant is the golden ratio in 64 bits.
        Random((seed ^ 0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Within -1 and 1, a multiple of 2^-10.
    fn real(&mut self) -> f64 {
        let steps = i32::try_from(self.next() >> 40).unwrap_or(0) % 2049 - 1024;
        f64::from(steps) / 1024.0
    }

    /// Floats within -1 and 1, integers below `int_limit`, truth values.
    pub(crate) fn tensor(
        &mut self,
        dtype: DType,
        shape: &[usize],
        int_limit: u64,
    ) -> Result<Tensor, Failure> {
        let count = Tensor::element_count(dtype, shape)?;
        let data = match dtype {
            DType::F32 | DType::F16 | DType::Bf16 => {
                Data::Reals((0..count).map(|_| self.real()).collect())
            }
            DType::I64 | DType::I32 => {
                let limit = int_limit.clamp(1, i32::MAX as u64);
                let value = || i64::try_from((self.next() >> 16) % limit).unwrap_or(0);
                Data::Ints(std::iter::repeat_with(value).take(count).collect())
            }
            DType::Bool => Data::Bools((0..count).map(|_| self.next() >> 63 == 1).collect()),
        };
        Ok(Tensor::new(dtype, shape, data)?)
    }
}

/// Values of the symbols: those set in the header, else small ones that differ from each other, so
/// that mixed-up axes show.
pub(crate) fn bindings(
    graph: &Graph,
    settings: &BTreeMap<String, u64>,
) -> Result<Bindings, Failure> {
    let mut bindings = Bindings::new();
    for (id, info) in graph.symbols().symbols() {
        let wanted = settings.get(&*info.name).copied();
        let small = wanted.unwrap_or(2 + id.index() as u64).clamp(info.min, info.max);
        let value = small.next_multiple_of(info.multiple_of);
        if value > info.max || wanted.is_some_and(|wanted| wanted != value) {
            return Err(Failure::SymbolValue { name: info.name.to_string() });
        }
        bindings.set(id, value);
    }
    Ok(bindings)
}

/// Sizes of a type under the bindings.
pub(crate) fn sizes(ty: &TensorType, bindings: &Bindings) -> Option<Vec<usize>> {
    let size = |dim: &minuend_ir::Dim| usize::try_from(dim.eval_size(bindings)?).ok();
    ty.shape.iter().map(size).collect()
}

/// A tensor for every weight that a graph names. The rows of a weight of several parts are shared out
/// as evenly as they go.
pub(crate) fn weights(
    graph: &Graph,
    random: &mut Random,
) -> Result<HashMap<String, Arc<Tensor>>, Failure> {
    let mut weights = HashMap::new();
    for id in minuend_ir::order::topological(graph) {
        let Op::Weight(op) = &graph.node(id).op else { continue };
        let Some(mut shape) = sizes(&op.ty, &Bindings::new()) else { continue };
        let rows = shape.first().copied();
        for (index, part) in op.parts.iter().enumerate() {
            if let (Some(rows), Some(first)) = (rows, shape.first_mut()) {
                let parts = op.parts.len();
                *first = rows * (index + 1) / parts - rows * index / parts;
            }
            if !weights.contains_key(&**part) {
                let tensor = random.tensor(op.ty.dtype, &shape, 1)?;
                weights.insert(part.to_string(), Arc::new(tensor));
            }
        }
    }
    Ok(weights)
}
