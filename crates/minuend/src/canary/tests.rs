use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use minuend_codegen::cuda::{Arch, CudaLimits, CudaTarget};
use minuend_codegen::{Kernel, Target};
use minuend_ir::ops::RmsNorm;
use minuend_ir::{DType, Op, Real};
use minuend_models::{ExpectedOutputs, LogitRows, ModelConfig};
use minuend_plan::Step;
use minuend_runtime::Module;
use minuend_runtime_cpu::CpuDevice;

use super::*;
use crate::model::Model;
use crate::{Activations, check_outputs, open_device, open_target};

/// What a kernel is exchanged for.
type Exchange = fn(&mut Kernel);

/// The CPU with a fault: kernels are exchanged, or some do not compile.
struct FaultyDevice {
    cpu: CpuDevice,
    /// In use until it is refused.
    special: AtomicBool,
    in_special: Fault,
    in_plain: Fault,
    notes: Mutex<Vec<String>>,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Wrong(Exchange),
    /// Programs with kernels of the mnemonic do not compile.
    Uncompiled(&'static str),
    /// Nothing runs any more.
    Lost,
}

impl FaultyDevice {
    fn new(in_special: Fault, in_plain: Fault) -> FaultyDevice {
        FaultyDevice {
            cpu: CpuDevice::new(2).unwrap(),
            special: AtomicBool::new(true),
            in_special,
            in_plain,
            notes: Mutex::default(),
        }
    }
}

impl Device for FaultyDevice {
    fn name(&self) -> String {
        "faulty cpu".into()
    }

    fn target(&self) -> &dyn Target {
        self.cpu.target()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    fn is_checked_at_load(&self) -> bool {
        true
    }

    fn variant(&self) -> &'static str {
        if self.special.load(Ordering::Relaxed) { "special" } else { "plain" }
    }

    fn refuse_variant(&self, reason: &str) -> bool {
        let was_special = self.special.swap(false, Ordering::Relaxed);
        if was_special {
            self.notes.lock().unwrap().push(format!("variant special is not used: {reason}"));
        }
        was_special
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError> {
        let is_special = self.special.load(Ordering::Relaxed);
        let mut program = program.clone();
        match if is_special { self.in_special } else { self.in_plain } {
            Fault::None => {}
            Fault::Wrong(exchange) => program.kernels.iter_mut().for_each(exchange),
            Fault::Lost => {
                let reason = "illegal instruction".into();
                return Err(DeviceError::Lost { device: self.name(), reason });
            }
            Fault::Uncompiled(op) => {
                if let Some(kernel) = program.kernels.iter().find(|k| k.op.mnemonic() == op) {
                    let (device, kernel) = (self.name(), kernel.name());
                    let reason = "internal error".into();
                    return Err(DeviceError::Compile { device, kernel, reason });
                }
            }
        }
        self.cpu.load(&program, weights)
    }
}

/// Statistics over a larger epsilon.
fn wrong_norm(kernel: &mut Kernel) {
    if let Op::RmsNorm(op) | Op::AddRmsNorm(op) = &mut kernel.op {
        *op = RmsNorm { epsilon: Real::new(0.01) };
    }
}

/// A scale of scores that is off by a hundredth.
fn wrong_scale(kernel: &mut Kernel) {
    if let Op::DiffAttention(op) = &mut kernel.op {
        op.scale = Real::new(op.scale.get() * 1.01);
    }
}

/// Angles of another base.
fn wrong_angles(kernel: &mut Kernel) {
    if let Op::Rope(op) = &mut kernel.op {
        op.theta = Real::new(op.theta.get() * 1.001);
    }
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/shakespeare-diffv2")
}

fn program_of(model: &Model, target: &dyn Target) -> Program {
    let graph = model.graph_for(target, LogitRows::All).unwrap();
    compile(graph, target, &CompileOptions::default()).unwrap().program
}

fn demo_program(target: &dyn Target) -> Program {
    program_of(&Model::open(demo()).unwrap(), target)
}

/// The demo in f16, on targets that have it.
fn demo_in_f16(target: &dyn Target) -> Program {
    let has_f16 = target.activation_dtypes().contains(&DType::F16);
    let dtype = if has_f16 { DType::F16 } else { DType::F32 };
    let model = Model::open(demo()).unwrap();
    program_of(&model.with_activations(Activations::Of(dtype)), target)
}

/// A target with activations in 16 bits.
fn cuda() -> CudaTarget {
    CudaTarget::new(CudaLimits::typical(Arch::of_target("cuda-sm90a").unwrap()))
}

/// A model whose products are large enough for every tile.
fn large_program(target: &dyn Target) -> Program {
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/configs/diffv2-200m.json");
    let model = Model::without_weights(ModelConfig::from_file(&config).unwrap());
    program_of(&model, target)
}

/// Whether the demo model computes on the device what is stored beside it.
fn is_right(device: &dyn Device, options: &CompileOptions) -> bool {
    let model = Model::open(demo()).unwrap();
    let expected = ExpectedOutputs::open(demo().join("expected.safetensors")).unwrap();
    let compiled = model.compile(device, LogitRows::All, options).unwrap();
    let mut session = compiled.session(256).unwrap();
    let checks = check_outputs(&mut session, &expected, 1e-5).unwrap();
    checks.iter().all(|check| check.passed)
}

#[test]
fn a_wrong_variant_is_refused_and_told() {
    let faults: [(Exchange, &str); 3] =
        [(wrong_norm, "rms_norm"), (wrong_scale, "diff_attention"), (wrong_angles, "rope")];
    for (exchange, op) in faults {
        let unchecked = FaultyDevice::new(Fault::Wrong(exchange), Fault::None);
        let without = CompileOptions { without_canary: true, ..CompileOptions::default() };
        assert!(!is_right(&unchecked, &without), "{op}: the fault shows nowhere");
        assert!(unchecked.notes().is_empty());

        let device = FaultyDevice::new(Fault::Wrong(exchange), Fault::None);
        assert!(is_right(&device, &CompileOptions::default()), "{op}");
        let [note] = device.notes().try_into().unwrap();
        assert!(note.contains(op) && note.contains("is off by"), "{note}");
    }
}

#[test]
fn a_device_that_is_never_right_is_an_error() {
    let fault = Fault::Wrong(wrong_scale);
    let device = FaultyDevice::new(fault, fault);
    let model = Model::open(demo()).unwrap();
    let error = model.compile(&device, LogitRows::Last, &CompileOptions::default()).err().unwrap();
    assert_eq!(device.notes().len(), 1);
    let Error::Device(DeviceError::Wrong { device, kernel, error: off, allowed }) = &error else {
        panic!("{error}");
    };
    assert_eq!(device, "faulty cpu");
    assert!(kernel.starts_with("diff_attention") && off > allowed && *allowed > 0.0, "{error}");
    let message = error.to_string();
    assert!(message.starts_with("device faulty cpu computes diff_attention"), "{message}");
    assert!(message.ends_with("use another device or driver"), "{message}");
}

#[test]
fn a_variant_that_does_not_compile_is_refused() {
    let device = FaultyDevice::new(Fault::Uncompiled("matmul"), Fault::None);
    assert!(is_right(&device, &CompileOptions::default()));
    let [note] = device.notes().try_into().unwrap();
    assert!(note.contains("kernel matmul") && note.contains("internal error"), "{note}");

    let device = FaultyDevice::new(Fault::Uncompiled("matmul"), Fault::Uncompiled("rope"));
    let model = Model::open(demo()).unwrap();
    let error = model.compile(&device, LogitRows::Last, &CompileOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Device(DeviceError::Compile { .. })), "{error}");
}

/// The message names the variant and what to take in its place, where there is something.
#[test]
fn a_device_that_is_lost_in_the_check_is_told_with_another_variant() {
    let model = Model::open(demo()).unwrap();
    let message = |device: &FaultyDevice| {
        let compiled = model.compile(device, LogitRows::Last, &CompileOptions::default());
        compiled.err().unwrap().to_string()
    };
    let device = FaultyDevice::new(Fault::Lost, Fault::None);
    assert_eq!(
        message(&device),
        "device faulty cpu was lost while kernels of variant special were checked: illegal instruction; \
         start again with variant plain"
    );
    let plain = FaultyDevice::new(Fault::None, Fault::Lost);
    assert!(plain.refuse_variant("a test"));
    let expected = "device faulty cpu was lost: illegal instruction; ";
    assert!(message(&plain).starts_with(expected), "{}", message(&plain));
}

#[test]
fn a_device_that_refuses_without_end_ends() {
    struct Endless(FaultyDevice);
    impl Device for Endless {
        fn name(&self) -> String {
            self.0.name()
        }
        fn target(&self) -> &dyn Target {
            self.0.target()
        }
        fn refuse_variant(&self, _reason: &str) -> bool {
            true
        }
        fn load(
            &self,
            program: &Program,
            weights: &dyn WeightSource,
        ) -> Result<Arc<dyn Module>, DeviceError> {
            self.0.load(program, weights)
        }
    }
    let fault = Fault::Wrong(wrong_angles);
    let device = Endless(FaultyDevice::new(fault, fault));
    let checked = check(&device, &demo_program(device.target()));
    assert!(matches!(checked, Err(Error::Device(DeviceError::Wrong { .. }))));
}

/// Every kernel of a program that computes has cases, and they launch that kernel.
#[test]
fn the_cases_launch_the_kernels_of_the_program() {
    let targets = [Box::new(cuda()), open_target("cpu").unwrap(), open_target("wgsl").unwrap()];
    let programs: [fn(&dyn Target) -> Program; 3] = [demo_program, large_program, demo_in_f16];
    for (target, program) in targets.iter().flat_map(|target| programs.map(|of| (target, of))) {
        let program = program(&**target);
        let shapes = shapes::of(&program);
        let golden = Golden::new(&shapes, target.activation_dtypes()).unwrap();
        let planned = compile(golden.graph, &**target, &CompileOptions::default()).unwrap().program;
        let launches = |wanted: &Kernel| {
            let is_wanted = |step: &&Step| match step {
                Step::Launch(launch) => planned.kernels[launch.kernel] == *wanted,
                Step::Copy(_) => false,
            };
            planned.steps.iter().filter(is_wanted).count()
        };
        let generated = |op: &Op| matches!(op, Op::Iota(_) | Op::DimValue(_) | Op::Constant(_));
        for kernel in program.kernels.iter().filter(|kernel| !generated(&kernel.op)) {
            let cases = shapes.iter().filter(|shape| shape.kernel == *kernel).count();
            assert!(cases > 0, "{}", kernel.name());
            assert_eq!(launches(kernel), cases, "{}", kernel.name());
        }
        let is_launch = |step: &&Step| matches!(step, Step::Launch(_));
        assert_eq!(planned.steps.iter().filter(is_launch).count(), shapes.len());
    }
}

/// The expected values as a device stores them: rounded to their type.
fn stored(expected: &Tensor) -> HostTensor {
    super::values::host_tensor(expected).unwrap()
}

/// What is stored in 16 bits passes; what is off by a few parts in a hundred, or rounded to fewer bits
/// than its type has, does not.
#[test]
fn sixteen_bit_results_have_their_own_tolerance() {
    for (program, dtype) in
        [(demo_program(&cuda()), DType::Bf16), (demo_in_f16(&cuda()), DType::F16)]
    {
        let golden = Golden::new(&shapes::of(&program), cuda().activation_dtypes()).unwrap();
        let missed = |change: &dyn Fn(f64) -> f64, output: &golden::GoldenOutput| {
            let values = output.expected.reals().unwrap().iter().map(|value| change(*value));
            let shape = output.expected.shape();
            let changed = Tensor::from_reals(dtype, shape, values.collect()).unwrap();
            miss(&stored(&changed), &output.expected, &output.allowances(false)).is_some()
        };
        let is_half = |output: &&golden::GoldenOutput| output.expected.dtype() == dtype;
        let halves: Vec<_> = golden.outputs.iter().filter(is_half).collect();
        assert!(halves.len() > 10, "{dtype}: {}", halves.len());
        for output in halves {
            let what = format!("{} on {}", output.kernel, output.sizes);
            assert!(!missed(&|value| value, output), "{what}");
            // Averages of many values are small beside the values, which errors are measured by.
            let fault = if output.kernel.contains("attention") { 1.5 } else { 1.05 };
            assert!(missed(&|value| value * fault, output), "{what}");
            let is_norm = output.kernel.contains("rms_norm");
            if dtype == DType::F16 && (is_norm || output.kernel.starts_with("matmul<")) {
                let in_bf16 = |value| half::bf16::from_f64(value).to_f64();
                assert!(missed(&in_bf16, output), "{what}");
            }
        }
    }
}

#[test]
fn models_pass_on_the_cpu() {
    let device = CpuDevice::new(2).unwrap();
    for program in [demo_program(device.target()), large_program(device.target())] {
        check(&device, &program).unwrap();
    }
}

/// A program that draws tokens has a case that draws, and among more than the largest.
#[test]
fn draws_are_checked() {
    let device = CpuDevice::new(2).unwrap();
    let model = Model::open(demo()).unwrap();
    let graph = model.graph_for(device.target(), LogitRows::Sampled).unwrap();
    let program = compile(graph, device.target(), &CompileOptions::default()).unwrap().program;
    check(&device, &program).unwrap();
    let mut shapes = shapes::of(&program);
    shapes.retain(|shape| shape.kernel.op == Op::Sample);
    assert_eq!(shapes.len(), 1);
    let golden = Golden::new(&shapes, &[DType::F32]).unwrap();
    let drawn = golden.outputs[0].expected.ints().unwrap();
    let logits = golden.arguments[0].to_f32().unwrap();
    let rows = logits.chunks(logits.len() / drawn.len());
    let mut largest = rows.map(|row| crate::most_likely(row).map_or(-1, i64::from));
    assert!(drawn.iter().any(|token| largest.next() != Some(*token)), "{drawn:?}");
}

#[test]
fn large_products_are_sampled() {
    let program = large_program(&*open_target("cpu").unwrap());
    let sampled: Vec<_> = shapes::of(&program).into_iter().filter(|s| s.is_sampled).collect();
    assert!(!sampled.is_empty());
    for shape in sampled {
        let golden = Golden::new(std::slice::from_ref(&shape), &[DType::F32]).unwrap();
        let [output] = golden.outputs.as_slice() else { panic!("{shape:?}") };
        let elements: usize = shape.operands.iter().map(|operand| operand.shape[1]).product();
        assert!(output.expected.len() > 100 && output.expected.len() < elements, "{shape:?}");
        let found: Vec<f32> = output.expected.reals().unwrap().iter().map(|x| *x as f32).collect();
        let mut found = HostTensor::from_f32(output.expected.shape(), &found).unwrap();
        assert_eq!(miss(&found, &output.expected, &output.allowances(false)), None);
        let mut values = found.to_f32().unwrap();
        values.rotate_left(1);
        found = HostTensor::from_f32(output.expected.shape(), &values).unwrap();
        for rounds_products in [false, true] {
            let allowances = output.allowances(rounds_products);
            assert!(miss(&found, &output.expected, &allowances).is_some());
        }
    }
}

/// Says what is not checked. Standard error itself is used: the harness hides what tests that pass print.
fn skipped(what: &str) {
    let _ = writeln!(io::stderr(), "skipped: {what}");
}

/// The best adapter of the machine, where it has one.
#[test]
fn models_pass_on_an_adapter() {
    let Ok(device) = open_device("wgpu", 0) else {
        skipped("no adapter");
        return;
    };
    for program in [demo_program(device.target()), large_program(device.target())] {
        check(&*device, &program).unwrap();
    }
    assert_eq!(device.notes(), Vec::<String>::new());
}

#[test]
fn adapters_give_up_their_variants_one_by_one() {
    let Ok(device) = open_device("wgpu", 0) else {
        skipped("no adapter");
        return;
    };
    let refused = std::iter::from_fn(|| device.refuse_variant("a test").then_some(())).take(8);
    let refused = refused.count();
    assert!(refused < 4, "{refused}");
    assert_eq!(device.notes().len(), refused);
    check(&*device, &demo_program(device.target())).unwrap();
}

fn tensor(values: &[f64]) -> Tensor {
    Tensor::from_reals(DType::F32, &[values.len()], values.to_vec()).unwrap()
}

fn host(values: &[f32]) -> HostTensor {
    HostTensor::from_f32(&[values.len()], values).unwrap()
}

#[test]
fn errors_are_compared_with_magnitudes() {
    let expected = tensor(&[1.0, 2.0]);
    let sizes = tensor(&[1.0, 100.0]);
    fn of(scale: &Tensor, share: f64) -> [Allowance<'_>; 1] {
        [Allowance { scale, share }]
    }
    assert_eq!(miss(&host(&[1.0, 2.5]), &expected, &of(&sizes, 0.01)), None);
    let found = miss(&host(&[1.5, 2.5]), &expected, &of(&sizes, 0.01)).unwrap();
    assert!(found.error == 0.5 && (found.allowed - 0.01).abs() < 1e-9);
    assert!(miss(&host(&[1.0, f32::NAN]), &expected, &of(&sizes, 0.01)).is_some());
    assert!(miss(&host(&[1.0]), &expected, &of(&sizes, 0.01)).is_some());
    assert!(miss(&host(&[1.0, 2.0 + 1e-6]), &expected, &of(&expected, 0.0)).is_some());
    assert_eq!(miss(&host(&[1.0, 2.0]), &expected, &of(&expected, 0.0)), None);
    // One magnitude for all elements; infinities are not compared.
    assert_eq!(miss(&host(&[1.5, 2.0]), &expected, &of(&tensor(&[50.0]), 0.01)), None);
    let infinite = tensor(&[f64::INFINITY, 2.0]);
    assert_eq!(miss(&host(&[0.0, 2.0]), &infinite, &of(&infinite, 0.01)), None);
    let ids = Tensor::from_ints(DType::I64, &[1], vec![3]).unwrap();
    assert_eq!(miss(&HostTensor::from_i64(&[1], &[3]).unwrap(), &ids, &of(&ids, 0.0)), None);
    assert!(miss(&HostTensor::from_i64(&[1], &[4]).unwrap(), &ids, &of(&ids, 0.0)).is_some());
}
