//! Shader files and their specialisation.
//!
//! A template is a valid WGSL file with default values. Specialising changes marked lines only:
//!
//! * `const NAME: u32 = 64u; //@param` (also `bool`, and `alias NAME = f32;`) takes another value;
//! * `var<storage, read_write> name: ...; //@access` becomes read-only;
//! * the lines between `//@region name` and `//@end` are replaced by other text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::kernel::Kernel;
use crate::wgsl::error::ShaderError;

/// A value of a marked line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Param {
    /// Value of a `u32` constant.
    U32(u32),
    /// Value of a `bool` constant.
    Bool(bool),
    /// Type that an alias stands for.
    Type(&'static str),
    /// True for a binding that is only read.
    ReadOnly(bool),
}

/// A template with values for its parameters: the identity of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSpec {
    /// The template's name.
    pub template: &'static str,
    /// Values of all marked lines.
    pub params: SmallVec<[(&'static str, Param); 12]>,
    /// What generated regions compute.
    pub body: Option<Arc<Kernel>>,
}

impl KernelSpec {
    /// A specification without parameters.
    pub fn new(template: &'static str) -> KernelSpec {
        KernelSpec { template, params: SmallVec::new(), body: None }
    }

    /// Sets a parameter.
    pub fn with(mut self, name: &'static str, value: Param) -> KernelSpec {
        self.params.push((name, value));
        self
    }

    /// Sets a number.
    pub fn with_u32(self, name: &'static str, value: u32) -> KernelSpec {
        self.with(name, Param::U32(value))
    }

    /// Sets a truth value.
    pub fn with_bool(self, name: &'static str, value: bool) -> KernelSpec {
        self.with(name, Param::Bool(value))
    }

    /// A parameter's value.
    pub fn param(&self, name: &str) -> Option<Param> {
        self.params.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// True for a truth value that is set.
    pub fn is_set(&self, name: &str) -> bool {
        self.param(name) == Some(Param::Bool(true))
    }

    /// Template and values in words: `matmul_tiled ROWS=64 VECTOR=true`.
    pub fn label(&self) -> String {
        let mut label = self.template.to_string();
        for (name, value) in &self.params {
            // Writing to a string cannot fail.
            let _ = match value {
                Param::U32(value) => write!(label, " {name}={value}"),
                Param::Bool(value) => write!(label, " {name}={value}"),
                Param::Type(value) => write!(label, " {name}={value}"),
                Param::ReadOnly(true) => write!(label, " {name}=read"),
                Param::ReadOnly(false) => Ok(()),
            };
        }
        if let Some(body) = &self.body {
            let _ = write!(label, " {}", body.name());
        }
        label
    }
}

/// What takes the place of a region's lines; `None` leaves them.
pub type RegionText = Result<Option<Cow<'static, str>>, ShaderError>;

/// One shader file.
pub struct Template {
    /// Its name in specifications.
    pub name: &'static str,
    /// Its path below `shaders/`.
    pub file: &'static str,
    /// Its text.
    pub source: &'static str,
    /// Text for a region; `None` leaves what the file has.
    pub region: fn(&KernelSpec, region: &str) -> RegionText,
    /// A specification for every combination of parameters that is chosen somewhere.
    pub rows: fn() -> Vec<KernelSpec>,
}

/// For templates without regions.
pub(crate) fn no_region(_: &KernelSpec, _: &str) -> RegionText {
    Ok(None)
}

/// The spelling of WGSL: what implementations want declared differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// naga, which knows subgroup operations without being told.
    Native,
    /// Browsers, which want every extension enabled.
    Web,
}

/// Optional features that a text uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// The type `f16`.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Cooperative matrices.
    pub cooperative_matrix: bool,
}

/// A specialised text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSource {
    /// Template and values in words.
    pub label: String,
    /// The module; its entry point is `main`.
    pub text: String,
    /// What it uses.
    pub needs: Features,
}

/// The text of a specification.
pub fn specialise(spec: &KernelSpec, dialect: Dialect) -> Result<KernelSource, ShaderError> {
    let template = crate::wgsl::template(spec.template)?;
    let mut used: SmallVec<[&str; 12]> = SmallVec::new();
    let mut text = String::with_capacity(template.source.len() + 1024);
    let mut lines = template.source.lines();
    while let Some(line) = lines.next() {
        let mark = line.split_once("//@").map_or("", |(_, mark)| mark.trim());
        let (kind, argument) = mark.split_once(' ').unwrap_or((mark, ""));
        match kind {
            "param" | "access" => {
                let (name, value) = parameter(template, spec, line)?;
                text.push_str(&substitute(template, line, name, value)?);
                used.push(name);
            }
            "region" => match (template.region)(spec, argument)? {
                None => {}
                Some(replacement) => {
                    for skipped in lines.by_ref() {
                        if skipped.trim() == "//@end" {
                            break;
                        }
                    }
                    text.push_str(replacement.trim_end());
                }
            },
            "end" => {}
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    for (name, _) in &spec.params {
        if !used.contains(name) {
            let fault = "is not marked in the file";
            return Err(ShaderError::Parameter {
                template: template.name,
                name: (*name).to_string(),
                fault,
            });
        }
    }
    let needs = features(&text);
    let mut enables = String::new();
    if needs.f16 && !text.contains("enable f16;") {
        enables.push_str("enable f16;\n");
    }
    if needs.subgroups && dialect == Dialect::Web {
        enables.push_str("enable subgroups;\n");
    }
    Ok(KernelSource { label: spec.label(), text: enables + &text, needs })
}

/// The parameter of a marked line, and its value in the specification.
fn parameter<'l>(
    template: &Template,
    spec: &KernelSpec,
    line: &'l str,
) -> Result<(&'l str, Param), ShaderError> {
    let declared = line.trim_start();
    let name = if let Some(rest) = declared.strip_prefix("const ") {
        rest.split_once(':').map(|(name, _)| name)
    } else if let Some(rest) = declared.strip_prefix("alias ") {
        rest.split_once('=').map(|(name, _)| name)
    } else {
        declared
            .split_once("var<storage")
            .and_then(|(_, rest)| rest.split_once('>'))
            .and_then(|(_, rest)| rest.split_once(':'))
            .map(|(name, _)| name)
    };
    let fault = |name: &str, fault| ShaderError::Parameter {
        template: template.name,
        name: name.to_string(),
        fault,
    };
    let name = name
        .map(str::trim)
        .ok_or_else(|| fault(line.trim(), "has a mark that is not a declaration"))?;
    let value = spec.param(name).ok_or_else(|| fault(name, "has no value"))?;
    Ok((name, value))
}

fn substitute(
    template: &Template,
    line: &str,
    name: &str,
    value: Param,
) -> Result<String, ShaderError> {
    let line = line.split("//@").next().unwrap_or(line).trim_end();
    let (head, declared) = line.split_once('=').unwrap_or((line, ""));
    let is_access = line.contains("var<storage, read_write>");
    match value {
        Param::U32(value) if head.contains(": u32") => Ok(format!("{head}= {value}u;")),
        Param::Bool(value) if head.contains(": bool") => Ok(format!("{head}= {value};")),
        Param::Type(value) if head.trim_start().starts_with("alias") => {
            Ok(format!("{head}= {value};"))
        }
        Param::ReadOnly(true) if is_access => {
            Ok(line.replace("var<storage, read_write>", "var<storage, read>"))
        }
        Param::ReadOnly(false) if is_access => Ok(line.to_string()),
        Param::U32(_) | Param::Bool(_) | Param::Type(_) | Param::ReadOnly(_) => {
            let fault = if declared.is_empty() { "is no binding" } else { "is of another type" };
            Err(ShaderError::Parameter { template: template.name, name: name.to_string(), fault })
        }
    }
}

/// Features by the words of the text, comments aside.
fn features(text: &str) -> Features {
    let mut found = Features::default();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or(line);
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.by_ref() {
            found.f16 |= word == "f16";
            found.subgroups |= word.starts_with("subgroup");
            found.cooperative_matrix |= word == "wgpu_cooperative_matrix";
        }
    }
    found
}
