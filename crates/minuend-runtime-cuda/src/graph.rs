//! A run as a CUDA graph: recorded once, then launched as a whole.
//!
//! A decode step of a model is a few hundred short kernels; giving them one by one costs more than some
//! of them take. Between two tokens the sizes of some launches change, never their order: the graph's
//! nodes are brought up to date and the rest stays.

use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUgraph, CUgraphEdgeData, CUgraphExec, CUgraphNode, CUstream, CUstreamCaptureMode,
    CUstreamCaptureStatus,
};
use minuend_codegen::cuda::Product;
use minuend_runtime::DeviceError;

use crate::gpu::Gpu;
use crate::launch::PreparedWork;
use crate::planned::Planned;
use crate::products::{Addresses, Products};

/// A recorded run.
pub(crate) struct Graph {
    gpu: Arc<Gpu>,
    graph: CUgraph,
    executable: CUgraphExec,
    /// One for each work, in order.
    nodes: Vec<Node>,
}

// SAFETY: a graph may be used from any thread, by one at a time, which `&mut self` sees to.
unsafe impl Send for Graph {}

enum Node {
    /// A kernel whose arguments and grid can change; its cluster cannot, nor the kind of the edge to it,
    /// which goes by `overlaps`.
    Kernel { node: CUgraphNode, cluster: u32, overlaps: bool },
    /// Whatever the library recorded for a product.
    Product(Box<(Product, Addresses)>),
}

/// CUDA version of the first driver that tells which node was recorded last.
const FIRST_DRIVER: (u32, u32) = (12, 3);

impl Graph {
    /// True if the driver has all that recording needs.
    pub(crate) fn is_supported(gpu: &Gpu) -> bool {
        gpu.description.driver >= FIRST_DRIVER
    }

    /// Records what a run would do. Nothing runs.
    pub(crate) fn record(
        gpu: &Arc<Gpu>,
        planned: &Planned,
        products: Option<&Products>,
        stream: CUstream,
    ) -> Result<Graph, DeviceError> {
        let mut recorded = Graph {
            gpu: Arc::clone(gpu),
            graph: std::ptr::null_mut(),
            executable: std::ptr::null_mut(),
            nodes: Vec::new(),
        };
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is live and not capturing.
        gpu.done("recording", unsafe { sys::cuStreamBeginCapture_v2(stream, mode) })?;
        let given = recorded.give(planned, products, stream);
        // Recording must end whatever happened, or the stream stays unusable.
        // SAFETY: the stream is capturing, and the pointer is to a live pointer.
        let ended = unsafe { sys::cuStreamEndCapture(stream, &mut recorded.graph) };
        given?;
        gpu.done("recording", ended)?;
        // SAFETY: the graph was just recorded, and the pointer is to a live pointer.
        let result = unsafe {
            sys::cuGraphInstantiateWithFlags(&mut recorded.executable, recorded.graph, 0)
        };
        gpu.done("recording", result)?;
        Ok(recorded)
    }

    fn give(
        &mut self,
        planned: &Planned,
        products: Option<&Products>,
        stream: CUstream,
    ) -> Result<(), DeviceError> {
        for work in planned.works() {
            work.run(&self.gpu, products, stream)?;
            self.nodes.push(match work {
                PreparedWork::Kernel(kernel) => Node::Kernel {
                    node: self.last_node(stream)?,
                    cluster: kernel.cluster,
                    overlaps: kernel.overlaps,
                },
                PreparedWork::Product(product) => Node::Product(product.clone()),
            });
        }
        Ok(())
    }

    /// The node that the stream recorded last.
    fn last_node(&self, stream: CUstream) -> Result<CUgraphNode, DeviceError> {
        let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        let (mut id, mut count) = (0u64, 0usize);
        let mut graph: CUgraph = std::ptr::null_mut();
        let mut nodes: *const CUgraphNode = std::ptr::null();
        // Not asking for it is an error where an edge is not a full one.
        let mut edges: *const CUgraphEdgeData = std::ptr::null();
        // SAFETY: the stream is capturing, and the pointers are to live values.
        let result = unsafe {
            sys::cuStreamGetCaptureInfo_v3(
                stream,
                &mut status,
                &mut id,
                &mut graph,
                &mut nodes,
                &mut edges,
                &mut count,
            )
        };
        self.gpu.done("recording", result)?;
        if count != 1 || nodes.is_null() {
            let reason = format!("recording: a kernel became {count} nodes");
            return Err(DeviceError::Setup { device: self.gpu.name(), reason });
        }
        // SAFETY: the driver gave a list of one node, valid until the next call on the stream.
        Ok(unsafe { *nodes })
    }

    /// Brings the nodes up to date with changed steps. False if the run is another sequence of kernels
    /// and must be recorded anew.
    pub(crate) fn update(&mut self, planned: &Planned) -> Result<bool, DeviceError> {
        let count: usize = planned.steps.iter().map(|step| step.prepared.len()).sum();
        if count != self.nodes.len() {
            return Ok(false);
        }
        let mut nodes = self.nodes.iter();
        for step in &planned.steps {
            for work in &step.prepared {
                let Some(node) = nodes.next() else { return Ok(false) };
                if step.is_changed && !self.update_node(node, work)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn update_node(&self, node: &Node, work: &PreparedWork) -> Result<bool, DeviceError> {
        match (node, work) {
            (Node::Kernel { node, cluster, overlaps }, PreparedWork::Kernel(kernel)) => {
                if *cluster != kernel.cluster || *overlaps != kernel.overlaps {
                    return Ok(false);
                }
                kernel.as_node(|parameters| {
                    // SAFETY: the node is one of the graph that was instantiated, and the parameters
                    // point to arguments that outlive the call, which copies them.
                    Gpu::is_done(unsafe {
                        sys::cuGraphExecKernelNodeSetParams_v2(self.executable, *node, parameters)
                    })
                })
            }
            (Node::Product(recorded), PreparedWork::Product(wanted)) => Ok(recorded == wanted),
            (Node::Kernel { .. }, PreparedWork::Product(_))
            | (Node::Product(_), PreparedWork::Kernel(_)) => Ok(false),
        }
    }

    /// Gives the run to a stream.
    pub(crate) fn launch(&self, stream: CUstream) -> Result<(), DeviceError> {
        // SAFETY: the graph is instantiated, and the stream is live.
        self.gpu.done("launching a graph", unsafe { sys::cuGraphLaunch(self.executable, stream) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.gpu.enter().is_err() {
            return;
        }
        // SAFETY: made by `record` and destroyed once; null ones were never made. A graph that runs is
        // freed by the driver when it is done.
        unsafe {
            if !self.executable.is_null() {
                let _ = sys::cuGraphExecDestroy(self.executable);
            }
            if !self.graph.is_null() {
                let _ = sys::cuGraphDestroy(self.graph);
            }
        }
    }
}
