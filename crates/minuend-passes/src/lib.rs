//! Passes that raise a graph of primitive ops to fused differential attention.
//!
//! A pass is a set of named [`Rewrite`]s, each of which reads the graph and returns a patch, or a
//! transformation of the whole graph. What a pass recognised and left alone it says as a [`Remark`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod matcher;
mod pass;
mod pipeline;
mod position;
mod remark;
mod rewrite;

pub use pass::{AppliedRewrite, Changed, Pass, PassContext, PassError};
pub use pipeline::{Observer, Pipeline, PipelineOptions, PipelineReport, VerifyMode};
pub use remark::Remark;
pub use rewrite::{Rewrite, RewritePass, Rewritten, Rule};
