//! Numbers of 16 bits.

use half::{bf16, f16};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
}

impl Element {
    pub(crate) fn decode(self, bits: u16) -> f32 {
        match self {
            Element::F16 => f16::from_bits(bits).to_f32(),
            Element::Bf16 => bf16::from_bits(bits).to_f32(),
        }
    }

    /// Rounded to nearest, ties to even.
    pub(crate) fn encode(self, value: f32) -> u16 {
        match self {
            Element::F16 => f16::from_f32(value).to_bits(),
            Element::Bf16 => bf16::from_f32(value).to_bits(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
        }
    }
}
