//! The standard pipeline, as one list.

use minuend_ir::{GraphLevel, OpSupport};

use crate::pass::Pass;
use crate::pipeline::Pipeline;
use crate::{
    EliminateCommon, EliminateDead, Legalize, PackProjections, append_kv_in_place, canonicalize,
    fold_constants, fuse_diff_attention, fuse_residual_norm, fuse_rms_norm, fuse_rope, fuse_swiglu,
    recognize_attention,
};

/// Raises a source graph to level fused. No target is asked: a fused graph is the same everywhere.
pub fn raise<'t>() -> Pipeline<'t> {
    Pipeline::empty()
        .pass(EliminateDead)
        // One spelling per idiom; from here on "the same K" means the same value.
        .pass(canonicalize::pass())
        .pass(fold_constants::pass())
        .pass(canonicalize::pass())
        .pass(EliminateCommon)
        .pass(EliminateDead)
        .reach(GraphLevel::Canonical)
        // Attention reads rotated q and k, so rotations are found before it.
        .pass(fuse_rms_norm::pass())
        .pass(fuse_rope::pass())
        .pass(recognize_attention::pass())
        .pass(canonicalize::pass())
        .pass(EliminateCommon)
        .pass(fuse_diff_attention::pass())
        .pass(fuse_swiglu::pass())
        .pass(fuse_residual_norm::pass())
        .pass(append_kv_in_place::pass())
        .pass(PackProjections)
        .pass(canonicalize::pass())
        .pass(EliminateCommon)
        .pass(EliminateDead)
        .reach(GraphLevel::Fused)
}

/// Raises a source graph, then decomposes what the target lacks.
pub fn standard(target: &dyn OpSupport) -> Pipeline<'_> {
    raise().pass(Legalize::new(target)).pass(EliminateDead).reach(GraphLevel::Legal)
}

/// The target-independent pass of that name.
pub fn pass_by_name(name: &str) -> Option<Box<dyn Pass>> {
    let passes: [Box<dyn Pass>; 12] = [
        Box::new(EliminateDead),
        Box::new(EliminateCommon),
        Box::new(PackProjections),
        Box::new(canonicalize::pass()),
        Box::new(fold_constants::pass()),
        Box::new(recognize_attention::pass()),
        Box::new(fuse_diff_attention::pass()),
        Box::new(fuse_rms_norm::pass()),
        Box::new(fuse_residual_norm::pass()),
        Box::new(fuse_rope::pass()),
        Box::new(fuse_swiglu::pass()),
        Box::new(append_kv_in_place::pass()),
    ];
    passes.into_iter().find(|pass| pass.name() == name)
}
