//! The table of kernel files and headers.

use crate::cuda::error::CudaError;
use crate::cuda::families::{
    attention, copy, elementwise, gather, matmul, norm, reduce, rope, sample, softmax,
};
use crate::cuda::template::Template;

/// Every kernel file.
pub fn templates() -> impl Iterator<Item = &'static Template> {
    let families: [&'static [Template]; 10] = [
        copy::TEMPLATES,
        elementwise::TEMPLATES,
        gather::TEMPLATES,
        reduce::TEMPLATES,
        softmax::TEMPLATES,
        sample::TEMPLATES,
        norm::TEMPLATES,
        rope::TEMPLATES,
        matmul::TEMPLATES,
        attention::TEMPLATES,
    ];
    families.into_iter().flatten()
}

/// The template of that name.
pub fn template(name: &'static str) -> Result<&'static Template, CudaError> {
    let fault = "names no template";
    templates().find(|template| template.name == name).ok_or_else(|| CudaError::Parameter {
        template: name,
        name: name.to_string(),
        fault,
    })
}

/// Every header below `cuda/include`, by the name it is included by.
pub fn headers() -> &'static [(&'static str, &'static str)] {
    HEADERS
}

macro_rules! headers {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../cuda/include/", $name)))),*]
    };
}

const HEADERS: &[(&str, &str)] = headers![
    "minuend/types.cuh",
    "minuend/dependency.cuh",
    "minuend/generated.cuh",
    "minuend/floats.cuh",
    "minuend/rows.cuh",
    "minuend/team.cuh",
    "minuend/weights.cuh",
    "minuend/turn.cuh",
    "minuend/elementary.cuh",
    "minuend/index.cuh",
    "minuend/operands.cuh",
    "minuend/sine.cuh",
    "minuend/async_copy.cuh",
    "minuend/mma_sync.cuh",
    "minuend/matmul.cuh",
    "minuend/online_softmax.cuh",
    "minuend/visible_keys.cuh",
    "minuend/named_barrier.cuh",
    "minuend/mbarrier.cuh",
    "minuend/registers.cuh",
    "minuend/attention/merge.cuh",
    "minuend/attention/decode_ring.cuh",
    "minuend/attention/decode_block.cuh",
    "minuend/tma.cuh",
    "minuend/cluster.cuh",
    "minuend/wgmma.cuh",
    "minuend/attention/score_rows.cuh",
    "minuend/attention/forward_shape.cuh",
    "minuend/attention/forward_tiles.cuh",
    "minuend/attention/forward_memory.cuh",
    "minuend/attention/forward_maps.cuh",
    "minuend/attention/forward_producer.cuh",
    "minuend/attention/forward_result.cuh",
    "minuend/attention/forward_consumer.cuh",
    "minuend/tcgen05.cuh",
    "minuend/attention/tcgen05_shape.cuh",
    "minuend/attention/tcgen05_tiles.cuh",
    "minuend/attention/tcgen05_memory.cuh",
    "minuend/attention/tcgen05_copies.cuh",
    "minuend/attention/tcgen05_products.cuh",
    "minuend/attention/tcgen05_softmax.cuh",
    "minuend/attention/tcgen05_correction.cuh",
    "minuend/attention/decode_shape.cuh",
    "minuend/attention/decode_mma.cuh",
    "minuend/attention/decode_warpgroup.cuh",
];
