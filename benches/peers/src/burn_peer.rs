//! burn with its CPU backend, flex, or through wgpu.

use burn::tensor::{Device, Tensor, TensorData, module::attention, ops::AttentionModuleOptions};

use crate::Outcome;
use crate::alternate::Contestant;
use crate::attention::{
    DIFFERENCE, HEAD_DIM, HEADS, KV_HEADS, Operands, PAIRS, QUERY_HEADS, TOKENS,
};

const FLEX: &str = "burn 0.22.1, flex";
#[cfg(feature = "burn-wgpu")]
const WGPU: &str = "burn 0.22.1, wgpu";

/// A backend of burn and its name.
fn backend(is_cpu: bool) -> Outcome<(Device, &'static str)> {
    if is_cpu {
        return Ok((Device::flex(), FLEX));
    }
    #[cfg(feature = "burn-wgpu")]
    return Ok((Device::wgpu(Default::default()), WGPU));
    #[cfg(not(feature = "burn-wgpu"))]
    Err("burn was built for the CPU alone: build with --features burn-wgpu".into())
}

fn tensor<const RANK: usize>(
    values: Vec<f32>,
    shape: [usize; RANK],
    device: &Device,
) -> Tensor<RANK> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn host<const RANK: usize>(tensor: Tensor<RANK>) -> Outcome<Vec<f32>> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}").into())
}

/// `x[size, size] W[size, size]^T`. burn keeps the weight of a linear layer as `[in, out]`.
pub(crate) fn linear(
    x: Vec<f32>,
    w: &[f32],
    size: usize,
    is_cpu: bool,
) -> Outcome<Contestant<'static>> {
    let (device, library) = backend(is_cpu)?;
    let x = tensor(x, [size, size], &device);
    let transposed = (0..size).flat_map(|i| (0..size).map(move |j| w[j * size + i])).collect();
    let w = tensor(transposed, [size, size], &device);
    let run = move || host(x.clone().matmul(w.clone()));
    Ok(Contestant { library, what: "matmul", run: Box::new(run) })
}

/// Operands of attention; keys and values are repeated for each query head.
pub(crate) struct Attention {
    library: &'static str,
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    lambda: Tensor<4>,
}

impl Attention {
    pub(crate) fn new(operands: &Operands, is_cpu: bool) -> Outcome<Attention> {
        let (device, library) = backend(is_cpu)?;
        let repeated = |values: &[f32]| {
            let heads = values.chunks(TOKENS * HEAD_DIM);
            let values = heads.flat_map(|head| head.repeat(QUERY_HEADS / KV_HEADS)).collect();
            tensor(values, [1, QUERY_HEADS, TOKENS, HEAD_DIM], &device)
        };
        Ok(Attention {
            library,
            q: tensor(operands.q.clone(), [1, QUERY_HEADS, TOKENS, HEAD_DIM], &device),
            k: repeated(&operands.k),
            v: repeated(&operands.v),
            lambda: tensor(operands.lambda.clone(), [1, PAIRS, TOKENS, 1], &device),
        })
    }

    fn heads(&self) -> Tensor<4> {
        let (q, k, v) = (self.q.clone(), self.k.clone(), self.v.clone());
        let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
        attention(q, k, v, None, None, options)
    }

    fn difference(&self) -> Tensor<4> {
        let shape = [1, PAIRS, TOKENS, HEAD_DIM];
        let pairs = self.heads().reshape([1, PAIRS, 2, TOKENS, HEAD_DIM]);
        let (even, odd) = (pairs.clone().narrow(2, 0, 1), pairs.narrow(2, 1, 1));
        let gate = burn::tensor::activation::sigmoid(self.lambda.clone());
        even.reshape(shape) - gate * odd.reshape(shape)
    }

    pub(crate) fn contestants(&self) -> [Contestant<'_>; 2] {
        [
            Contestant {
                library: self.library,
                what: DIFFERENCE,
                run: Box::new(|| host(self.difference())),
            },
            Contestant { library: self.library, what: HEADS, run: Box::new(|| host(self.heads())) },
        ]
    }
}
