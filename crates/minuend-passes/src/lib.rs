//! Passes that raise a graph of primitive ops to fused differential attention.
//!
//! A pass is a set of named [`Rewrite`]s, each of which reads the graph and returns a patch, or a
//! transformation of the whole graph. What a pass recognised and left alone it says as a [`Remark`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod append_kv_in_place;
#[cfg(test)]
mod attention_graphs;
mod attention_mask;
pub mod canonicalize;
mod eliminate_common;
mod eliminate_dead;
pub mod fold_constants;
pub mod fuse_diff_attention;
pub mod fuse_residual_norm;
pub mod fuse_rms_norm;
pub mod fuse_rope;
pub mod fuse_swiglu;
mod layout_ops;
mod legalize;
pub mod matcher;
mod pack_projections;
mod pass;
mod pipeline;
mod position;
mod reading;
pub mod recognize_attention;
mod remark;
mod rewrite;
mod standard;
mod storage;
#[cfg(test)]
mod testing;
mod trail;

pub use eliminate_common::EliminateCommon;
pub use eliminate_dead::EliminateDead;
pub use legalize::Legalize;
pub use pack_projections::PackProjections;
pub use pass::{AppliedRewrite, Changed, Pass, PassContext, PassError};
pub use pipeline::{Observer, Pipeline, PipelineOptions, PipelineReport, VerifyMode};
pub use remark::Remark;
pub use rewrite::{Rewrite, RewritePass, Rewritten, Rule};
pub use standard::{pass_by_name, raise, standard};
