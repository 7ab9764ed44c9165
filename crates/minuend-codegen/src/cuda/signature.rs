//! Parameters of a kernel, read from its file, and whether a launch gives them.

use crate::cuda::error::CudaError;
use crate::cuda::launch::{Arg, KernelLaunch};

/// A parameter of a kernel's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'s> {
    /// Its name.
    pub name: &'s str,
    /// Its type as an [`Arg`] names it: `pointer`, `int`, `long long`, `float`, `Axes`, `Strides`,
    /// `TensorMap`; otherwise the type as written.
    pub kind: &'s str,
}

const MARK: &str = "extern \"C\" __global__";

/// The text from the entry's name on, and the name.
pub(super) fn signature(source: &'static str) -> Option<(&'static str, &'static str)> {
    let head = source.split_once(MARK)?.1;
    let head = head.split_once('{')?.0;
    // Behind attributes such as __launch_bounds__(..), the parameter list is the last one.
    let close = head.rfind(')')?;
    let mut depth = 0usize;
    let open = head[..close].char_indices().rev().find(|(_, c)| match c {
        ')' => {
            depth += 1;
            false
        }
        '(' if depth == 0 => true,
        '(' => {
            depth -= 1;
            false
        }
        _ => false,
    })?;
    let name = head[..open.0].split_whitespace().next_back()?;
    Some((name, &head[open.0 + 1..close]))
}

/// Name of the file's entry.
pub(crate) fn entry(source: &'static str) -> Option<&'static str> {
    signature(source).map(|(name, _)| name)
}

/// Parameters of the file's entry, in order. Empty if the file has none.
pub fn parameters(source: &'static str) -> Vec<Parameter<'static>> {
    let Some((_, list)) = signature(source) else { return Vec::new() };
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(parameter).collect()
}

fn parameter(text: &'static str) -> Parameter<'static> {
    let at = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    let (ty, name) = text.split_at(at);
    let has = |word: &str| {
        ty.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    };
    let kind = if ty.contains('*') {
        "pointer"
    } else if has("TensorMap") {
        "TensorMap"
    } else if has("Axes") {
        "Axes"
    } else if has("Strides") {
        "Strides"
    } else if has("long") {
        "long long"
    } else if has("int") {
        "int"
    } else if has("float") {
        "float"
    } else {
        ty.trim()
    };
    Parameter { name, kind }
}

impl Arg {
    fn kind(&self) -> &'static str {
        match self {
            Arg::Pointer { .. } | Arg::Data(_) | Arg::Null => "pointer",
            Arg::Int(_) => "int",
            Arg::Long(_) => "long long",
            Arg::Float(_) => "float",
            Arg::Axes(_) => "Axes",
            Arg::Strides(_) => "Strides",
            Arg::TensorMap(_) => "TensorMap",
        }
    }
}

impl KernelLaunch {
    /// Checks that its arguments are what the kernel's entry takes, names included.
    ///
    /// # Errors
    /// [`CudaError::Argument`].
    pub fn check(&self) -> Result<(), CudaError> {
        let template = crate::cuda::template(self.spec.template)?;
        let parameters = parameters(template.source);
        let count = parameters.len().max(self.args.len());
        for index in 0..count {
            let expected = parameters.get(index).map(|p| format!("{} {}", p.kind, p.name));
            let found = self.args.get(index).map(|(name, arg)| format!("{} {name}", arg.kind()));
            if expected != found {
                let nothing = || "nothing".to_string();
                return Err(CudaError::Argument {
                    template: template.name,
                    index,
                    found: found.unwrap_or_else(nothing),
                    expected: expected.unwrap_or_else(nothing),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        #include \"minuend/types.cuh\"
        extern \"C\" __global__ __launch_bounds__(THREADS, (1)) void scale_rows(
            const ELEMENT* __restrict__ x, float *out, int rows,
            const long long row_stride, float scale,
            const __grid_constant__ minuend::TensorMap map,
            const minuend::Axes shape, const minuend::Strides strides) {
            if (rows > 0) { out[0] = scale; }
        }
    ";

    #[test]
    fn parameters_are_read_from_the_text() {
        let found = parameters(SOURCE);
        let found: Vec<_> = found.iter().map(|p| (p.kind, p.name)).collect();
        let expected = [
            ("pointer", "x"),
            ("pointer", "out"),
            ("int", "rows"),
            ("long long", "row_stride"),
            ("float", "scale"),
            ("TensorMap", "map"),
            ("Axes", "shape"),
            ("Strides", "strides"),
        ];
        assert_eq!(found, expected);
        assert_eq!(entry(SOURCE), Some("scale_rows"));
        assert!(parameters("no kernel here").is_empty());
    }
}
