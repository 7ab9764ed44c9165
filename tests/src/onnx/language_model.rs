//! DIFF V2 language models as the TorchScript exporter writes them: every shape is computed by nodes.

use minuend::ir::ops::RopeLayout;
use minuend::{ModelConfig, WeightSource};
use minuend_conform::random_values::bytes_of;
use minuend_interp::Tensor;
use minuend_onnx::proto::data_type;

use super::writer::{Writer, int, ints, of_ints, of_tensor, reals};

/// Rows of the stored tables of cosines and sines.
pub const POSITIONS: usize = 64;
/// Exporters write "to the end" as the largest i64.
const END: i64 = i64::MAX;

/// A model of the config, with the tensors that a checkpoint of it would have. Input `input_ids`
/// `i64 [batch, sequence]`, output `logits` `f32 [batch, sequence, vocab]`; no cache.
pub fn language_model(config: &ModelConfig, weights: &dyn WeightSource) -> Writer {
    let mut exporter = Exporter { w: Writer::default(), config, weights };
    let ids = exporter.w.input("input_ids", data_type::INT64, "batch, sequence");
    exporter.rotary_tables();
    let table = exporter.weight("model.embed_tokens.weight", false);
    let mut x = exporter.w.node("Gather", &[&table, &ids], &[]);
    for layer in 0..config.layers {
        x = exporter.layer(layer, &x);
    }
    let x = exporter.norm("model.norm.weight", &x);
    let head = match config.tied_head {
        true => exporter.w.node("Transpose", &[&table], &[of_ints("perm", &[1, 0])]),
        false => exporter.weight("lm_head.weight", true),
    };
    let logits = exporter.w.node("MatMul", &[&x, &head], &[]);
    exporter.w.output_as("logits", &logits);
    exporter.w
}

/// The config of a small model: 4 pairs of heads of 8 features over 2 key/value heads.
pub fn config(layers: usize, tied_head: bool, vocab: usize) -> ModelConfig {
    let text = format!(
        r#"{{"model_type": "diff_v2", "vocab_size": {vocab}, "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": {layers}, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "rms_norm_eps": 1e-5, "max_position_embeddings": {POSITIONS},
            "rope_theta": 10000.0, "torch_dtype": "float32", "tie_word_embeddings": {tied_head}}}"#
    );
    ModelConfig::from_json_str("config.json", &text).unwrap()
}

struct Exporter<'m> {
    w: Writer,
    config: &'m ModelConfig,
    weights: &'m dyn WeightSource,
}

/// The sizes `[batch, sequence]` of a value, as scalars that nodes compute.
struct Tokens {
    batch: String,
    sequence: String,
}

/// One of the sizes of a shape.
enum Size<'a> {
    Computed(&'a str),
    Fixed(usize),
}

impl Exporter<'_> {
    /// A stored tensor; a projection `[out, in]` is stored `[in, out]`, as `MatMul` takes it.
    fn weight(&mut self, name: &str, is_turned: bool) -> String {
        let stored = self.weights.stored(name).unwrap();
        let tensor = Tensor::from_bytes(stored.dtype, &stored.shape, &stored.data).unwrap();
        let tensor = if is_turned { turned(&tensor) } else { tensor };
        self.w.named(name, &tensor)
    }

    fn linear(&mut self, name: &str, x: &str) -> String {
        let weight = self.weight(&format!("{name}.weight"), true);
        self.w.node("MatMul", &[x, &weight], &[])
    }

    fn rotary_tables(&mut self) {
        let pairs = self.config.head_dim / 2;
        let theta = self.config.rope.theta as f32;
        let angle = |at: usize| {
            let exponent = (at % pairs) as f32 * 2.0 / self.config.head_dim as f32;
            (at / pairs) as f32 / theta.powf(exponent)
        };
        let table = |wave: fn(f32) -> f32| -> Vec<f64> {
            (0..POSITIONS * pairs).map(|at| f64::from(wave(angle(at)))).collect()
        };
        let shape = [POSITIONS, pairs];
        self.w.named("cos", &reals(&shape, &table(f32::cos)));
        self.w.named("sin", &reals(&shape, &table(f32::sin)));
    }

    fn layer(&mut self, layer: usize, x: &str) -> String {
        let prefix = format!("model.layers.{layer}");
        let normed = self.norm(&format!("{prefix}.input_layernorm.weight"), x);
        let attended = self.attention(&format!("{prefix}.self_attn"), &normed);
        let x = self.w.node("Add", &[x, &attended], &[]);
        let normed = self.norm(&format!("{prefix}.post_attention_layernorm.weight"), &x);
        let fed = self.feed_forward(&format!("{prefix}.mlp"), &normed);
        self.w.node("Add", &[&x, &fed], &[])
    }

    fn norm(&mut self, name: &str, x: &str) -> String {
        let two = self.w.constant_real(2.0);
        let square = self.w.node("Pow", &[x, &two], &[]);
        let axes = self.w.constant_ints(&[-1]);
        let mean = self.w.node("ReduceMean", &[&square, &axes], &[int("keepdims", 1)]);
        let epsilon = self.w.constant_real(self.config.rms_norm_eps);
        let sum = self.w.node("Add", &[&mean, &epsilon], &[]);
        let root = self.w.node("Sqrt", &[&sum], &[]);
        let normed = self.w.node("Div", &[x, &root], &[]);
        let weight = self.weight(name, false);
        self.w.node("Mul", &[&normed, &weight], &[])
    }

    fn feed_forward(&mut self, prefix: &str, x: &str) -> String {
        let gate = self.linear(&format!("{prefix}.gate_proj"), x);
        let sigmoid = self.w.node("Sigmoid", &[&gate], &[]);
        let gate = self.w.node("Mul", &[&gate, &sigmoid], &[]);
        let up = self.linear(&format!("{prefix}.up_proj"), x);
        let gated = self.w.node("Mul", &[&gate, &up], &[]);
        self.linear(&format!("{prefix}.down_proj"), &gated)
    }

    fn attention(&mut self, prefix: &str, x: &str) -> String {
        let (pairs, groups) = (self.config.heads, self.config.kv_heads);
        let tokens = self.tokens(x);
        let q = self.heads(&format!("{prefix}.q_proj"), x, &tokens, 2 * pairs);
        let k = self.heads(&format!("{prefix}.k_proj"), x, &tokens, groups);
        let v = self.heads(&format!("{prefix}.v_proj"), x, &tokens, groups);
        let q = self.rotated(&q, &tokens);
        let k = self.rotated(&k, &tokens);
        let k = self.repeated(&k, &tokens);
        let v = self.repeated(&v, &tokens);
        let k = self.w.node("Transpose", &[&k], &[of_ints("perm", &[0, 1, 3, 2])]);
        let scores = self.w.node("MatMul", &[&q, &k], &[]);
        let root = self.w.constant_real((self.config.head_dim as f64).sqrt());
        let scores = self.w.node("Div", &[&scores, &root], &[]);
        let scores = self.masked(&scores, &tokens);
        let weights = self.w.node("Softmax", &[&scores], &[int("axis", -1)]);
        let attended = self.w.node("MatMul", &[&weights, &v], &[]);
        let attended = self.w.node("Transpose", &[&attended], &[of_ints("perm", &[0, 2, 1, 3])]);
        let signal = self.slice(&attended, 2, 0, 2);
        let noise = self.slice(&attended, 2, 1, 2);
        let lambda = self.linear(&format!("{prefix}.lambda_proj"), x);
        let gate = self.w.node("Sigmoid", &[&lambda], &[]);
        let gate = self.unsqueezed(&gate, -1);
        let noise = self.w.node("Mul", &[&gate, &noise], &[]);
        let difference = self.w.node("Sub", &[&signal, &noise], &[]);
        let width = pairs * self.config.head_dim;
        let Tokens { batch, sequence } = &tokens;
        let joined = self.reshaped(
            &difference,
            &[Size::Computed(batch), Size::Computed(sequence), Size::Fixed(width)],
        );
        self.linear(&format!("{prefix}.o_proj"), &joined)
    }

    /// One size of a value, as a scalar.
    fn size(&mut self, x: &str, axis: i64) -> String {
        let shape = self.w.node("Shape", &[x], &[]);
        let axis = self.w.constant_int(axis);
        self.w.node("Gather", &[&shape, &axis], &[int("axis", 0)])
    }

    fn tokens(&mut self, x: &str) -> Tokens {
        Tokens { batch: self.size(x, 0), sequence: self.size(x, 1) }
    }

    fn unsqueezed(&mut self, x: &str, axis: i64) -> String {
        let axes = self.w.constant_ints(&[axis]);
        self.w.node("Unsqueeze", &[x, &axes], &[])
    }

    /// A vector of sizes.
    fn shape(&mut self, sizes: &[Size<'_>]) -> String {
        let mut parts = Vec::new();
        for size in sizes {
            parts.push(match size {
                Size::Computed(size) => self.unsqueezed(size, 0),
                Size::Fixed(size) => self.w.constant_ints(&[*size as i64]),
            });
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.w.node("Concat", &parts, &[int("axis", 0)])
    }

    fn reshaped(&mut self, x: &str, sizes: &[Size<'_>]) -> String {
        let shape = self.shape(sizes);
        self.w.node("Reshape", &[x, &shape], &[int("allowzero", 0)])
    }

    fn slice(&mut self, x: &str, axis: i64, start: i64, step: i64) -> String {
        let [axis, start, end, step] =
            [axis, start, END, step].map(|number| self.w.constant_ints(&[number]));
        self.w.node("Slice", &[x, &start, &end, &axis, &step], &[])
    }

    /// A projection of `x` as `[batch, heads, sequence, d]`.
    fn heads(&mut self, name: &str, x: &str, tokens: &Tokens, heads: usize) -> String {
        let projected = self.linear(name, x);
        let Tokens { batch, sequence } = tokens;
        let sizes = [
            Size::Computed(batch),
            Size::Computed(sequence),
            Size::Fixed(heads),
            Size::Fixed(self.config.head_dim),
        ];
        let apart = self.reshaped(&projected, &sizes);
        self.w.node("Transpose", &[&apart], &[of_ints("perm", &[0, 2, 1, 3])])
    }

    /// The first `sequence` rows of a stored table, for every sequence and head.
    fn table(&mut self, name: &str, tokens: &Tokens) -> String {
        let [axis, start, step] = [0, 0, 1].map(|number| self.w.constant_ints(&[number]));
        let end = self.unsqueezed(&tokens.sequence, 0);
        let rows = self.w.node("Slice", &[name, &start, &end, &axis, &step], &[]);
        let rows = self.unsqueezed(&rows, 0);
        self.unsqueezed(&rows, 0)
    }

    /// `x [batch, heads, sequence, d]` rotated by position.
    fn rotated(&mut self, x: &str, tokens: &Tokens) -> String {
        let (cos, sin) = (self.table("cos", tokens), self.table("sin", tokens));
        let is_interleaved = self.config.rope.layout == RopeLayout::Interleaved;
        let (a, b) = if is_interleaved {
            (self.slice(x, 3, 0, 2), self.slice(x, 3, 1, 2))
        } else {
            let half = (self.config.head_dim / 2) as i64;
            let sizes = self.w.constant_ints(&[half, half]);
            let mut parts = self.w.nodes("Split", &[x, &sizes], &[int("axis", -1)], 2);
            (parts.remove(0), parts.remove(0))
        };
        let (a_cos, b_sin) =
            (self.w.node("Mul", &[&a, &cos], &[]), self.w.node("Mul", &[&b, &sin], &[]));
        let (a_sin, b_cos) =
            (self.w.node("Mul", &[&a, &sin], &[]), self.w.node("Mul", &[&b, &cos], &[]));
        let a = self.w.node("Sub", &[&a_cos, &b_sin], &[]);
        let b = self.w.node("Add", &[&a_sin, &b_cos], &[]);
        if !is_interleaved {
            return self.w.node("Concat", &[&a, &b], &[int("axis", -1)]);
        }
        let (a, b) = (self.unsqueezed(&a, -1), self.unsqueezed(&b, -1));
        let pairs = self.w.node("Concat", &[&a, &b], &[int("axis", -1)]);
        // flatten(-2): the leading sizes, and -1.
        let shape = self.w.node("Shape", &[&pairs], &[]);
        let [axis, start, end] = [0, 0, -2].map(|number| self.w.constant_ints(&[number]));
        let leading = self.w.node("Slice", &[&shape, &start, &end, &axis], &[]);
        let rest = self.w.constant_ints(&[-1]);
        let shape = self.w.node("Concat", &[&leading, &rest], &[int("axis", 0)]);
        self.w.node("Reshape", &[&pairs, &shape], &[])
    }

    /// Keys or values for each query head: `x[:, :, None].expand(..).reshape(..)`.
    fn repeated(&mut self, x: &str, tokens: &Tokens) -> String {
        let (groups, head_dim) = (self.config.kv_heads, self.config.head_dim);
        let repeats = 2 * self.config.heads / groups;
        let Tokens { batch, sequence } = tokens;
        let apart = self.unsqueezed(x, 2);
        let wanted = self.shape(&[
            Size::Computed(batch),
            Size::Fixed(groups),
            Size::Fixed(repeats),
            Size::Computed(sequence),
            Size::Fixed(head_dim),
        ]);
        // Sizes of -1 are kept, so the exporter puts 1 in their place.
        let axes = self.w.node("Shape", &[&wanted], &[]);
        let one = of_tensor("value", &ints(&[1], &[1]));
        let ones = self.w.node("ConstantOfShape", &[&axes], &[one]);
        let minus = self.w.constant_int(-1);
        let kept = self.w.node("Mul", &[&ones, &minus], &[]);
        let is_kept = self.w.node("Equal", &[&wanted, &kept], &[]);
        let wanted = self.w.node("Where", &[&is_kept, &ones, &wanted], &[]);
        let spread = self.w.node("Expand", &[&apart, &wanted], &[]);
        self.reshaped(
            &spread,
            &[
                Size::Computed(batch),
                Size::Fixed(groups * repeats),
                Size::Computed(sequence),
                Size::Fixed(head_dim),
            ],
        )
    }

    /// Scores of keys behind the query become minus infinity: where the lower triangle of ones is 0.
    fn masked(&mut self, scores: &str, tokens: &Tokens) -> String {
        let sequence = &tokens.sequence;
        let square = self.shape(&[Size::Computed(sequence), Size::Computed(sequence)]);
        let one = of_tensor("value", &reals(&[1], &[1.0]));
        let ones = self.w.node("ConstantOfShape", &[&square], &[one]);
        let triangle = self.w.node("Trilu", &[&ones], &[int("upper", 0)]);
        let zero = self.w.constant_real(0.0);
        let is_hidden = self.w.node("Equal", &[&triangle, &zero], &[]);
        let hidden = self.w.constant_real(f64::NEG_INFINITY);
        self.w.node("Where", &[&is_hidden, &hidden, scores], &[])
    }
}

/// A matrix with its axes exchanged.
fn turned(tensor: &Tensor) -> Tensor {
    let [rows, columns] = tensor.shape() else { panic!("expected a matrix") };
    let bytes = bytes_of(tensor);
    let width = tensor.dtype().bytes() as usize;
    let at = |row: usize, column: usize| {
        let start = (row * columns + column) * width;
        bytes[start..start + width].to_vec()
    };
    let turned: Vec<u8> = (0..*columns)
        .flat_map(|column| (0..*rows).map(move |row| (row, column)))
        .flat_map(|(row, column)| at(row, column))
        .collect();
    Tensor::from_bytes(tensor.dtype(), &[*columns, *rows], &turned).unwrap()
}
