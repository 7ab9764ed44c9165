//! Dense products by cuBLASLt.
//!
//! The library counts matrices by columns: a row-major `[m, n]` is its `n x m`. So `out = lhs rhs` is
//! asked for as `out^T = rhs^T lhs^T`, which needs no copy of anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t, cublasLtMatmulAlgo_t, cublasLtMatmulDescAttributes_t as DescKey,
    cublasLtMatmulPreferenceAttributes_t as PreferenceKey,
    cublasLtMatrixLayoutAttribute_t as LayoutKey, cudaDataType,
};
use cudarc::driver::sys::CUstream;
use minuend_codegen::cuda::{Matrix, Product};
use minuend_ir::DType;
use minuend_runtime::DeviceError;

use crate::gpu::Gpu;
use crate::libraries;

/// Bytes of working memory that the library is given with each product of a stream. 32 MiB is what
/// NVIDIA recommends for Hopper.
pub(crate) const WORKSPACE_BYTES: u64 = 32 << 20;

/// The library, opened for a device.
pub(crate) struct Products {
    gpu: Arc<Gpu>,
    handle: sys::cublasLtHandle_t,
    /// How each product is computed, by all that the library's choice depends on.
    plans: Mutex<HashMap<Key, Arc<Plan>>>,
}

// SAFETY: the library's handle may be used from several threads at once.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

/// What the choice of an algorithm depends on: everything but the addresses, of which only the
/// alignment matters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    sizes: [u64; 4],
    matrices: [MatrixKey; 3],
    transposed_rhs: bool,
    accumulates: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MatrixKey {
    dtype: DType,
    row_stride: u64,
    batch_stride: u64,
    alignment: u32,
}

/// The library's descriptions of one product, and how it will compute it.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    rhs: sys::cublasLtMatrixLayout_t,
    lhs: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    algorithm: cublasLtMatmulAlgo_t,
}

// SAFETY: the descriptions are only read once they are made.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by `Products::plan`, destroyed once; null ones were never made.
        unsafe {
            if !self.operation.is_null() {
                let _ = result::destroy_matmul_desc(self.operation);
            }
            for layout in [self.rhs, self.lhs, self.out] {
                if !layout.is_null() {
                    let _ = result::destroy_matrix_layout(layout);
                }
            }
        }
    }
}

/// Addresses of a product's matrices, and its working memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) lhs: u64,
    pub(crate) rhs: u64,
    pub(crate) out: u64,
    pub(crate) workspace: u64,
}

impl Products {
    /// Opens the library; an error if it is not installed.
    pub(crate) fn open(gpu: &Arc<Gpu>) -> Result<Products, DeviceError> {
        let device = gpu.name();
        let setup = |reason: String| DeviceError::Setup { device: device.clone(), reason };
        libraries::products().map_err(|missing| setup(missing.to_string()))?;
        gpu.enter()?;
        let handle =
            result::create_handle().map_err(|error| setup(format!("cuBLASLt: {error}")))?;
        Ok(Products { gpu: Arc::clone(gpu), handle, plans: Mutex::default() })
    }

    /// Gives a product to a stream.
    pub(crate) fn run(
        &self,
        product: &Product,
        addresses: Addresses,
        stream: CUstream,
    ) -> Result<(), DeviceError> {
        let plan = self.plan_of(product, addresses)?;
        let one = 1.0f32;
        let beta = if product.accumulates { 1.0f32 } else { 0.0f32 };
        let pointer = |address: u64| address as *const std::ffi::c_void;
        // SAFETY: the descriptions are those of matrices that lie at the addresses, in memory of this
        // device that the launch reserved; the working memory has the size that the choice allowed; the
        // factors are on the host and read before the call returns.
        let done = unsafe {
            result::matmul(
                self.handle,
                plan.operation,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                pointer(addresses.rhs),
                plan.rhs,
                pointer(addresses.lhs),
                plan.lhs,
                pointer(addresses.out),
                plan.out,
                pointer(addresses.out).cast_mut(),
                plan.out,
                &plan.algorithm,
                pointer(addresses.workspace).cast_mut(),
                WORKSPACE_BYTES as usize,
                stream.cast(),
            )
        };
        done.map_err(|error| self.failure(product, error))
    }

    fn failure(&self, product: &Product, error: CublasError) -> DeviceError {
        let Product { m, n, k, batch, .. } = product;
        let reason = format!("cuBLASLt: product {batch} x [{m}, {k}] [{k}, {n}]: {error}");
        DeviceError::Setup { device: self.gpu.name(), reason }
    }

    fn plan_of(&self, product: &Product, addresses: Addresses) -> Result<Arc<Plan>, DeviceError> {
        let alignment = |address: u64| 1u32 << address.trailing_zeros().min(8);
        let key_of = |matrix: &Matrix, address| MatrixKey {
            dtype: matrix.dtype,
            row_stride: matrix.row_stride,
            batch_stride: matrix.batch_stride,
            alignment: alignment(address),
        };
        let key = Key {
            sizes: [product.m, product.n, product.k, product.batch],
            matrices: [
                key_of(&product.lhs, addresses.lhs),
                key_of(&product.rhs, addresses.rhs),
                key_of(&product.out, addresses.out),
            ],
            transposed_rhs: product.transposed_rhs,
            accumulates: product.accumulates,
        };
        if let Some(plan) = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(plan));
        }
        let plan = self.plan(product, &key).map_err(|error| self.failure(product, error))?;
        let plan = Arc::new(plan);
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(plans.entry(key).or_insert(plan)))
    }

    fn plan(&self, product: &Product, key: &Key) -> Result<Plan, CublasError> {
        let Product { m, n, k, batch, .. } = *product;
        let mut plan = Plan {
            operation: std::ptr::null_mut(),
            rhs: std::ptr::null_mut(),
            lhs: std::ptr::null_mut(),
            out: std::ptr::null_mut(),
            algorithm: cublasLtMatmulAlgo_t { data: [0; 8] },
        };
        let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
        plan.operation = result::create_matmul_desc(compute, cudaDataType::CUDA_R_32F)?;
        let transposed_rhs = i32::from(product.transposed_rhs);
        // SAFETY: the description is live, and the value has the attribute's type.
        unsafe {
            result::set_matmul_desc_attribute(
                plan.operation,
                DescKey::CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transposed_rhs).cast(),
                size_of::<i32>(),
            )?;
        }
        let (rows, columns) = if product.transposed_rhs { (k, n) } else { (n, k) };
        plan.rhs = layout(&product.rhs, rows, columns, batch)?;
        plan.lhs = layout(&product.lhs, k, m, batch)?;
        plan.out = layout(&product.out, n, m, batch)?;
        let preference = Preference(result::create_matmul_pref()?);
        preference
            .set(PreferenceKey::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE_BYTES)?;
        // Where the library splits sums, it may add up the parts in f32 only, never in the result's type.
        let scheme = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(PreferenceKey::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &scheme)?;
        let [lhs, rhs, out] = key.matrices.map(|matrix| matrix.alignment);
        preference.set(PreferenceKey::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &rhs)?;
        preference.set(PreferenceKey::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &lhs)?;
        preference.set(PreferenceKey::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out)?;
        preference.set(PreferenceKey::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out)?;
        // SAFETY: all descriptions are live.
        let chosen = unsafe {
            result::get_matmul_algo_heuristic(
                self.handle,
                plan.operation,
                plan.rhs,
                plan.lhs,
                plan.out,
                plan.out,
                preference.0,
            )?
        };
        plan.algorithm = chosen.algo;
        Ok(plan)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if self.gpu.enter().is_ok() {
            // SAFETY: made by `open` and destroyed once.
            let _ = unsafe { result::destroy_handle(self.handle) };
        }
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn set<T>(&self, key: PreferenceKey, value: &T) -> Result<(), CublasError> {
        // SAFETY: the description is live, and callers give values of the attribute's type.
        unsafe {
            result::set_matmul_pref_attribute(
                self.0,
                key,
                std::ptr::from_ref(value).cast(),
                size_of::<T>(),
            )
        }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made by its owner and destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

/// A matrix of the library's `rows x columns`, whose columns are the rows of ours.
fn layout(
    matrix: &Matrix,
    rows: u64,
    columns: u64,
    batch: u64,
) -> Result<sys::cublasLtMatrixLayout_t, CublasError> {
    let dtype = match matrix.dtype {
        DType::F16 => cudaDataType::CUDA_R_16F,
        DType::Bf16 => cudaDataType::CUDA_R_16BF,
        DType::F32 | DType::I32 | DType::I64 | DType::Bool => cudaDataType::CUDA_R_32F,
    };
    let stride = i64::try_from(matrix.row_stride).unwrap_or(i64::MAX);
    let layout = result::create_matrix_layout(dtype, rows, columns, stride)?;
    let count = i32::try_from(batch).unwrap_or(i32::MAX);
    let offset = i64::try_from(matrix.batch_stride).unwrap_or(i64::MAX);
    // SAFETY: the description is live, and the values have the attributes' types.
    unsafe {
        result::set_matrix_layout_attribute(
            layout,
            LayoutKey::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
            (&raw const count).cast(),
            size_of::<i32>(),
        )?;
        result::set_matrix_layout_attribute(
            layout,
            LayoutKey::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
            (&raw const offset).cast(),
            size_of::<i64>(),
        )?;
    }
    Ok(layout)
}
