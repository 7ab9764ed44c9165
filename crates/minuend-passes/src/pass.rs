//! What a pass is, what it may report, and how it fails.

use minuend_ir::verify::VerifyErrors;
use minuend_ir::{Graph, IllegalOp, NodeId, PatchError, TypeError};

use crate::remark::{Remark, label};

/// Whether a pass changed the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The graph is as it was.
    No,
    /// The graph is another one.
    Yes,
}

/// A transformation of a whole graph that keeps its meaning.
pub trait Pass {
    /// The name by which pipelines, filetests and dumps know it: `fuse-diff-attention`.
    fn name(&self) -> &'static str;

    /// Transforms the graph.
    fn run(&self, graph: &mut Graph, cx: &mut PassContext) -> Result<Changed, PassError>;
}

/// Why a pass gave up. Each is a defect of the pass, but for `Unsupported`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The rewrites of a pass keep rewriting each other's results.
    #[error("pass {pass} found no fixpoint within {limit} rewrites")]
    NoFixpoint {
        /// The pass.
        pass: &'static str,
        /// Rewrites done before it gave up.
        limit: usize,
    },
    /// A pass left an invalid graph behind.
    #[error("pass {pass} broke the graph: {source}")]
    Broke {
        /// The pass.
        pass: &'static str,
        /// The violated invariants.
        source: VerifyErrors,
    },
    /// A rewrite built an ill-typed op.
    #[error("rewrite {rewrite} at {at} built an ill-typed op: {source}")]
    IllTyped {
        /// The rewrite.
        rewrite: &'static str,
        /// The node it was tried at.
        at: String,
        /// The type error.
        source: Box<TypeError>,
    },
    /// A rewrite would change a value's type.
    #[error("rewrite {rewrite} at {at}: {source}")]
    Patch {
        /// The rewrite.
        rewrite: &'static str,
        /// The node it was tried at.
        at: String,
        /// The mismatch.
        source: PatchError,
    },
    /// The target can run neither these ops nor a decomposition of them.
    #[error("the target cannot run {}", .0.iter().map(IllegalOp::to_string).collect::<Vec<_>>().join("; "))]
    Unsupported(Vec<IllegalOp>),
}

/// One applied rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRewrite {
    /// The pass it belongs to.
    pub pass: &'static str,
    /// Its name.
    pub rewrite: &'static str,
    /// The value it was applied at: `%o`.
    pub at: String,
}

/// What passes share while a pipeline runs.
#[derive(Debug, Default)]
pub struct PassContext {
    pass: &'static str,
    remarks: Vec<Remark>,
    log: Vec<AppliedRewrite>,
    stop_after: Option<usize>,
}

impl PassContext {
    /// A context that allows `stop_after` rewrites, or any number.
    pub fn new(stop_after: Option<usize>) -> PassContext {
        PassContext { stop_after, ..PassContext::default() }
    }

    /// Enters a pass: remarks and log entries carry its name from here on.
    pub fn enter(&mut self, pass: &'static str) {
        self.pass = pass;
    }

    /// Asks to apply one more rewrite, and logs it. False once `stop_after` rewrites were applied: the
    /// pass must then leave the graph as it is.
    #[must_use]
    pub fn permit(&mut self, rewrite: &'static str, graph: &Graph, at: NodeId) -> bool {
        if self.is_exhausted() {
            return false;
        }
        let at = label(graph, at);
        self.log.push(AppliedRewrite { pass: self.pass, rewrite, at });
        true
    }

    /// True once `stop_after` rewrites were applied.
    pub fn is_exhausted(&self) -> bool {
        self.stop_after.is_some_and(|limit| self.log.len() >= limit)
    }

    /// Notes why something that looks like a chance was left alone.
    pub fn remark(&mut self, graph: &Graph, at: NodeId, message: impl Into<String>) {
        let remark = Remark { pass: self.pass, at: label(graph, at), message: message.into() };
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Forgets the remarks of the running pass: it looks at every node again.
    pub fn clear_remarks(&mut self) {
        self.remarks.retain(|remark| remark.pass != self.pass);
    }

    /// The remarks so far.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The rewrites so far, in order.
    pub fn log(&self) -> &[AppliedRewrite] {
        &self.log
    }

    /// Remarks and rewrites.
    pub fn into_parts(self) -> (Vec<Remark>, Vec<AppliedRewrite>) {
        (self.remarks, self.log)
    }
}
