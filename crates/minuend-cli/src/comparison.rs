//! Outputs compared with stored ones, told as a table or as one object.

use minuend::ir::DType;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output;

/// What was compared, on which device, and how exactly.
pub(crate) struct Comparison {
    pub(crate) device: String,
    /// Type of the activations.
    pub(crate) dtype: DType,
    pub(crate) tolerance: f64,
    pub(crate) outputs: Vec<ComparedOutput>,
}

/// An output and how far it is off.
pub(crate) struct ComparedOutput {
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// What was found, in two columns of 12.
    pub(crate) figures: String,
    /// What is to be said behind the result; mostly nothing.
    pub(crate) remark: String,
    /// All of this for scripts.
    pub(crate) details: Value,
}

/// The errors of floats, as figures of an output.
pub(crate) fn float_figures(relative_l2: f64, worst_over_rms: f64) -> String {
    format!("{relative_l2:>12.3e}  {worst_over_rms:>12.3e}")
}

/// A count of what is equal, as figures of an output.
pub(crate) fn count_figures(same: usize, compared: usize, what: &str) -> String {
    format!("{:>26}", format!("{same} of {compared} {what}"))
}

impl Comparison {
    /// Tells it on standard output: as an object that has `more` keys, or as a table with a summary behind it
    /// on standard error, where `log_notes` goes in both cases.
    ///
    /// # Errors
    /// [`Failure::Different`] if an output did not pass.
    pub(crate) fn tell(
        &self,
        as_json: bool,
        more: Map<String, Value>,
        log_notes: impl FnOnce(),
    ) -> Result<(), Failure> {
        let passed = self.outputs.iter().filter(|output| output.passed).count();
        let all = self.outputs.len();
        if as_json {
            output::print_json(&self.json(passed == all, more))?;
        } else {
            output::print(&self.table())?;
        }
        log_notes();
        if !as_json {
            let Comparison { device, dtype, tolerance, .. } = self;
            output::log(&format!(
                "{device}, {dtype}: {passed} of {all} passed, tolerance {tolerance:.3e}"
            ));
        }
        if passed == all { Ok(()) } else { Err(Failure::Different) }
    }

    fn json(&self, passed: bool, mut object: Map<String, Value>) -> Value {
        let outputs = self.outputs.iter().map(|output| output.details.clone());
        object.insert("device".into(), json!(self.device));
        object.insert("dtype".into(), json!(self.dtype.name()));
        object.insert("tolerance".into(), json!(self.tolerance));
        object.insert("passed".into(), json!(passed));
        object.insert("outputs".into(), outputs.collect());
        Value::Object(object)
    }

    fn table(&self) -> String {
        let names: Vec<String> =
            self.outputs.iter().map(|compared| output::plain(&compared.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("output".len());
        let mut text =
            format!("{:<width$}  {:>12}  {:>12}  result\n", "output", "relative L2", "worst/RMS");
        for (name, ComparedOutput { passed, figures, remark, .. }) in
            names.iter().zip(&self.outputs)
        {
            let result = if *passed { "pass" } else { "FAIL" };
            text += &format!("{name:<width$}  {figures}  {result}{remark}\n");
        }
        text
    }
}
