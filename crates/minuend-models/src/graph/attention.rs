//! The attention of one layer, differential or plain.

use minuend_ir::ops::{Attention, Mask, Rope, Slice, UnaryOp};
use minuend_ir::{Dim, Emit, Emitted, Op, Real, TypeError, ValueId};

use super::decoder::Decoder;
use super::primitive::{linear, primitive, rms_norm};
use crate::config::Architecture;

impl Decoder<'_> {
    /// Attention of layer `layer` on the normed residual stream `x [B, S, D]`, up to and including the
    /// output projection. Appends the next key and value states.
    pub(super) fn attention(&mut self, layer: usize, x: ValueId) -> Emitted {
        let config = self.config;
        let (heads, groups) = (config.query_heads(), config.kv_heads);
        let prefix = format!("model.layers.{layer}.self_attn");

        let q = self.heads(&format!("{prefix}.q_proj"), x, heads)?;
        let q = self.normed_heads(&format!("{prefix}.q_norm.weight"), q)?;
        let k = self.heads(&format!("{prefix}.k_proj"), x, groups)?;
        let k = self.normed_heads(&format!("{prefix}.k_norm.weight"), k)?;
        let v = self.heads(&format!("{prefix}.v_proj"), x, groups)?;

        let q = self.head_major_rotated(q)?;
        let k = self.head_major_rotated(k)?;
        let v = self.graph.transpose(v, &[0, 2, 1, 3])?;
        let k = self.with_past(&format!("past_keys.{layer}"), k)?;
        let v = self.with_past(&format!("past_values.{layer}"), v)?;

        let mask = match config.sliding_window.and_then(|window| u32::try_from(window).ok()) {
            Some(window) => Mask::SlidingWindow { window },
            None => Mask::Causal,
        };
        let scale = Real::new((config.head_dim as f64).powf(-0.5));
        let op = Op::Attention(Attention { mask, scale });
        let attended = primitive(&mut self.graph, op, &[q, k, v])?;
        let attended = self.graph.transpose(attended, &[0, 2, 1, 3])?;
        let attended = match config.architecture {
            Architecture::DiffV2 => {
                self.difference(&format!("{prefix}.lambda_proj"), x, attended)?
            }
            Architecture::Llama | Architecture::Qwen3 => attended,
        };
        let width = Dim::from(config.heads * config.head_dim);
        self.graph.set_name(attended, &format!("layers.{layer}.attention"));
        let joined =
            self.graph.reshape(attended, &[self.batch.clone(), self.tokens.clone(), width])?;
        self.projection(&format!("{prefix}.o_proj"), joined, config.hidden_size)
    }

    /// `x` projected to heads: `[B, S, heads, d]`.
    fn heads(&mut self, name: &str, x: ValueId, heads: usize) -> Emitted {
        let projected = self.projection(name, x, heads * self.config.head_dim)?;
        let shape = [self.batch.clone(), self.tokens.clone(), heads.into(), self.head_dim()];
        self.graph.reshape(projected, &shape)
    }

    /// The per-head norm of models that have one.
    fn normed_heads(&mut self, name: &str, x: ValueId) -> Emitted {
        if !self.config.qk_norm {
            return Ok(x);
        }
        let weight = self.weight(name, &[self.config.head_dim])?;
        rms_norm(&mut self.graph, x, weight, self.config.rms_norm_eps)
    }

    /// `[B, S, heads, d]` to `[B, heads, S, d]`, rotated by position.
    fn head_major_rotated(&mut self, x: ValueId) -> Emitted {
        let x = self.graph.transpose(x, &[0, 2, 1, 3])?;
        let rope = self.config.rope;
        let op = Rope { layout: rope.layout, theta: Real::new(rope.theta) };
        primitive(&mut self.graph, Op::Rope(op), &[x, self.positions])
    }

    /// `new [B, kv_heads, S, d]` behind the cached tokens of all earlier runs: `[B, kv_heads, T, d]`.
    fn with_past(&mut self, state: &str, new: ValueId) -> Emitted {
        let past = self.past_state(state)?;
        let all = self.graph.concat(2, &[past, new])?;
        self.next_states.push(all);
        Ok(all)
    }

    /// `a_2i - sigmoid(lambda_i) * a_2i+1` on `[B, S, 2h, d]`, lambda projected from the layer's input.
    fn difference(
        &mut self,
        name: &str,
        x: ValueId,
        attended: ValueId,
    ) -> Result<ValueId, TypeError> {
        let pairs = self.config.heads;
        let weight = self.weight(&format!("{name}.weight"), &[pairs, self.config.hidden_size])?;
        let graph = &mut self.graph;
        let lambda = linear(graph, x, weight)?;
        let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
        let shape = [self.batch.clone(), self.tokens.clone(), pairs.into(), Dim::one()];
        let gate = graph.reshape(gate, &shape)?;
        let signal = graph.slice(attended, Slice::strided(2, 0, 2))?;
        let noise = graph.slice(attended, Slice::strided(2, 1, 2))?;
        let noise = graph.mul(gate, noise)?;
        graph.sub(signal, noise)
    }
}
