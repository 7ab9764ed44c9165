//! The graph of a model, in primitive ops.
//!
//! Every architecture is one decoder: embedding, layers of attention and feed-forward network around a
//! residual stream, norm, head. Nothing is fused here; the passes earn that, as they do for a graph
//! that comes from elsewhere.

mod attention;
mod decoder;
mod primitive;

pub use decoder::{LogitRows, SAMPLE_ARGUMENTS, TOKEN_OUTPUT, language_model};
