//! A decoder-only language model: tokens in, logits out, keys and values kept as states.

use minuend_ir::ops::{SampleRules, Slice, UnaryOp};
use minuend_ir::{
    DType, Dim, Emit, Emitted, Graph, SymbolError, SymbolTable, TensorType, TypeError, ValueId,
};

use super::primitive::{linear, rms_norm};
use crate::{ModelConfig, ModelError, StoredDtype};

/// Largest batch that graphs are made for.
const MAX_BATCH: u64 = 1024;

/// Of which tokens the graph computes logits, and how it chooses the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitRows {
    /// Of every token: `[B, S, vocab]`.
    All,
    /// Of the last token of each sequence: `[B, 1, vocab]`. Enough to continue a text, and so the graph
    /// returns the most likely next token too.
    Last,
    /// As [`LogitRows::Last`], but the next token is drawn by rules that are arguments of the graph.
    Sampled,
}

/// Name of the output with the next token of each sequence.
pub const TOKEN_OUTPUT: &str = "token";

/// Names of the arguments, behind the tokens, by which the next token is drawn: the operands of the op
/// `sample` ([`minuend_ir::ops::sample`]) behind the logits.
pub const SAMPLE_ARGUMENTS: [&str; 4] = ["temperature", "top_k", "top_p", "uniform"];

/// The graph of a language model whose activations are of one float type, f32, f16 or bf16.
///
/// Argument `input_ids i64 [B, S]`; output `logits f32`; for each layer the states `past_keys.N` and
/// `past_values.N`, `[B, kv_heads, P, d]` in the type of the activations. With [`LogitRows::Last`] the
/// second output is [`TOKEN_OUTPUT`], `i64 [B, 1]`: the id of the largest finite logit, of equals the
/// lowest, or -1 if no logit is finite. With [`LogitRows::Sampled`] it is the id that the op `sample`
/// draws with the arguments [`SAMPLE_ARGUMENTS`]: `temperature f32 []`, `top_k i64 []`, `top_p f32 []` and
/// `uniform f32 [B, 1]`; at temperature 0 that is the same. `stored` gives the element type of each stored tensor.
///
/// In f32, weights are declared as they are stored and widened where they are used. In f16 or bf16 they
/// are declared in that type, and whoever loads them converts what is stored otherwise. Norms, rotations
/// and softmax are written in f32 with casts around them.
///
/// # Errors
/// [`ModelError::Graph`] or [`ModelError::Symbols`] when sizes of the config do not fit each other, or
/// the activations are of no float type.
pub fn language_model(
    config: &ModelConfig,
    stored: &dyn Fn(&str) -> StoredDtype,
    rows: LogitRows,
    activations: DType,
) -> Result<Graph, ModelError> {
    let declared = |name: &str| match activations {
        DType::F32 => stored(name).dtype(),
        other => other,
    };
    Ok(build(config, &declared, rows, activations, symbols(config)?)?)
}

fn symbols(config: &ModelConfig) -> Result<SymbolTable, SymbolError> {
    let mut symbols = SymbolTable::default();
    let longest = config.max_positions as u64;
    symbols.declare("B", 1, MAX_BATCH)?;
    let tokens = Dim::symbol(symbols.declare("S", 1, longest)?);
    let past = Dim::symbol(symbols.declare("P", 0, longest)?);
    symbols.define("T", &past + &tokens)?;
    Ok(symbols)
}

fn build(
    config: &ModelConfig,
    declared: &dyn Fn(&str) -> DType,
    rows: LogitRows,
    activations: DType,
    symbols: SymbolTable,
) -> Result<Graph, TypeError> {
    let size = |name| symbols.lookup(name).unwrap_or_default();
    let (batch, tokens, past) = (size("B"), size("S"), size("P"));
    let mut graph = Graph::new(config.architecture.model_type(), symbols);
    let ids = graph
        .argument("input_ids", TensorType::new(DType::I64, [batch.clone(), tokens.clone()]))?;
    let draw = match rows {
        LogitRows::All | LogitRows::Last => None,
        LogitRows::Sampled => Some(draw_arguments(&mut graph, &batch)?),
    };
    let offset = graph.dim(past.clone())?;
    let index = graph.iota(tokens.clone())?;
    let positions = graph.add_values(index, offset)?;
    graph.set_name(positions, "positions");
    let next_states = Vec::new();
    let mut decoder = Decoder {
        config,
        declared,
        activations,
        graph,
        batch,
        tokens,
        past,
        positions,
        next_states,
    };

    let mut x = decoder.embedding(ids)?;
    for layer in 0..config.layers {
        x = decoder.layer(layer, x)?;
    }
    let logits = decoder.head(x, rows)?;
    let Decoder { mut graph, next_states, .. } = decoder;
    graph.set_name(logits, "logits");
    let mut outputs = vec![logits];
    let token = match (rows, draw) {
        (LogitRows::All, _) => None,
        (_, None) => Some(graph.arg_max(2, logits)?),
        (_, Some((rules, uniform))) => {
            let rows = [graph.size(logits, 0), graph.size(logits, 2)];
            let logits = graph.reshape(logits, &rows)?;
            Some(graph.sample(logits, rules, uniform)?)
        }
    };
    if let Some(token) = token {
        graph.set_name(token, TOKEN_OUTPUT);
        outputs.push(token);
    }
    graph.set_return(&outputs, &next_states)?;
    Ok(graph)
}

/// The arguments [`SAMPLE_ARGUMENTS`].
fn draw_arguments(graph: &mut Graph, batch: &Dim) -> Result<(SampleRules, ValueId), TypeError> {
    let [temperature, top_k, top_p, uniform] = SAMPLE_ARGUMENTS;
    let rules = SampleRules {
        temperature: graph.argument(temperature, TensorType::scalar(DType::F32))?,
        top_k: graph.argument(top_k, TensorType::scalar(DType::I64))?,
        top_p: graph.argument(top_p, TensorType::scalar(DType::F32))?,
    };
    let uniforms = TensorType::new(DType::F32, [batch.clone(), Dim::one()]);
    Ok((rules, graph.argument(uniform, uniforms)?))
}

/// A decoder while its graph is built.
pub(super) struct Decoder<'c> {
    pub(super) config: &'c ModelConfig,
    /// Element types in which the graph has weights.
    declared: &'c dyn Fn(&str) -> DType,
    /// Element type of all values between weights and logits.
    activations: DType,
    pub(super) graph: Graph,
    /// `B`.
    pub(super) batch: Dim,
    /// `S`.
    pub(super) tokens: Dim,
    /// `P`.
    past: Dim,
    /// Positions of the tokens: `i64 [S]`.
    pub(super) positions: ValueId,
    /// Next values of the states, in the order of their declaration.
    pub(super) next_states: Vec<ValueId>,
}

impl Decoder<'_> {
    pub(super) fn head_dim(&self) -> Dim {
        Dim::from(self.config.head_dim)
    }

    /// A stored tensor in the type of the activations.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Emitted {
        let weight = self.declared_weight(name, shape)?;
        self.graph.cast(weight, self.activations)
    }

    /// A stored tensor in the type in which the graph declares it.
    fn declared_weight(&mut self, name: &str, shape: &[usize]) -> Emitted {
        let ty = TensorType::fixed((self.declared)(name), shape);
        let weight = self.graph.weight(name, ty)?;
        self.graph.set_name(weight, name);
        Ok(weight)
    }

    /// `x W^T`, plus the bias where this kind of layer has one.
    pub(super) fn projection(&mut self, name: &str, x: ValueId, outputs: usize) -> Emitted {
        let inputs = self.graph.type_of(x).shape.last().and_then(Dim::as_const);
        let inputs = inputs.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs])?;
        let projected = linear(&mut self.graph, x, weight)?;
        let has_bias = match name.contains(".mlp.") {
            true => self.config.mlp_bias,
            false => self.config.attention_bias,
        };
        if !has_bias {
            return Ok(projected);
        }
        let bias = self.weight(&format!("{name}.bias"), &[outputs])?;
        self.graph.add_values(projected, bias)
    }

    /// A cache of earlier tokens: `[B, kv_heads, P, d]`.
    pub(super) fn past_state(&mut self, name: &str) -> Emitted {
        let shape =
            [self.batch.clone(), self.config.kv_heads.into(), self.past.clone(), self.head_dim()];
        self.graph.state(name, TensorType::new(self.activations, shape))
    }

    fn embedding(&mut self, ids: ValueId) -> Emitted {
        let table = self.table(crate::shapes::EMBEDDING)?;
        let rows = self.graph.gather(0, table, ids)?;
        self.graph.cast(rows, self.activations)
    }

    /// A `[vocab, hidden]` matrix as declared.
    fn table(&mut self, name: &str) -> Emitted {
        self.declared_weight(name, &[self.config.vocab_size, self.config.hidden_size])
    }

    fn norm(&mut self, name: &str, x: ValueId) -> Emitted {
        let weight = self.weight(name, &[self.config.hidden_size])?;
        rms_norm(&mut self.graph, x, weight, self.config.rms_norm_eps)
    }

    fn layer(&mut self, layer: usize, x: ValueId) -> Emitted {
        let prefix = format!("model.layers.{layer}");
        let normed = self.norm(&format!("{prefix}.input_layernorm.weight"), x)?;
        let attended = self.attention(layer, normed)?;
        let x = self.graph.add_values(x, attended)?;
        self.graph.set_name(x, &format!("layers.{layer}.attended"));
        let normed = self.norm(&format!("{prefix}.post_attention_layernorm.weight"), x)?;
        let fed = self.feed_forward(&format!("{prefix}.mlp"), normed)?;
        let x = self.graph.add_values(x, fed)?;
        self.graph.set_name(x, &format!("layers.{layer}"));
        Ok(x)
    }

    /// `down(silu(gate x) * up x)`.
    fn feed_forward(&mut self, prefix: &str, x: ValueId) -> Emitted {
        let inner = self.config.intermediate_size;
        let gate = self.projection(&format!("{prefix}.gate_proj"), x, inner)?;
        let up = self.projection(&format!("{prefix}.up_proj"), x, inner)?;
        let gate = self.graph.unary(UnaryOp::Silu, gate)?;
        let gated = self.graph.mul(gate, up)?;
        self.projection(&format!("{prefix}.down_proj"), gated, self.config.hidden_size)
    }

    /// Logits in f32: they decide between tokens, which 16 bits would tie.
    fn head(&mut self, x: ValueId, rows: LogitRows) -> Emitted {
        let x = match rows {
            LogitRows::All => x,
            LogitRows::Last | LogitRows::Sampled => {
                let last = &self.tokens + -1;
                self.graph.slice(x, Slice::range(1, last, self.tokens.clone()))?
            }
        };
        let x = self.norm("model.norm.weight", x)?;
        let name =
            if self.config.tied_head { crate::shapes::EMBEDDING } else { crate::shapes::HEAD };
        let table = self.table(name)?;
        let table = self.graph.cast(table, self.activations)?;
        let logits = linear(&mut self.graph, x, table)?;
        self.graph.cast(logits, DType::F32)
    }
}
