//! What a launch becomes on the device.

use std::sync::Arc;

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::cuda::error::CudaError;
use crate::cuda::template::KernelSpec;
use crate::cuda::tensor_map::TensorMap;
use crate::place::{Region, TensorPlace};

/// One argument of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A pointer into a region.
    Pointer {
        /// The region.
        region: Region,
        /// Byte offset in it.
        byte_offset: u64,
    },
    /// A pointer to bytes that belong to the kernel, such as a table; 256-byte aligned.
    Data(Arc<[u8]>),
    /// A pointer to nothing: an optional operand that is not there.
    Null,
    /// An `int`.
    Int(i32),
    /// A `long long`.
    Long(i64),
    /// A `float`.
    Float(f32),
    /// A `minuend::Axes`: six sizes.
    Axes([i32; 6]),
    /// A `minuend::Strides`: six distances in elements.
    Strides([i64; 6]),
    /// A `minuend::TensorMap`, by value in constant memory (`const __grid_constant__`).
    TensorMap(Box<TensorMap>),
}

impl Arg {
    /// A pointer to a tensor's first element.
    pub fn tensor(place: &TensorPlace<'_>) -> Arg {
        Arg::Pointer { region: place.region, byte_offset: place.byte_offset }
    }

    /// A size as an `int`.
    pub fn size(name: &'static str, value: usize) -> Result<Arg, CudaError> {
        i32::try_from(value).map(Arg::Int).map_err(|_| CudaError::Size { name, value })
    }

    /// A stride or a count of elements as a `long long`.
    pub fn long(name: &'static str, value: usize) -> Result<Arg, CudaError> {
        i64::try_from(value).map(Arg::Long).map_err(|_| CudaError::Size { name, value })
    }
}

/// One kernel with everything it needs to run.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelLaunch {
    /// The kernel.
    pub spec: KernelSpec,
    /// Its arguments, in the order of its parameters and named like them.
    pub args: Vec<(&'static str, Arg)>,
    /// Thread blocks along each axis; a multiple of `cluster` along the first.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Blocks of a cluster; 1 for none.
    pub cluster: u32,
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
}

impl KernelLaunch {
    /// A launch without arguments on a grid of one axis.
    pub fn new(spec: KernelSpec, blocks: u32, threads: u32) -> KernelLaunch {
        let (args, grid) = (Vec::with_capacity(16), [blocks, 1, 1]);
        KernelLaunch { spec, args, grid, threads, cluster: 1, shared_bytes: 0 }
    }

    /// Adds an argument.
    pub fn arg(mut self, name: &'static str, arg: Arg) -> KernelLaunch {
        self.args.push((name, arg));
        self
    }
}

/// A matrix, or a batch of them, of a product. Strides are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Where it lives.
    pub region: Region,
    /// Byte offset of its first element.
    pub byte_offset: u64,
    /// Element type.
    pub dtype: DType,
    /// Elements between rows.
    pub row_stride: u64,
    /// Elements between the matrices of a batch; 0 if all are the same one.
    pub batch_stride: u64,
}

/// A dense product for the library: `out = lhs * rhs (+ out)`, sums in f32. Matrices are row-major:
/// `lhs [m, k]`, `rhs [n, k]` if it is transposed and `[k, n]` otherwise, `out [m, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Length of the sums.
    pub k: u64,
    /// Number of products.
    pub batch: u64,
    /// Left operand.
    pub lhs: Matrix,
    /// Right operand.
    pub rhs: Matrix,
    /// `rhs` is stored by columns of the result.
    pub transposed_rhs: bool,
    /// The result; of the operands' type or f32.
    pub out: Matrix,
    /// The product is added to what `out` holds.
    pub accumulates: bool,
}

/// A step of a launch.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Runs a kernel.
    Kernel(Box<KernelLaunch>),
    /// Runs a product of the library.
    Product(Product),
}

/// What runs a launch, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Works {
    /// The steps.
    pub steps: SmallVec<[Work; 2]>,
    /// Bytes of scratch memory that the steps share; undefined before the first.
    pub scratch_bytes: u64,
}

impl Works {
    /// One kernel that needs no scratch memory.
    pub fn of(launch: KernelLaunch) -> Works {
        let mut steps = SmallVec::new();
        steps.push(Work::Kernel(Box::new(launch)));
        Works { steps, scratch_bytes: 0 }
    }
}
