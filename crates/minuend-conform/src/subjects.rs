//! The devices under test, each with every family of its kernels.

use std::sync::Arc;

use minuend::ir::ops::UnaryOp;
use minuend::ir::{DType, Emit, Graph, Legality, OpInstance, SymbolTable, TensorType};
use minuend::{Device, DeviceInfo, Target, VariantInfo};

use crate::error::ConformError;

/// A device with one family of its kernels.
#[derive(Clone)]
pub struct Subject {
    /// The device's name, as `minuend devices` lists it.
    pub device: String,
    /// What it is, in words.
    pub description: String,
    /// Facts about it.
    pub details: Vec<(String, String)>,
    /// The kernel family.
    pub variant: String,
    /// The opened device, or why there is none.
    pub opened: Result<Arc<dyn Device>, String>,
}

impl Subject {
    /// Device and variant: `cpu plain`.
    pub fn name(&self) -> String {
        format!("{} {}", self.device, self.variant)
    }

    fn open(info: &DeviceInfo, variant: &VariantInfo) -> Subject {
        let opened = match &variant.unavailable {
            Some(reason) => Err(reason.clone()),
            None => minuend::open_variant(&info.name, 0, &variant.name)
                .map_err(|error| error.to_string()),
        };
        Subject {
            device: info.name.clone(),
            description: info.description.clone(),
            details: info.details.clone(),
            variant: variant.name.clone(),
            opened,
        }
    }
}

/// True for a target whose kernels take and give activations of that float type. It says so, and has a
/// kernel for a function of them.
pub fn runs_in(target: &dyn Target, activations: DType) -> bool {
    let mut graph = Graph::new("activations", SymbolTable::default());
    let function = graph
        .argument("x", TensorType::fixed(activations, &[1]))
        .and_then(|x| graph.unary(UnaryOp::Silu, x));
    let legality = function.map(|y| target.legality(&OpInstance::of(&graph, y.node)));
    target.activation_dtypes().contains(&activations) && matches!(legality, Ok(Legality::Native))
}

/// Every variant of every device of this build; those of `devices` and `variants` alone where any are
/// named. `auto` is the first device, and `wgpu` names every `wgpu:0`, `wgpu:1`.
///
/// # Errors
/// [`ConformError::UnknownDevice`] and [`ConformError::UnknownVariant`] for a name that nothing has.
pub fn subjects(devices: &[String], variants: &[String]) -> Result<Vec<Subject>, ConformError> {
    let infos = minuend::devices()?;
    let chosen = chosen_devices(&infos, devices)?;
    let families = || chosen.iter().flat_map(|info| info.variants.iter().map(move |v| (info, v)));
    for name in variants {
        if !families().any(|(_, variant)| variant.name == *name) {
            let mut known: Vec<&str> = families().map(|(_, v)| v.name.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            let (name, known) = (name.clone(), known.join(", "));
            return Err(ConformError::UnknownVariant { name, known });
        }
    }
    let is_wanted = |variant: &VariantInfo| variants.is_empty() || variants.contains(&variant.name);
    let wanted = families().filter(|(_, variant)| is_wanted(variant));
    Ok(wanted.map(|(info, variant)| Subject::open(info, variant)).collect())
}

fn chosen_devices<'i>(
    infos: &'i [DeviceInfo],
    names: &[String],
) -> Result<Vec<&'i DeviceInfo>, ConformError> {
    let matches = |info: &DeviceInfo, name: &str| {
        let is_first = infos.first() == Some(info);
        let rest = info.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            || (name == "auto" && is_first)
    };
    for name in names {
        if !infos.iter().any(|info| matches(info, name)) {
            let known: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
            let (name, known) = (name.clone(), format!("auto, {}", known.join(", ")));
            return Err(ConformError::UnknownDevice { name, known });
        }
    }
    let is_chosen =
        |info: &&DeviceInfo| names.is_empty() || names.iter().any(|name| matches(info, name));
    Ok(infos.iter().filter(is_chosen).collect())
}
