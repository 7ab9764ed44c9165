//! Names of weights: spellings that mean the same, and tensors that are no weights.

/// Spellings of one module inside `self_attn`, the canonical one second.
const ALIASES: [(&str, &str); 3] =
    [("W_lambda", "lambda_proj"), ("lam_proj", "lambda_proj"), ("out_proj", "o_proj")];

/// The canonical form of a tensor name: `model.layers.N.self_attn.X.weight` (or `.bias`) with the
/// one spelling of `X` that this crate uses.
pub(crate) fn canonical(name: &str) -> String {
    let mut segments: Vec<&str> = name.split('.').collect();
    if let ["model", "layers", _, "self_attn", module, _] = segments.as_mut_slice()
        && let Some((_, canonical)) = ALIASES.iter().find(|(alias, _)| alias == module)
    {
        *module = canonical;
    }
    segments.join(".")
}

/// Whether the tensor is a table of rotary frequencies, which old exports store although it follows
/// from the config.
pub(crate) fn is_rotary_table(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_module_are_one_name() {
        let lambda = "model.layers.3.self_attn.lambda_proj.weight";
        for module in ["lambda_proj", "W_lambda", "lam_proj"] {
            assert_eq!(canonical(&format!("model.layers.3.self_attn.{module}.weight")), lambda);
        }
        assert_eq!(
            canonical("model.layers.0.self_attn.out_proj.bias"),
            "model.layers.0.self_attn.o_proj.bias"
        );
    }

    #[test]
    fn other_names_stay() {
        for name in ["", "lm_head.weight", "model.layers.0.mlp.out_proj.weight", "a.out_proj.b"] {
            assert_eq!(canonical(name), name);
        }
    }
}
