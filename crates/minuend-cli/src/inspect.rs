//! `minuend inspect`: what a model consists of, what it costs, what the passes make of it.

use clap::Args;
use minuend::ir::DType;
use minuend::{FusionReport, Inspection, ModelConfig, Parameters, Remark, RunCost};
use serde_json::{Value, json};

use crate::activation_args::ActivationArgs;
use crate::failure::Failure;
use crate::model_source::{ModelSource, notes};
use crate::units::{bytes, count};
use crate::{onnx_inspect, output};

const HELP: &str = "\
Operations count a multiplication and an addition as two: products with weights
and the two products of attention, nothing elementwise. Decode is one token
behind half of the context, prefill is half of the context from an empty cache,
with logits of the last token. The cache is of the type of the activations, which
--dtype auto takes for f32 here, since no device is asked.

JSON keys: config, dtype, parameters, diff_v2_arithmetic, flops, kv_bytes_per_token,
ops (after fusion), packed_projections, remarks (every one), notes.

Of an ONNX file (*.onnx), what it takes and gives is shown with the range of each
size, its stored parameters, and what became of the graph. JSON keys: file, producer,
opset, nodes, inputs, outputs (each with name, dtype, shape, sizes), parameters,
ops, packed_projections, remarks, notes.

Example:
  minuend inspect examples/models/shakespeare-diffv2 --remarks
  minuend inspect model.onnx --remarks";

/// Count parameters and operations, and report what was fused
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    source: ModelSource,
    #[command(flatten)]
    pub(crate) activations: ActivationArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print each remark, not one line for all of a kind
    #[arg(long)]
    pub(crate) remarks: bool,
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    if let Some(path) = args.source.onnx() {
        return onnx_inspect::inspect(args, path);
    }
    let model = args.activations.of(args.source.open()?);
    let found = model.inspect()?;
    if args.json {
        let dtype = args.activations.dtype.dtype_anywhere();
        return output::print_json(&as_json(model.config(), dtype, &found, notes(&model)));
    }
    let mut text = config_text(&args.source.path(), model.config());
    text += &parameters_text(&found.parameters);
    text += &arithmetic_text(&found);
    text += &cost_text(&found);
    text += &fusion_text(&found.fusion);
    text += &remarks_text(&found.fusion.remarks, args.remarks);
    for note in notes(&model) {
        text += &format!("note: {note}\n");
    }
    output::print(&text)
}

fn config_text(path: &str, config: &ModelConfig) -> String {
    format!(
        "{path}: {}, {} layers of width {}, {} heads ({} query, {} key/value) of width {}, \
         feed-forward {}, vocabulary {}, context {}\n",
        config.architecture.model_type(),
        config.layers,
        config.hidden_size,
        config.heads,
        config.query_heads(),
        config.kv_heads,
        config.head_dim,
        config.intermediate_size,
        config.vocab_size,
        config.max_positions,
    )
}

fn parameters_text(parameters: &Parameters) -> String {
    let total = parameters.total();
    let line = |name: &str, part: u64| {
        let percent = 100.0 * part as f64 / total.max(1) as f64;
        format!("  {name:<13} {part:>14}  {percent:>5.1} %\n")
    };
    [
        format!("\nparameters      {total:>14}  ({})\n", count(total)),
        line("embedding", parameters.embedding),
        line("attention", parameters.attention),
        line("feed-forward", parameters.feed_forward),
        line("norms", parameters.norms),
        line("head", parameters.head),
    ]
    .concat()
}

fn arithmetic_text(found: &Inspection) -> String {
    let a = &found.arithmetic;
    let (h, twice) = (a.heads, 2 * a.heads);
    let [same_heads, diff_v2, same_query] = [
        format!("plain, {h} heads"),
        format!("DIFF V2, {h} from {twice} query heads"),
        format!("plain, {twice} heads"),
    ];
    format!(
        "\nattention matrices of one layer\n  \
         {same_heads:<32}{:>12}  DIFF V2 adds {:.1} %\n  \
         {diff_v2:<32}{:>12}\n  \
         {same_query:<32}{:>12}  DIFF V2 saves {:.1} % ({:.1} % without lambda)\n",
        a.baseline_same_heads,
        -a.saved_at_same_heads(),
        a.diff_v2,
        a.baseline_same_query_width,
        a.saved_at_same_query_width(),
        a.saved_in_output(),
    )
}

fn cost_text(found: &Inspection) -> String {
    let (decode, prefill) = (&found.cost.decode, &found.cost.prefill);
    format!(
        "\noperations\n  \
         decode one token behind {}: {} ({} of attention)\n  \
         prefill of {} tokens: {}, {} per token ({} of attention)\n\
         key/value cache: {} per token\n",
        decode.past,
        count(decode.total()),
        count(decode.attention),
        prefill.tokens,
        count(prefill.total()),
        count(prefill.total() / prefill.tokens.max(1)),
        count(prefill.attention / prefill.tokens.max(1)),
        bytes(found.cost.kv_bytes_per_token),
    )
}

pub(crate) fn fusion_text(fusion: &FusionReport) -> String {
    let mut text = "\nops after fusion\n".to_string();
    for (mnemonic, number) in &fusion.ops {
        text += &format!("  {mnemonic:<15} {number:>5}\n");
    }
    text += "packed projections\n";
    for packed in &fusion.packed_projections {
        text += &format!("  {} x {}\n", packed.weights.len(), packed.parts.join(" + "));
    }
    if fusion.packed_projections.is_empty() {
        text += "  none\n";
    }
    text
}

pub(crate) fn remarks_text(remarks: &[Remark], is_each: bool) -> String {
    let mut text = format!("remarks: {}\n", remarks.len());
    if is_each {
        return text + &remarks.iter().map(|remark| format!("  {remark}\n")).collect::<String>();
    }
    let mut kinds: Vec<(&Remark, usize)> = Vec::new();
    for remark in remarks {
        let same = |kind: &&mut (&Remark, usize)| {
            kind.0.pass == remark.pass && kind.0.message == remark.message
        };
        match kinds.iter_mut().find(same) {
            Some((_, number)) => *number += 1,
            None => kinds.push((remark, 1)),
        }
    }
    for (first, number) in kinds {
        let more = if number > 1 { format!(" and {} more places", number - 1) } else { "".into() };
        text += &format!("  {} at {}{more}: {}\n", first.pass, first.at, first.message);
    }
    text
}

fn as_json(config: &ModelConfig, dtype: DType, found: &Inspection, notes: &[String]) -> Value {
    let Inspection { parameters, arithmetic, cost, fusion } = found;
    let [packed, remarks] = fusion_json(fusion);
    json!({
        "config": config_json(config),
        "dtype": dtype.name(),
        "parameters": {
            "total": parameters.total(),
            "embedding": parameters.embedding,
            "attention": parameters.attention,
            "feed_forward": parameters.feed_forward,
            "norms": parameters.norms,
            "head": parameters.head,
            "attention_fraction": parameters.attention_fraction(),
        },
        "diff_v2_arithmetic": {
            "heads": arithmetic.heads,
            "attention_parameters_per_layer": {
                "baseline_same_heads": arithmetic.baseline_same_heads,
                "diff_v2": arithmetic.diff_v2,
                "baseline_same_query_width": arithmetic.baseline_same_query_width,
            },
            "saved_percent": {
                "at_same_heads": arithmetic.saved_at_same_heads(),
                "at_same_query_width": arithmetic.saved_at_same_query_width(),
                "at_same_query_width_without_lambda": arithmetic.saved_in_output(),
            },
        },
        "flops": { "decode": cost_json(&cost.decode), "prefill": cost_json(&cost.prefill) },
        "kv_bytes_per_token": cost.kv_bytes_per_token,
        "ops": fusion.ops,
        "packed_projections": packed,
        "remarks": remarks,
        "notes": notes,
    })
}

/// Packed projections and remarks.
pub(crate) fn fusion_json(fusion: &FusionReport) -> [Value; 2] {
    let packed: Vec<Value> = fusion
        .packed_projections
        .iter()
        .map(|packed| {
            let (parts, count) = (&packed.parts, packed.weights.len());
            json!({ "parts": parts, "count": count, "weights": packed.weights })
        })
        .collect();
    let remarks: Vec<Value> = fusion
        .remarks
        .iter()
        .map(|remark| json!({ "pass": remark.pass, "at": remark.at, "message": remark.message }))
        .collect();
    [packed.into(), remarks.into()]
}

fn cost_json(cost: &RunCost) -> Value {
    json!({
        "tokens": cost.tokens,
        "past": cost.past,
        "projections": cost.projections,
        "attention": cost.attention,
        "total": cost.total(),
        "per_token": cost.total() as f64 / cost.tokens.max(1) as f64,
    })
}

fn config_json(config: &ModelConfig) -> Value {
    json!({
        "model_type": config.architecture.model_type(),
        "layers": config.layers,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
        "heads": config.heads,
        "query_heads": config.query_heads(),
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "context": config.max_positions,
        "tied_head": config.tied_head,
        "sliding_window": config.sliding_window,
    })
}
