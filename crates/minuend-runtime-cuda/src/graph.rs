//! A run as a CUDA graph: recorded once, then launched as a whole.
//!
//! A decode step of a model is a few hundred short kernels; giving them one by one costs more than some
//! of them take. Between two tokens the sizes of some launches change, never their order: the graph's
//! nodes are brought up to date and the rest stays.

use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUgraph, CUgraphEdgeData, CUgraphExec, CUgraphNode, CUstream, CUstreamCaptureMode,
    CUstreamCaptureStatus, CUstreamUpdateCaptureDependencies_flags,
};
use minuend_codegen::cuda::Product;
use minuend_runtime::DeviceError;
use smallvec::SmallVec;

use crate::gpu::Gpu;
use crate::hazards::Order;
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
    /// What the steps wait for; `None` if each waits for the one before it.
    order: Option<Order>,
}

/// Nodes that a stream which records would let the next one depend on.
type LastNodes = SmallVec<[CUgraphNode; 4]>;

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

    /// Records what a run would do. Nothing runs. Steps that are independent run side by side if `beside`.
    pub(crate) fn record(
        gpu: &Arc<Gpu>,
        planned: &Planned,
        products: Option<&Products>,
        stream: CUstream,
        beside: bool,
    ) -> Result<Graph, DeviceError> {
        let mut recorded = Graph {
            gpu: Arc::clone(gpu),
            graph: std::ptr::null_mut(),
            executable: std::ptr::null_mut(),
            nodes: Vec::new(),
            order: beside.then(|| Order::of(&planned.steps)),
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
        let mut last = LastNodes::new();
        // Behind which nodes each step is complete.
        let mut ends: Vec<LastNodes> = Vec::with_capacity(planned.steps.len());
        for (index, step) in planned.steps.iter().enumerate() {
            for (at, work) in step.prepared.iter().enumerate() {
                let mut follows_last = true;
                // The works of a step follow each other.
                if let (0, Some(order)) = (at, &self.order) {
                    let earlier = order.follows.get(index).into_iter().flatten();
                    let wanted: LastNodes =
                        earlier.filter_map(|step| ends.get(*step)).flatten().copied().collect();
                    follows_last = wanted == last;
                    if !follows_last {
                        self.depend_on(wanted, stream)?;
                    }
                }
                // A kernel overlaps with the one that was recorded last, if it depends on that alone. Its
                // other edges are full ones: by either kind it is complete only behind what it depends on, and
                // so is, step by step, all that comes before.
                work.run(&self.gpu, products, stream, follows_last)?;
                last = self.last_nodes(stream)?;
                self.nodes.push(match work {
                    PreparedWork::Kernel(kernel) => Node::Kernel {
                        node: self.only(&last)?,
                        cluster: kernel.cluster,
                        overlaps: kernel.overlaps,
                    },
                    PreparedWork::Product(product) => Node::Product(product.clone()),
                });
            }
            let is_nothing = step.prepared.is_empty();
            ends.push(if is_nothing { LastNodes::new() } else { last.clone() });
        }
        Ok(())
    }

    /// Lets what is recorded next depend on these nodes alone.
    fn depend_on(&self, mut nodes: LastNodes, stream: CUstream) -> Result<(), DeviceError> {
        let set = CUstreamUpdateCaptureDependencies_flags::CU_STREAM_SET_CAPTURE_DEPENDENCIES;
        let first = if nodes.is_empty() { std::ptr::null_mut() } else { nodes.as_mut_ptr() };
        // SAFETY: the stream is capturing, the nodes are of its graph, and the list has that many; without
        // data for them, edges are full ones.
        let result = unsafe {
            sys::cuStreamUpdateCaptureDependencies_v2(
                stream,
                first,
                std::ptr::null(),
                nodes.len(),
                set as u32,
            )
        };
        self.gpu.done("recording", result)
    }

    /// The nodes that the stream recorded last.
    fn last_nodes(&self, stream: CUstream) -> Result<LastNodes, DeviceError> {
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
        if nodes.is_null() {
            return Ok(LastNodes::new());
        }
        // SAFETY: the driver gave a list of so many nodes, valid until the next call on the stream.
        Ok(LastNodes::from_slice(unsafe { std::slice::from_raw_parts(nodes, count) }))
    }

    /// The node of a kernel.
    fn only(&self, nodes: &[CUgraphNode]) -> Result<CUgraphNode, DeviceError> {
        match nodes {
            [node] => Ok(*node),
            nodes => {
                let reason = format!("recording: a kernel became {} nodes", nodes.len());
                Err(DeviceError::Setup { device: self.gpu.name(), reason })
            }
        }
    }

    /// Brings the nodes up to date with changed steps. False if the run is another sequence of kernels
    /// and must be recorded anew.
    pub(crate) fn update(&mut self, planned: &Planned) -> Result<bool, DeviceError> {
        let count: usize = planned.steps.iter().map(|step| step.prepared.len()).sum();
        if count != self.nodes.len() {
            return Ok(false);
        }
        // A kernel's place in the graph stays as it was recorded.
        if self.order.as_mut().is_some_and(|order| !order.still_holds(&planned.steps)) {
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
