//! Every kernel file of the CUDA target, in every combination of its parameters, through NVIDIA's compiler
//! for the architectures that it is made for. One named test for each: `sm_90a matmul/few_rows ROWS=4`.
//!
//! A kernel that compiles may still be slow in a way that only the compiler tells: it keeps registers in
//! memory, or it runs matrix products one after the other. Both are faults here. Needs no GPU; `.ci/cuda-compiler`
//! gets the compiler and the disassembler where no toolkit is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compiler_log;
mod machine_code;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use minuend_codegen::cuda::{
    ARCHES, Arch, Define, KernelSource, KernelSpec, Needs, Opcode, Template, specialise, templates,
};
use minuend_runtime_cuda::nvrtc::{Nvrtc, NvrtcError};

use machine_code::Disassembler;

/// Architectures that stand for all: the oldest, those whose products are of warpgroups and in tensor memory,
/// and the newest without either.
const COMPILED_FOR: [&str; 4] = ["sm_80", "sm_90a", "sm_100a", "sm_120a"];

/// Another one with tensor memory. What does not need that is the same as for the first.
const ALSO_TENSOR_MEMORY: &str = "sm_103a";

/// True if a file's rows are compiled for the architecture.
fn is_compiled(template: &Template, arch: &Arch) -> bool {
    let is_listed = COMPILED_FOR.contains(&arch.compiler_name)
        || (arch.compiler_name == ALSO_TENSOR_MEMORY && template.needs == Needs::Tcgen05);
    is_listed && template.needs.met_by(arch)
}

/// To be quick, each first of so many rows; `-- --include-ignored` compiles all, as CI does.
const SAMPLE: usize = 3;

/// Most bytes of shared memory that a kernel may declare in its text; more is asked for at launch.
const MOST_STATIC_SHARED: u32 = 48 << 10;

/// Bytes of shared memory that a specification asks for at launch, where it says so.
fn launch_shared(spec: &KernelSpec) -> u32 {
    match spec.define("SHARED_BYTES") {
        Some(Define::Int(bytes)) => u32::try_from(bytes).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// True for a specification that no launch chooses on this architecture, but on one with more shared
/// memory.
fn is_for_larger(spec: &KernelSpec, arch: &Arch) -> bool {
    let most = ARCHES.iter().map(|arch| arch.shared_bytes).max().unwrap_or(0);
    launch_shared(spec) > arch.shared_bytes && launch_shared(spec) <= most
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = compiler_log::trials();
    trials.extend(machine_code::trials());
    match Nvrtc::load() {
        Ok(compiler) => trials.extend(with_compiler(compiler)),
        Err(NvrtcError::Missing(_)) => eprintln!("skipped: NVRTC not found"),
        Err(error) => trials.push(Trial::test("compiler", move || Err(error.to_string().into()))),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn with_compiler(compiler: Nvrtc) -> Vec<Trial> {
    let disassembler = Disassembler::find().map(Arc::new);
    if disassembler.is_none() {
        eprintln!("skipped: nvdisasm not found, only the compiler's log is checked");
    }
    let check = Check { compiler, disassembler };
    let mut trials = faults_are_found(&check);
    for arch in ARCHES {
        for template in templates().filter(|template| is_compiled(template, arch)) {
            let chosen = (template.rows)().into_iter().filter(|spec| !is_for_larger(spec, arch));
            for (row, spec) in chosen.enumerate() {
                let check = check.clone();
                let name = format!("{} {}", arch.compiler_name, spec.label());
                let trial = Trial::test(name, move || check.row(template, &spec, arch));
                trials.push(trial.with_ignored_flag(row % SAMPLE != 0));
            }
        }
    }
    trials
}

/// What kernels are checked with.
#[derive(Clone)]
struct Check {
    compiler: Nvrtc,
    disassembler: Option<Arc<Disassembler>>,
}

impl Check {
    fn row(&self, template: &Template, spec: &KernelSpec, arch: &Arch) -> Result<(), Failed> {
        let source = specialise(spec, arch).map_err(|error| error.to_string())?;
        let mut faults = self.faults(&source, &(template.opcodes)(spec))?;
        if launch_shared(spec) > arch.shared_bytes {
            let (found, most) = (launch_shared(spec), arch.shared_bytes);
            faults.push(format!("{found} bytes of shared memory at launch, at most {most}"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
    }

    /// Everything that is wrong with a kernel that compiles.
    fn faults(&self, source: &KernelSource, opcodes: &[Opcode]) -> Result<Vec<String>, Failed> {
        let compiled = self.compiler.compile(source, true)?;
        let mut faults = compiler_log::faults(&compiled.log, source.entry, MOST_STATIC_SHARED);
        // Without spills and stack frames there is no local memory: the code of a sound kernel is read for
        // its opcodes alone, for the disassembler takes as long as the compiler.
        let is_read = !opcodes.is_empty() || !faults.is_empty();
        if let Some(disassembler) = self.disassembler.as_ref().filter(|_| is_read) {
            let code = disassembler.listing(&compiled.cubin)?;
            faults.extend(machine_code::faults(&code, opcodes));
        }
        Ok(faults)
    }
}

/// A kernel for the tests of this program.
fn source(text: &'static str) -> KernelSource {
    KernelSource {
        label: "kernel".into(),
        file: "kernel.cu".into(),
        text: text.into(),
        headers: Vec::new(),
        options: vec!["--gpu-architecture=sm_80".into()],
        entry: "kernel",
    }
}

/// Adds up a row of floats: nothing is wrong with it.
const SOUND: &str = r#"
extern "C" __global__ void kernel(const float* x, float* sum, int count) {
    float total = 0.0f;
    for (int i = 0; i < count; ++i) total += x[i];
    *sum = total;
}
"#;

/// Holds 64 floats in 32 registers.
const SPILLING: &str = r#"
extern "C" __global__ void __launch_bounds__(1024, 2) kernel(const float* x, float* y, int count) {
    float held[64];
    #pragma unroll
    for (int i = 0; i < 64; ++i) held[i] = x[i * count];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < 64; ++i) y[i * count] = held[63 - i] * held[i];
}
"#;

/// Indexes an array by what it reads, so that it lies in memory.
const IN_MEMORY: &str = r#"
extern "C" __global__ void kernel(const int* at, float* y, int count) {
    float held[64];
    for (int i = 0; i < count; ++i) held[at[i] & 63] = i;
    *y = held[at[count] & 63];
}
"#;

/// Declares more shared memory than a kernel may.
const TOO_MUCH_SHARED: &str = r#"
extern "C" __global__ void kernel(float* y) {
    __shared__ float held[16384];
    held[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}
"#;

/// That the faults that this program looks for are found.
fn faults_are_found(check: &Check) -> Vec<Trial> {
    let trial = |name: &str, text, opcodes: &'static [Opcode], expected: &'static [&str]| {
        let check = check.clone();
        Trial::test(format!("finds {name}"), move || {
            let found = match check.faults(&source(text), opcodes) {
                Ok(faults) => faults,
                Err(refused) => vec![refused.message().unwrap_or_default().to_string()],
            };
            for fault in expected {
                if !found.iter().any(|found| found.contains(fault)) {
                    return Err(format!("found {found:?}, expected '{fault}'").into());
                }
            }
            if expected.is_empty() && !found.is_empty() {
                return Err(format!("found {found:?} in a sound kernel").into());
            }
            Ok(())
        })
    };
    let mut trials = vec![
        trial("nothing in a sound kernel", SOUND, &[], &[]),
        trial("spilled registers", SPILLING, &[], &["spill"]),
        trial("arrays in memory", IN_MEMORY, &[], &["stack frame"]),
        trial("too much shared memory", TOO_MUCH_SHARED, &[], &["shared"]),
        trial(
            "errors",
            "extern \"C\" __global__ void kernel() { x; }",
            &[],
            &["error: identifier"],
        ),
    ];
    if check.disassembler.is_some() {
        let floats = &[Opcode::Present("FADD"), Opcode::Present("LDG.E"), Opcode::Absent("HMMA")];
        trials.push(trial("opcodes", SOUND, floats, &[]));
        trials.push(trial("missing opcodes", SOUND, &[Opcode::Present("HMMA")], &["no HMMA"]));
        trials.push(trial("local memory", SPILLING, &[], &["STL", "LDL"]));
    }
    trials
}
