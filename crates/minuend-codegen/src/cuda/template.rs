//! Kernel files and their specialisation.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc as Shared;

use smallvec::SmallVec;

use crate::cuda::arch::Arch;
use crate::cuda::error::CudaError;
use crate::cuda::overlap::Overlap;
use crate::kernel::Kernel;
use crate::target::KernelText;

/// Value of a parameter of a kernel file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Define {
    /// A whole number.
    Int(i32),
    /// A truth value, `true` or `false` in C++.
    Bool(bool),
    /// A type, as C++ spells it: `float`, `minuend::bf16`.
    Type(&'static str),
}

/// A template with values for its parameters: the identity of a compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSpec {
    /// The template's name.
    pub template: &'static str,
    /// Values of its parameters. Those that are not given keep the file's default.
    pub defines: SmallVec<[(&'static str, Define); 12]>,
    /// What the generated part computes.
    pub body: Option<Shared<Kernel>>,
}

impl KernelSpec {
    /// A specification in which every parameter has its default.
    pub fn new(template: &'static str) -> KernelSpec {
        KernelSpec { template, defines: SmallVec::new(), body: None }
    }

    /// Sets a parameter.
    pub fn with(mut self, name: &'static str, value: Define) -> KernelSpec {
        self.defines.push((name, value));
        self
    }

    /// Sets a number.
    pub fn with_int(self, name: &'static str, value: i32) -> KernelSpec {
        self.with(name, Define::Int(value))
    }

    /// Sets a truth value.
    pub fn with_bool(self, name: &'static str, value: bool) -> KernelSpec {
        self.with(name, Define::Bool(value))
    }

    /// Sets a type.
    pub fn with_type(self, name: &'static str, value: &'static str) -> KernelSpec {
        self.with(name, Define::Type(value))
    }

    /// A parameter's value.
    pub fn define(&self, name: &str) -> Option<Define> {
        self.defines.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Template and values in words: `matmul/few_rows ROWS=4 ELEMENT=minuend::bf16`.
    pub fn label(&self) -> String {
        let mut label = self.template.to_string();
        for (name, value) in &self.defines {
            // Writing to a string cannot fail.
            let _ = write!(label, " {name}={value}");
        }
        if let Some(body) = &self.body {
            let _ = write!(label, " {}", body.name());
        }
        label
    }
}

impl std::fmt::Display for Define {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Define::Int(value) => write!(f, "{value}"),
            Define::Bool(value) => write!(f, "{value}"),
            Define::Type(value) => f.write_str(value),
        }
    }
}

/// What an architecture must have for a kernel file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing beyond sm_80.
    Nothing,
    /// [`Arch::has_tma`].
    Tma,
    /// [`Arch::has_wgmma`].
    Wgmma,
    /// [`Arch::has_tcgen05`].
    Tcgen05,
}

impl Needs {
    /// True if the architecture has it.
    pub fn met_by(self, arch: &Arch) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Tma => arch.has_tma,
            Needs::Wgmma => arch.has_wgmma,
            Needs::Tcgen05 => arch.has_tcgen05,
        }
    }
}

/// One kernel file.
pub struct Template {
    /// Its name in specifications: the path below `cuda/` without the extension.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// What it needs of an architecture.
    pub needs: Needs,
    /// Whether its launches may begin before the kernel in front of them has ended.
    pub overlap: Overlap,
    /// Let the compiler take approximate divisions, square roots and exponentials, and flush
    /// denormals (`--use_fast_math`).
    pub fast_math: bool,
    /// Text of `minuend/generated.cuh`; `None` leaves the file as it is on disk.
    pub generated: fn(&KernelSpec) -> Result<Option<String>, CudaError>,
    /// A specification for every combination of parameters that is chosen somewhere, or a sample that
    /// takes every branch of the file where combinations are without number.
    pub rows: fn() -> Vec<KernelSpec>,
    /// What the machine code must contain and what it must not.
    pub opcodes: fn(&KernelSpec) -> Vec<Opcode>,
}

/// A rule for the machine code of a kernel. Opcodes are as the disassembler spells their beginning:
/// `HGMMA.64x128x16`, `UTMALDG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// There are instructions with this opcode.
    Present(&'static str),
    /// There are so many of them.
    Count(&'static str, usize),
    /// There are none.
    Absent(&'static str),
}

/// For templates that expect opcodes in any number.
pub(crate) fn present<const N: usize>(opcodes: [&'static str; N]) -> Vec<Opcode> {
    opcodes.into_iter().map(Opcode::Present).collect()
}

/// For templates without a generated part.
pub(crate) fn not_generated(_: &KernelSpec) -> Result<Option<String>, CudaError> {
    Ok(None)
}

/// For templates from which no opcode is expected.
pub(crate) fn no_opcodes(_: &KernelSpec) -> Vec<Opcode> {
    Vec::new()
}

/// What the compiler is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSource {
    /// Template and values in words.
    pub label: String,
    /// The file's name for messages: `cuda/matmul/few_rows.cu`.
    pub file: String,
    /// Its text.
    pub text: Cow<'static, str>,
    /// Text of every header by the name it is included by.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Options of the compiler.
    pub options: Vec<String>,
    /// Name of the entry point.
    pub entry: &'static str,
}

impl KernelSource {
    /// What the compiler is to be given for a text in one piece, whose entry has no name here.
    pub fn of_text(kernel: &KernelText) -> KernelSource {
        KernelSource {
            label: kernel.label.clone(),
            file: format!("kernel.{}", kernel.extension),
            text: Cow::Owned(kernel.text.clone()),
            headers: Vec::new(),
            options: kernel.options.clone(),
            entry: "",
        }
    }

    /// The kernel in one text: parameters as `#define`, headers in place of their `#include`.
    pub fn flat(&self) -> KernelText {
        let is_define = |option: &&String| option.starts_with("-D");
        let options: Vec<String> =
            self.options.iter().filter(|option| !is_define(option)).cloned().collect();
        let mut text =
            format!("// {}\n// {}, compiled with {}\n", self.label, self.file, options.join(" "));
        for define in self.options.iter().filter(is_define) {
            let define = define.trim_start_matches("-D").replacen('=', " ", 1);
            text.push_str(&format!("#define {define}\n"));
        }
        self.flatten(&self.text, &mut Vec::new(), &mut text);
        KernelText { label: self.label.clone(), extension: "cu", text, options }
    }

    /// Adds a file with its headers; those that are in already are left out.
    fn flatten<'s>(&'s self, file: &'s str, included: &mut Vec<&'s str>, to: &mut String) {
        for line in file.lines() {
            let name =
                line.trim().strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
            match name {
                Some(name) if included.contains(&name) => {}
                Some(name) => {
                    included.push(name);
                    let header = self.headers.iter().find(|(known, _)| *known == name);
                    if let Some((_, text)) = header {
                        self.flatten(text, included, to);
                    }
                }
                None if line.trim() == "#pragma once" => {}
                None => {
                    to.push_str(line);
                    to.push('\n');
                }
            }
        }
    }
}

/// The header that generated text takes the place of.
const GENERATED: &str = "minuend/generated.cuh";

/// What the compiler is to be given for a specification.
pub fn specialise(spec: &KernelSpec, arch: &Arch) -> Result<KernelSource, CudaError> {
    let template = crate::cuda::template(spec.template)?;
    let fault = |name: &str, fault| CudaError::Parameter {
        template: template.name,
        name: name.to_string(),
        fault,
    };
    let mut options = vec![
        format!("--gpu-architecture={}", arch.compiler_name),
        "-std=c++17".to_string(),
        "-default-device".to_string(),
    ];
    if template.fast_math {
        options.push("--use_fast_math".to_string());
    }
    for (name, value) in &spec.defines {
        if !template.source.contains(&format!("#ifndef {name}\n")) {
            return Err(fault(name, "has no default in the file"));
        }
        options.push(format!("-D{name}={value}"));
    }
    let entry = crate::cuda::signature::entry(template.source).ok_or_else(|| {
        fault("entry", "is missing: expected one extern \"C\" __global__ function")
    })?;
    let generated = (template.generated)(spec)?;
    let headers = crate::cuda::headers().iter().map(|(name, text)| match &generated {
        Some(generated) if *name == GENERATED => (*name, Cow::Owned(generated.clone())),
        _ => (*name, Cow::Borrowed(*text)),
    });
    Ok(KernelSource {
        label: spec.label(),
        file: format!("cuda/{}.cu", template.name),
        text: Cow::Borrowed(template.source),
        headers: headers.collect(),
        options,
        entry,
    })
}
