//! Which kernels are chosen for which products.

use minuend_ir::ops::{Cast, Matmul};
use minuend_ir::{DType, Op};
use smallvec::smallvec;

use super::*;
use crate::cuda::families::launches::{argument, limits, number};
use crate::cuda::launch::{Arg, KernelLaunch, Product, Work};
use crate::cuda::template::specialise;
use crate::cuda::{ARCHES, Arch, Define, KernelSpec};
use crate::kernel::{Kernel, Tail, TailOperand, TailStep};
use crate::place::{Region, TensorPlace};
use crate::tensor::Tensor;

/// A product of rows in the arena with a weight, `[.., n, k]` or, `transpose` false, `[.., k, n]`.
#[derive(Clone)]
struct Case {
    lhs: Tensor,
    rhs: Tensor,
    transpose: bool,
    tail: Tail,
    result: DType,
    limits: CudaLimits,
}

impl Case {
    fn new(dtype: DType, lhs: &[usize], rhs: &[usize]) -> Case {
        let rhs = Tensor { region: Region::Weight(0), ..Tensor::dense(dtype, rhs) };
        let lhs = Tensor::dense(dtype, lhs);
        let (transpose, tail, limits) = (true, Tail::None, limits());
        Case { lhs, rhs, transpose, tail, result: dtype, limits }
    }

    fn without_library(mut self) -> Case {
        self.limits.has_blas = false;
        self
    }

    fn gated(self) -> Case {
        Case { tail: Tail::Swiglu, ..self }
    }

    fn run(&self) -> Result<Works, CudaError> {
        let op = Matmul { transpose_rhs: self.transpose };
        let rank = self.rhs.shape.len();
        let columns = self.rhs.shape[rank - 1 - usize::from(self.transpose)];
        let mut shape = match self.lhs.shape.len() >= rank {
            true => self.lhs.shape.clone(),
            false => [&self.rhs.shape[..rank - 2], &self.lhs.shape].concat(),
        };
        *shape.last_mut().unwrap() = columns / (1 + usize::from(self.tail == Tail::Swiglu));
        let result = Tensor::dense(self.result, &shape).at(1 << 20);
        let kernel = Kernel {
            op: Op::Matmul(op),
            operands: [self.lhs.dtype, self.rhs.dtype].into_iter().collect(),
            results: [self.result].into_iter().collect(),
            tail: self.tail.clone(),
        };
        let operands: [TensorPlace<'_>; 2] = [self.lhs.place(), self.rhs.place()];
        let results = [result.place()];
        let launch =
            LaunchPlaces { kernel: &kernel, operands: &operands, results: &results, scalars: &[] };
        let found = works(op, &launch, &self.limits)?;
        found.steps.iter().for_each(|step| self.check(step));
        Ok(found)
    }

    /// A kernel takes the arguments that it gets, is in a row, and fits the device.
    fn check(&self, step: &Work) {
        let Work::Kernel(kernel) = step else { return };
        kernel.check().unwrap();
        specialise(&kernel.spec, self.limits.arch).unwrap();
        let template = TEMPLATES.iter().find(|template| template.name == kernel.spec.template);
        let rows = (template.unwrap().rows)();
        assert!(rows.contains(&kernel.spec), "{} is in no row", kernel.spec.label());
        assert!(kernel.shared_bytes <= self.limits.arch.shared_bytes);
        assert!(kernel.grid[0] > 0 && kernel.threads <= 512);
    }

    fn kernels(&self) -> Vec<KernelLaunch> {
        let found = self.run().unwrap().steps.into_iter().map(|step| match step {
            Work::Kernel(kernel) => *kernel,
            Work::Product(product) => panic!("{product:?}"),
        });
        found.collect()
    }

    fn kernel(&self) -> KernelLaunch {
        self.kernels().pop().unwrap()
    }

    fn product(&self) -> Product {
        match self.run().unwrap().steps.first() {
            Some(Work::Product(product)) => *product,
            other => panic!("{other:?}"),
        }
    }
}

fn name(kernel: &KernelLaunch) -> &'static str {
    kernel.spec.template
}

fn is(spec: &KernelSpec, name: &str) -> bool {
    spec.define(name) == Some(Define::Bool(true))
}

#[test]
fn few_rows_read_the_weight_once() {
    let case = Case::new(DType::Bf16, &[1, 1, 4096], &[14336, 4096]);
    let kernel = case.kernel();
    assert_eq!(name(&kernel), "matmul/few_rows_mma");
    assert_eq!((number(&kernel, "ROWS"), number(&kernel, "TILES")), (8, 4));
    assert_eq!((kernel.grid[0], kernel.threads), (132, 512));
    // A small weight: narrower strips, one for each block.
    let small = Case::new(DType::Bf16, &[9, 2048], &[2048, 2048]).kernel();
    assert_eq!((number(&small, "ROWS"), number(&small, "TILES"), small.grid[0]), (16, 2, 128));
    let tiny = Case::new(DType::F16, &[1, 2048], &[100, 2048]).kernel();
    assert_eq!((number(&tiny, "TILES"), tiny.grid[0]), (1, 13));
    // Short sums: fewer warps share them.
    let short = Case::new(DType::Bf16, &[1, 2048], &[16384, 2048]).gated().kernel();
    assert_eq!((number(&short, "TILES"), short.grid[0], short.threads), (4, 264, 256));
    assert_eq!(argument(&short, "is_gated"), &Arg::Int(1));
    assert_eq!(argument(&short, "columns"), &Arg::Int(8192));
}

#[test]
fn few_rows_fit_every_architecture() {
    for arch in ARCHES {
        for rows in [1, 16] {
            for weight in [[256, 1024], [4096, 4096], [128256, 2048]] {
                let mut case = Case::new(DType::Bf16, &[rows, weight[1]], &weight);
                case.limits = CudaLimits::typical(arch);
                assert_eq!(name(&case.kernel()), "matmul/few_rows_mma");
                case = case.without_library();
                case.lhs = Tensor::dense(DType::Bf16, &[100, weight[1]]);
                assert_eq!(name(&case.kernel()), "matmul/mma");
            }
        }
    }
}

#[test]
fn f32_rows_widen_the_weight() {
    let mut case = Case::new(DType::Bf16, &[3, 4096], &[4096, 4096]);
    case.lhs = Tensor::dense(DType::F32, &[3, 4096]);
    case.result = DType::F32;
    let kernel = case.kernel();
    assert_eq!((name(&kernel), number(&kernel, "ROWS")), ("matmul/few_rows", 4));
    assert_eq!(argument(&kernel, "parts"), &Arg::Int(2));
    assert_eq!(kernel.grid[0], 256);
    // The library does not widen: groups of eight rows, then tiles.
    case.lhs = Tensor::dense(DType::F32, &[17, 4096]);
    let groups = case.kernels();
    let ends: Vec<_> = groups.iter().map(|kernel| argument(kernel, "rows").clone()).collect();
    assert_eq!(ends, [Arg::Int(8), Arg::Int(8), Arg::Int(1)]);
    let second = Arg::Pointer { region: Region::Arena, byte_offset: 8 * 4096 * 4 };
    assert_eq!(argument(&groups[1], "lhs"), &second);
    case.lhs = Tensor::dense(DType::F32, &[33, 4096]);
    assert_eq!(name(&case.kernel()), "matmul/simt");
}

#[test]
fn the_library_gets_many_rows() {
    let case = Case::new(DType::Bf16, &[2, 32, 64], &[100, 64]);
    let product = case.product();
    assert_eq!((product.m, product.n, product.k, product.batch), (64, 100, 64, 1));
    assert!(product.transposed_rhs);
    assert_eq!((product.lhs.row_stride, product.rhs.row_stride), (64, 64));
    // Logits: sums are stored as they are.
    let cast = |result| {
        let (op, operands) = (Op::Cast(Cast { to: result }), smallvec![TailOperand::Value(0)]);
        Tail::Elementwise(vec![TailStep { op, operands, result }])
    };
    let logits = Case { result: DType::F32, tail: cast(DType::F32), ..case.clone() }.product();
    assert!(Case { tail: cast(DType::Bf16), ..case.clone() }.run().is_err());
    assert_eq!(logits.out.dtype, DType::F32);
    // A batch of its own matrices, and a view of a weight [k, n].
    let batch = Case::new(DType::F32, &[4, 32, 64], &[4, 100, 64]).product();
    assert_eq!((batch.batch, batch.rhs.batch_stride, batch.out.batch_stride), (4, 6400, 3200));
    let mut plain = Case::new(DType::F32, &[32, 64], &[64, 100]);
    plain.transpose = false;
    assert!(!plain.product().transposed_rhs);
    plain.rhs = plain.rhs.with_strides(&[1, 64]);
    assert!(plain.product().transposed_rhs);
}

#[test]
fn the_library_leaves_the_gate() {
    let works = Case::new(DType::Bf16, &[10000, 64], &[28672, 64]).gated().run().unwrap();
    // 57344 bytes of a row, 256 MiB at most: 4608 rows at a time.
    let rows: Vec<u64> = works
        .steps
        .iter()
        .filter_map(|step| match step {
            Work::Product(product) => Some(product.m),
            Work::Kernel(_) => None,
        })
        .collect();
    assert_eq!(rows, [4608, 4608, 784]);
    assert_eq!((works.steps.len(), works.scratch_bytes), (6, 4608 * 57344));
    let Some(Work::Kernel(gate)) = works.steps.last() else { panic!() };
    assert_eq!((name(gate), number(gate, "WIDTH"), gate.grid[0]), ("matmul/gate", 8, 784 * 7));
    let odd = Case::new(DType::Bf16, &[100, 64], &[66, 64]).gated().run().unwrap();
    let Some(Work::Kernel(gate)) = odd.steps.last() else { panic!() };
    assert_eq!(number(gate, "WIDTH"), 1);
}

#[test]
fn tensor_cores_take_what_is_aligned() {
    let case = Case::new(DType::F16, &[100, 64], &[200, 64]).without_library();
    let kernel = case.kernel();
    assert_eq!(
        (name(&kernel), number(&kernel, "TILE_ROWS"), kernel.grid[0]),
        ("matmul/mma", 128, 2)
    );
    assert!(is(&kernel.spec, "K_INNER") && is(&case.clone().gated().kernel().spec, "GATED"));
    // A weight that begins within 16 bytes, an odd length, two batch axes.
    let shifted = Case { rhs: case.rhs.clone().at(8), ..case.clone() };
    assert_eq!(name(&shifted.kernel()), "matmul/simt");
    let odd = Case::new(DType::F16, &[100, 63], &[200, 63]).without_library();
    assert_eq!(name(&odd.kernel()), "matmul/simt");
    let mut batch = Case::new(DType::F16, &[2, 3, 65, 64], &[2, 1, 64, 64]).without_library();
    batch.transpose = false;
    batch.rhs.strides[1] = 0;
    let kernel = batch.kernel();
    assert_eq!((name(&kernel), kernel.grid[0]), ("matmul/mma", 2 * 2));
    batch = Case::new(DType::F16, &[2, 3, 65, 64], &[3, 64, 64]).without_library();
    let kernel = batch.kernel();
    assert_eq!(argument(&kernel, "rhs_batch"), &Arg::Strides([0, 4096, 0, 0, 0, 0]));
    assert_eq!((name(&kernel), kernel.grid[0]), ("matmul/mma", 6));
}

#[test]
fn tiles_of_multiply_adds() {
    let tile = |rows: usize, columns: usize, k: usize| {
        let kernel = Case::new(DType::F32, &[rows, k], &[columns, k]).without_library().kernel();
        assert_eq!(name(&kernel), "matmul/simt");
        (number(&kernel, "TILE"), kernel.threads, kernel.grid[0], is(&kernel.spec, "ALIGNED"))
    };
    assert_eq!(tile(2048, 4096, 32), (128, 256, 16 * 32, true));
    assert_eq!(tile(100, 4096, 32), (64, 128, 2 * 64, true));
    assert_eq!(tile(2048, 4096, 33), (64, 128, 32 * 64, false));
    // Nothing is summed: zeros are stored.
    assert_eq!(tile(5, 7, 0), (64, 128, 1, false));
}

#[test]
fn broadcast_and_transposed_views() {
    // Every column is the same.
    let mut case = Case::new(DType::F32, &[2, 64], &[8, 64]);
    case.rhs.strides = vec![0, 1];
    assert_eq!(name(&case.kernel()), "matmul/simt");
    // Rows of the weight far apart.
    let mut view = Case::new(DType::Bf16, &[2, 64], &[8, 64]);
    view.rhs.strides = vec![192, 1];
    assert_eq!(argument(&view.kernel(), "weight_stride"), &Arg::Long(192));
    view.lhs = Tensor::dense(DType::Bf16, &[64, 64]);
    assert_eq!(view.product().rhs.row_stride, 192);
}

#[test]
fn wrong_products_are_refused() {
    let refused = |case: Case| case.run().map(|_| ()).unwrap_err().to_string();
    let case = Case::new(DType::Bf16, &[4, 64], &[8, 64]);
    let narrow = Case { rhs: Tensor::dense(DType::F32, &[8, 64]), ..case.clone() };
    assert!(refused(narrow).contains("bf16 by f32"));
    let short = Case { rhs: Tensor::dense(DType::Bf16, &[8, 60]), ..case.clone() };
    assert!(refused(short).contains("do not fit"));
    let strided = Case { lhs: case.lhs.clone().with_strides(&[128, 1]), ..case.clone() };
    assert!(refused(strided).contains("expected dense"));
    let gated = Case { result: DType::F32, ..case }.gated();
    assert!(refused(gated).contains("gate"));
}

#[test]
fn rows_are_few_dozens() {
    let rows: usize = TEMPLATES.iter().map(|template| (template.rows)().len()).sum();
    assert!(rows <= 80, "{rows}");
    assert!(Arch::of_target("cuda-sm90a").is_some());
}
