//! Rotary position embedding parameters and how configs spell them.

use minuend_ir::ops::RopeLayout;
use serde_json::Value;

use crate::config_keys::{ConfigKeys, shown};

/// Rotary position embedding over the whole head: pair `i` of position `p` turns by
/// `p * theta^(-2i / head_dim)` radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Base of the frequencies, finite and positive.
    pub theta: f64,
    /// Which elements form a pair.
    pub layout: RopeLayout,
}

/// The base when a config gives none, as in the `transformers` library.
const DEFAULT_THETA: f64 = 10_000.0;

/// Reads `rope_theta` (old spelling) or `rope_parameters` (new spelling), and refuses every form of
/// position scaling.
pub(crate) fn read(keys: &mut ConfigKeys<'_>, layout: RopeLayout) -> Rope {
    let plain = keys.positive("rope_theta");
    let nested = parameters(keys);
    if let (Some(plain), Some(nested)) = (plain, nested)
        && plain != nested
    {
        let expected = format!("the {nested} of `rope_parameters.rope_theta`");
        keys.invalid("rope_theta", plain.to_string(), expected);
    }
    match keys.present("rope_scaling") {
        None => {}
        Some(Value::Object(scaling)) => {
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
            if kind.and_then(Value::as_str) != Some("default") {
                let found = shown(&Value::Object(scaling.clone()));
                keys.unsupported("rope_scaling", found, "null or a rope_type of \"default\"");
            }
        }
        Some(other) => keys.invalid("rope_scaling", shown(other), "null or an object"),
    }
    whole_head(keys, "partial_rotary_factor");
    Rope { theta: nested.or(plain).unwrap_or(DEFAULT_THETA), layout }
}

/// Reads the object `rope_parameters`; gives its `rope_theta`.
fn parameters(keys: &mut ConfigKeys<'_>) -> Option<f64> {
    let value = keys.present("rope_parameters")?;
    let Value::Object(object) = value else {
        keys.invalid("rope_parameters", shown(value), "an object");
        return None;
    };
    let mut nested = keys.nested("rope_parameters", object);
    let theta = nested.positive("rope_theta");
    let kind = nested.text("rope_type").or_else(|| nested.text("type"));
    if let Some(kind) = kind
        && kind != "default"
    {
        nested.unsupported("rope_type", format!("{kind:?}"), "\"default\"");
    }
    whole_head(&mut nested, "partial_rotary_factor");
    for (key, value) in object {
        if value.is_object() {
            nested.unsupported(key, shown(value), "one set of parameters for all layers");
        }
    }
    keys.absorb(nested);
    theta
}

/// Refuses rotation of only a part of each head.
fn whole_head(keys: &mut ConfigKeys<'_>, key: &'static str) {
    if let Some(factor) = keys.positive(key)
        && factor != 1.0
    {
        keys.unsupported(key, factor.to_string(), "1");
    }
}
