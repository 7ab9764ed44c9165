//! candle: attention by its tensor ops and by its CPU flash attention, and its Llama.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::attention::{AttnMask, flash_attn};
use candle_transformers::models::llama::{Cache, Config, Llama};
use minuend::{Model, StoredDtype, WeightSource, tensors};

use crate::Outcome;
use crate::attention::{HEAD_DIM, KV_HEADS, Operands, PAIRS, QUERY_HEADS, SCALE, TOKENS};
use crate::greedy::Greedy;

pub(crate) const NAME: &str = "candle 0.11.1";
pub(crate) const UNFUSED: &str = "candle 0.11.1, tensor ops";
pub(crate) const FLASH: &str = "candle 0.11.1, cpu_flash";
/// All of them.
pub(crate) const NAMES: [&str; 3] = [NAME, UNFUSED, FLASH];

/// The elements of an f32 tensor, on the host.
pub(crate) fn host(tensor: &Tensor) -> Outcome<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Operands of attention in the layouts that candle's two forms ask for.
pub(crate) struct Attention {
    /// `[1, heads, tokens, d]`; keys and values are repeated for each query head.
    q: Tensor,
    k: Tensor,
    v: Tensor,
    /// Negative infinity above the diagonal.
    mask: Tensor,
    /// `[1, tokens, heads, d]`; keys and values have their own number of heads.
    flash_q: Tensor,
    flash_k: Tensor,
    flash_v: Tensor,
    /// `[1, pairs, tokens, 1]`.
    lambda: Tensor,
}

impl Attention {
    pub(crate) fn new(operands: &Operands) -> Outcome<Attention> {
        let tensor = |values: &[f32], heads: usize| {
            Tensor::from_slice(values, (1, heads, TOKENS, HEAD_DIM), &Device::Cpu)
        };
        let q = tensor(&operands.q, QUERY_HEADS)?;
        let (k, v) = (tensor(&operands.k, KV_HEADS)?, tensor(&operands.v, KV_HEADS)?);
        let by_token = |tensor: &Tensor| tensor.transpose(1, 2)?.contiguous();
        let repeated = |tensor: Tensor| {
            candle_transformers::utils::repeat_kv(tensor, QUERY_HEADS / KV_HEADS)?.contiguous()
        };
        let mask: Vec<f32> = (0..TOKENS)
            .flat_map(|i| (0..TOKENS).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }))
            .collect();
        Ok(Attention {
            flash_q: by_token(&q)?,
            flash_k: by_token(&k)?,
            flash_v: by_token(&v)?,
            q,
            k: repeated(k)?,
            v: repeated(v)?,
            mask: Tensor::from_vec(mask, (1, 1, TOKENS, TOKENS), &Device::Cpu)?,
            lambda: Tensor::from_slice(&operands.lambda, (1, PAIRS, TOKENS, 1), &Device::Cpu)?,
        })
    }

    /// Each step a tensor op; the scores are in memory.
    pub(crate) fn unfused(&self) -> candle_core::Result<Tensor> {
        let scores = (self.q.matmul(&self.k.t()?)? * SCALE)?.broadcast_add(&self.mask)?;
        candle_nn::ops::softmax_last_dim(&scores)?.matmul(&self.v)
    }

    /// The fused loop.
    pub(crate) fn flash(&self) -> candle_core::Result<Tensor> {
        let (q, k, v) = (&self.flash_q, &self.flash_k, &self.flash_v);
        flash_attn::<f32>(q, k, v, SCALE as f32, AttnMask::causal(), None, None)
    }

    /// `even heads - sigmoid(lambda) * odd heads` of attention `[1, heads, tokens, d]`.
    pub(crate) fn difference(&self, attention: &Tensor) -> candle_core::Result<Tensor> {
        let pairs = attention.reshape((1, PAIRS, 2, TOKENS, HEAD_DIM))?;
        let (even, odd) = (pairs.narrow(2, 0, 1)?.squeeze(2)?, pairs.narrow(2, 1, 1)?.squeeze(2)?);
        even - odd.broadcast_mul(&candle_nn::ops::sigmoid(&self.lambda)?)?
    }
}

/// candle's Llama with a cache of keys and values.
pub(crate) struct CandleLlama {
    model: Llama,
    config: Config,
    dtype: DType,
    cache: Cache,
    position: usize,
}

impl CandleLlama {
    /// A Llama with the weights of a model of minuend.
    pub(crate) fn new(config: Config, model: &Model) -> Outcome<CandleLlama> {
        let dtype = match model.config().stored_dtype {
            StoredDtype::F32 => DType::F32,
            StoredDtype::F16 => DType::F16,
            StoredDtype::Bf16 => DType::BF16,
        };
        let mut weights = HashMap::new();
        for spec in tensors(model.config()) {
            let stored = model.stored(&spec.name).ok_or("a weight is missing")?;
            let tensor = Tensor::from_raw_buffer(&stored.data, dtype, &stored.shape, &Device::Cpu)?;
            weights.insert(spec.name, tensor);
        }
        let weights = VarBuilder::from_tensors(weights, dtype, &Device::Cpu);
        let model = Llama::load(weights, &config)?;
        let cache = Cache::new(true, dtype, &config, &Device::Cpu)?;
        Ok(CandleLlama { model, config, dtype, cache, position: 0 })
    }
}

impl Greedy for CandleLlama {
    fn reset(&mut self) -> Outcome<()> {
        self.cache = Cache::new(true, self.dtype, &self.config, &Device::Cpu)?;
        self.position = 0;
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Outcome<Vec<f32>> {
        let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let logits = self.model.forward(&input, self.position, &mut self.cache)?;
        self.position += ids.len();
        host(&logits)
    }
}
