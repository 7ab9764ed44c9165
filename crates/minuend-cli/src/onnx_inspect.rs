//! `minuend inspect` of an ONNX file.

use std::path::Path;

use minuend::ir::Dim;
use minuend::{NamedType, OnnxInspection, OnnxModel, Signature};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::inspect::{InspectArgs, fusion_json, fusion_text, remarks_text};
use crate::output::{self, plain};
use crate::units::{bytes, count};

pub(crate) fn inspect(args: &InspectArgs, path: &Path) -> Result<(), Failure> {
    let model = args.activations.of_onnx(path)?;
    let found = model.inspect()?;
    if args.json {
        return output::print_json(&as_json(&model, &found));
    }
    let signature = &found.signature;
    let mut text = format!(
        "{}: {}, opset {}, {} nodes\n",
        path.display(),
        match plain(model.producer()) {
            producer if producer.is_empty() => "unknown producer".to_string(),
            producer => producer,
        },
        model.opset(),
        model.nodes(),
    );
    text += &types_text("inputs", &signature.inputs, signature);
    text += &types_text("outputs", &signature.outputs, signature);
    text += &sizes_text(signature);
    text += &format!(
        "\nparameters      {:>14}  ({} in {} tensors, {})\n",
        found.weights.elements,
        count(found.weights.elements),
        found.weights.tensors,
        bytes(found.weights.bytes),
    );
    text += &fusion_text(&found.fusion);
    text += &plain_lines(&remarks_text(&found.fusion.remarks, args.remarks));
    for note in model.notes() {
        text += &format!("note: {}\n", plain(note));
    }
    output::print(&text)
}

/// Remarks name values as the file does, so control characters are shown and not written.
fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

fn types_text(title: &str, types: &[NamedType], signature: &Signature) -> String {
    let mut text = format!("\n{title}\n");
    for named in types {
        let ty = named.ty.display(&signature.symbols);
        text += &format!("  {:<15} {ty}\n", plain(&named.name));
    }
    text
}

fn sizes_text(signature: &Signature) -> String {
    let mut text = String::new();
    for (_, info) in signature.symbols.symbols() {
        text += &format!("  {:<15} {} to {}", info.name, info.min, info.max);
        if info.multiple_of != 1 {
            text += &format!(", a multiple of {}", info.multiple_of);
        }
        text += "\n";
    }
    if text.is_empty() { text } else { format!("\nsizes\n{text}") }
}

fn as_json(model: &OnnxModel, found: &OnnxInspection) -> Value {
    let OnnxInspection { signature, weights, fusion } = found;
    let types = |types: &[NamedType]| -> Vec<Value> {
        types.iter().map(|named| type_json(named, signature)).collect()
    };
    let [packed, remarks] = fusion_json(fusion);
    json!({
        "file": model.path().display().to_string(),
        "producer": model.producer(),
        "opset": model.opset(),
        "nodes": model.nodes(),
        "inputs": types(&signature.inputs),
        "outputs": types(&signature.outputs),
        "parameters": {
            "total": weights.elements,
            "bytes": weights.bytes,
            "tensors": weights.tensors,
        },
        "ops": fusion.ops,
        "packed_projections": packed,
        "remarks": remarks,
        "notes": model.notes(),
    })
}

/// Sizes are numbers, or words over the symbols, whose ranges stand beside them.
fn type_json(named: &NamedType, signature: &Signature) -> Value {
    let size = |dim: &Dim| match dim.as_const() {
        Some(size) => json!(size),
        None => json!(dim.display(&signature.symbols).to_string()),
    };
    let shape: Vec<Value> = named.ty.shape.iter().map(size).collect();
    let mut sizes = Map::new();
    for symbol in named.ty.shape.iter().flat_map(Dim::symbols) {
        if let Some(info) = signature.symbols.info(symbol) {
            let range =
                json!({ "min": info.min, "max": info.max, "multiple_of": info.multiple_of });
            sizes.insert(info.name.to_string(), range);
        }
    }
    let dtype = named.ty.dtype.name();
    json!({ "name": named.name, "dtype": dtype, "shape": shape, "sizes": sizes })
}
