//! Launches with addresses in place of regions, ready for the driver.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUDA_KERNEL_NODE_PARAMS, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue,
    CUlaunchConfig, CUstream, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill,
    CUtensorMapInterleave, CUtensorMapL2promotion, CUtensorMapSwizzle,
};
use minuend_codegen::Region;
use minuend_codegen::cuda::{
    Arg, CudaLimits, KernelLaunch, Product, Promotion, Swizzle, TensorMap, Work,
};
use minuend_ir::DType;
use minuend_runtime::DeviceError;
use smallvec::SmallVec;

use crate::gpu::Gpu;
use crate::kernels::Function;
use crate::products::{Addresses, Products};

/// Where regions and literals lie on the device.
pub(crate) trait AddressMap {
    /// Address of the first byte of a region.
    fn region(&self, region: Region) -> Result<u64, DeviceError>;
    /// Address of bytes that belong to a kernel.
    fn data(&self, bytes: &Arc<[u8]>) -> Result<u64, DeviceError>;
    /// Address of the working memory for products.
    fn workspace(&self) -> u64;
}

/// Arguments of a kernel, packed one behind the other at multiples of 8 bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Packed {
    words: SmallVec<[u64; 32]>,
    starts: SmallVec<[u16; 20]>,
}

impl Packed {
    fn add(&mut self, words: &[u64]) {
        // A kernel takes at most 4 KiB of arguments.
        self.starts.push(u16::try_from(self.words.len()).unwrap_or(u16::MAX));
        self.words.extend_from_slice(words);
    }

    /// A pointer to each argument, for the driver, which only reads.
    fn pointers(&self) -> SmallVec<[*mut c_void; 20]> {
        let starts = self.starts.iter();
        starts.map(|start| (&raw const self.words[usize::from(*start)]).cast_mut().cast()).collect()
    }
}

/// A kernel launch that the driver can run.
pub(crate) struct Prepared {
    function: Arc<Function>,
    arguments: Packed,
    grid: [u32; 3],
    threads: u32,
    pub(crate) cluster: u32,
    shared_bytes: u32,
    /// It may begin before the kernel in front of it has ended: see [`KernelLaunch::overlaps`].
    pub(crate) overlaps: bool,
}

/// A step of a launch that can run.
pub(crate) enum PreparedWork {
    Kernel(Box<Prepared>),
    Product(Box<(Product, Addresses)>),
}

impl PreparedWork {
    /// Finds addresses and packs the arguments.
    pub(crate) fn new(
        gpu: &Gpu,
        limits: &CudaLimits,
        work: &Work,
        function: impl FnOnce(&KernelLaunch) -> Result<Arc<Function>, DeviceError>,
        addresses: &dyn AddressMap,
    ) -> Result<PreparedWork, DeviceError> {
        match work {
            Work::Kernel(launch) => {
                let arguments = pack(gpu, launch, addresses)?;
                let (grid, threads) = (launch.grid, launch.threads);
                let (cluster, shared_bytes) = (launch.cluster, launch.shared_bytes);
                let overlaps = launch.overlaps(limits);
                let function = function(launch)?;
                let kernel = Prepared {
                    function,
                    arguments,
                    grid,
                    threads,
                    cluster,
                    shared_bytes,
                    overlaps,
                };
                Ok(PreparedWork::Kernel(Box::new(kernel)))
            }
            Work::Product(product) => {
                let at = |matrix: &minuend_codegen::cuda::Matrix| {
                    Ok::<u64, DeviceError>(addresses.region(matrix.region)? + matrix.byte_offset)
                };
                let found = Addresses {
                    lhs: at(&product.lhs)?,
                    rhs: at(&product.rhs)?,
                    out: at(&product.out)?,
                    workspace: addresses.workspace(),
                };
                Ok(PreparedWork::Product(Box::new((*product, found))))
            }
        }
    }

    /// Gives it to a stream. A kernel may begin while the last one that the stream was given still runs if
    /// it can and `may_overlap`.
    pub(crate) fn run(
        &self,
        gpu: &Gpu,
        products: Option<&Products>,
        stream: CUstream,
        may_overlap: bool,
    ) -> Result<(), DeviceError> {
        match (self, products) {
            (PreparedWork::Kernel(kernel), _) => kernel.run(gpu, stream, may_overlap),
            (PreparedWork::Product(product), Some(products)) => {
                let (product, addresses) = &**product;
                products.run(product, *addresses, stream)
            }
            (PreparedWork::Product(_), None) => Err(DeviceError::Setup {
                device: gpu.name(),
                reason: "a product was chosen for cuBLASLt, which is not open".into(),
            }),
        }
    }
}

impl Prepared {
    fn run(&self, gpu: &Gpu, stream: CUstream, may_overlap: bool) -> Result<(), DeviceError> {
        let mut attributes: SmallVec<[CUlaunchAttribute; 2]> = SmallVec::new();
        if self.cluster > 1 {
            attributes.push(cluster_attribute(self.cluster));
        }
        if self.overlaps && may_overlap {
            attributes.push(overlap_attribute());
        }
        let config = CUlaunchConfig {
            gridDimX: self.grid[0],
            gridDimY: self.grid[1],
            gridDimZ: self.grid[2],
            blockDimX: self.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.shared_bytes,
            hStream: stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: u32::try_from(attributes.len()).unwrap_or(0),
        };
        let function = self.function.with_shared_bytes(self.shared_bytes)?;
        let mut pointers = self.arguments.pointers();
        // SAFETY: the arguments are those of the kernel's signature, which selection checks by name and
        // kind; the addresses lie in buffers of this stream that hold what the program reserves; the
        // driver copies the arguments before the call returns.
        let result = unsafe {
            sys::cuLaunchKernelEx(&config, function, pointers.as_mut_ptr(), std::ptr::null_mut())
        };
        gpu.done("launching a kernel", result)
    }

    /// Calls `with` with the description that a graph's node takes.
    pub(crate) fn as_node<R>(
        &self,
        with: impl FnOnce(&CUDA_KERNEL_NODE_PARAMS) -> R,
    ) -> Result<R, DeviceError> {
        let mut pointers = self.arguments.pointers();
        let parameters = CUDA_KERNEL_NODE_PARAMS {
            func: self.function.with_shared_bytes(self.shared_bytes)?,
            gridDimX: self.grid[0],
            gridDimY: self.grid[1],
            gridDimZ: self.grid[2],
            blockDimX: self.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.shared_bytes,
            kernelParams: pointers.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        Ok(with(&parameters))
    }
}

fn cluster_attribute(blocks: u32) -> CUlaunchAttribute {
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.clusterDim.x = blocks;
    value.clusterDim.y = 1;
    value.clusterDim.z = 1;
    let id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    CUlaunchAttribute { id, pad: [0; 4], value }
}

/// Lets a launch begin once every block of the kernel in front of it has said so or ended. Behind anything
/// but a kernel it has no effect. A launch that is recorded gets a programmatic edge in place of a full one.
fn overlap_attribute() -> CUlaunchAttribute {
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    let id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    CUlaunchAttribute { id, pad: [0; 4], value }
}

fn pack(
    gpu: &Gpu,
    launch: &KernelLaunch,
    addresses: &dyn AddressMap,
) -> Result<Packed, DeviceError> {
    let mut packed = Packed::default();
    for (_, argument) in &launch.args {
        match argument {
            Arg::Pointer { region, byte_offset } => {
                packed.add(&[addresses.region(*region)? + byte_offset]);
            }
            Arg::Data(bytes) => packed.add(&[addresses.data(bytes)?]),
            Arg::Null => packed.add(&[0]),
            Arg::Int(value) => packed.add(&[u64::from(value.cast_unsigned())]),
            Arg::Long(value) => packed.add(&[value.cast_unsigned()]),
            Arg::Float(value) => packed.add(&[u64::from(value.to_bits())]),
            Arg::Axes(sizes) => {
                let [a, b, c, d, e, f] = sizes.map(|size| u64::from(size.cast_unsigned()));
                packed.add(&[a | b << 32, c | d << 32, e | f << 32]);
            }
            Arg::Strides(strides) => packed.add(&strides.map(i64::cast_unsigned)),
            Arg::TensorMap(map) => {
                let address = addresses.region(map.region)? + map.byte_offset;
                packed.add(&encode(gpu, map, address)?);
            }
        }
    }
    Ok(packed)
}

/// The driver's form of a tensor map.
fn encode(gpu: &Gpu, map: &TensorMap, address: u64) -> Result<[u64; 16], DeviceError> {
    let unsupported = || DeviceError::Setup {
        device: gpu.name(),
        reason: format!("a tensor map that the copy engine does not take: {map:?}"),
    };
    let dtype = match map.dtype {
        DType::F32 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        DType::F16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        DType::Bf16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        DType::I32 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_INT32,
        DType::I64 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_INT64,
        DType::Bool => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
    };
    let swizzle = match map.swizzle {
        Swizzle::None => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
        Swizzle::Bytes128 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    };
    let promotion = match map.promotion {
        Promotion::Bytes128 => CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        Promotion::Bytes256 => CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
    };
    if !map.is_valid() || !address.is_multiple_of(16) {
        return Err(unsupported());
    }
    let rank = u32::try_from(map.sizes.len()).unwrap_or(0);
    let steps = [1u32; 5];
    let mut encoded = CUtensorMap { opaque: [0; 16] };
    // SAFETY: every list has `rank` entries (one less for strides), as `is_valid` says, and the pointer
    // is to a live, aligned map.
    let result = unsafe {
        sys::cuTensorMapEncodeTiled(
            &mut encoded,
            dtype,
            rank,
            address as *mut c_void,
            map.sizes.as_ptr(),
            map.strides.as_ptr(),
            map.tile.as_ptr(),
            steps.as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            promotion,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    gpu.done("describing a tensor", result).map_err(|_| unsupported())?;
    Ok(encoded.opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_packed_behind_each_other() {
        let mut packed = Packed::default();
        packed.add(&[1]);
        packed.add(&[2, 3, 4]);
        packed.add(&[5]);
        let pointers = packed.pointers();
        assert_eq!(pointers.len(), 3);
        let distance = |index: usize| pointers[index] as usize - pointers[0] as usize;
        assert_eq!((distance(1), distance(2)), (8, 32));
    }
}
