//! Parts of axes.

use minuend_ir::ops::{BinaryOp, Slice};
use minuend_ir::{Dim, Emit, ValueId};

use crate::node::{Node, Refusal, Results, one};
use crate::sizes::gathered;
use crate::value::{MOST_SIZES, Sizes, Value};

/// From here on an index only means the end of an axis.
const FAR: i64 = 1 << 48;

/// `Slice(data, starts, ends, axes, steps)`.
pub(super) fn slice(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    let starts = n.sizes(1, "starts")?;
    let ends = n.sizes(2, "ends")?;
    let axes = match n.has(3) {
        true => n.ints(3, "axes")?,
        false => (0..i64::try_from(starts.len()).unwrap_or(i64::MAX)).collect(),
    };
    let steps = match n.has(4) {
        true => n.ints(4, "steps")?,
        false => vec![1; starts.len()],
    };
    if starts.len() != ends.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(Refusal::new("starts, ends, axes and steps are not equally many", ""));
    }
    let mut parts = Vec::new();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(steps) {
        let axis = n.axis(*axis, shape.len())?;
        let size = shape.get(axis).cloned().unwrap_or_default();
        parts.push(Part::of(n, axis, &size, start, end, step)?);
    }
    if let Value::Sizes(sizes) = n.value(0)?.clone() {
        let mut sizes = Some(sizes);
        for part in &parts {
            sizes = sizes.and_then(|sizes| part.of_sizes(&sizes));
        }
        if let Some(sizes) = sizes {
            return Ok(vec![Value::Sizes(sizes)]);
        }
    }
    let mut x = n.tensor(0)?;
    for part in parts {
        x = part.emit(n, x)?;
    }
    one(x)
}

/// Which indices of an axis are taken.
struct Part {
    axis: usize,
    size: Dim,
    start: Dim,
    /// Behind the last; in front of the first where the step is negative.
    end: Dim,
    step: i64,
}

impl Part {
    fn of(
        n: &mut Node<'_>,
        axis: usize,
        size: &Dim,
        start: &Dim,
        end: &Dim,
        step: i64,
    ) -> Result<Part, Refusal> {
        let (start, end) = match step {
            0 => return Err(Refusal::new("a step of 0", "expected another")),
            1.. => (
                clamped(n, start, size, &Dim::zero(), size)?,
                clamped(n, end, size, &Dim::zero(), size)?,
            ),
            ..0 => {
                let last = size + -1;
                (
                    clamped(n, start, size, &Dim::zero(), &last)?,
                    clamped(n, end, size, &Dim::from(-1), &last)?,
                )
            }
        };
        let size = size.clone();
        if step > 0 && (&start - &end).at_least(0, n.symbols()) {
            return Ok(Part { axis, size, end: start.clone(), start, step });
        }
        if step > 0 {
            n.demand_at_least_zero(&(&end - &start), |symbols| {
                let (start, end) = (start.display(symbols), end.display(symbols));
                format!("a slice from {start} to {end}, which may end before it starts")
            })?;
        }
        Ok(Part { axis, size, start, end, step })
    }

    /// The indices, if all are numbers and not more than [`MOST_SIZES`].
    fn indices(&self) -> Option<Vec<i64>> {
        let end = self.end.as_const()?;
        let mut next = self.start.as_const();
        let mut indices = Vec::new();
        // A step beyond the range of numbers is one beyond the end.
        while let Some(at) = next.filter(|at| (self.step > 0) == (*at < end) && *at != end) {
            if indices.len() == MOST_SIZES {
                return None;
            }
            indices.push(at);
            next = at.checked_add(self.step);
        }
        Some(indices)
    }

    fn of_sizes(&self, sizes: &Sizes) -> Option<Sizes> {
        let indices = self.indices()?.into_iter().map(Dim::from).collect();
        gathered(sizes, &Sizes::vector(indices), self.axis)
    }

    fn emit(&self, n: &mut Node<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        if self.step < 0 {
            return self.emit_backwards(n, x);
        }
        if self.start.is(0) && self.end == self.size && self.step == 1 {
            return Ok(x);
        }
        let step = u32::try_from(self.step);
        // Beyond the range of an axis every step takes one element at most.
        let step = step.unwrap_or(u32::MAX);
        let end = (self.end != self.size).then(|| self.end.clone());
        Ok(n.graph().slice(x, Slice { axis: self.axis, start: self.start.clone(), end, step })?)
    }

    /// Rows chosen by falling indices.
    fn emit_backwards(&self, n: &mut Node<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        let span = &self.start - &self.end;
        let count = match (span.as_const(), self.step) {
            (_, -1) => Some(span.clone()),
            (Some(span), step) => {
                let step = step.checked_neg();
                let short = step.and_then(|step| span.max(0).checked_add(step - 1));
                short.zip(step).and_then(|(span, step)| span.checked_div(step)).map(Dim::from)
            }
            (None, _) => None,
        };
        let count = count.filter(|count| count.at_least(0, n.symbols())).ok_or_else(|| {
            let found = format!("step {} over {} elements", self.step, span.display(n.symbols()));
            Refusal::new(found, "use a step of -1, or sizes that are numbers")
        })?;
        let g = n.graph();
        let index = g.iota(count)?;
        let step = g.int(self.step)?;
        let start = g.dim(self.start.clone())?;
        let index = g.mul(index, step)?;
        let index = g.binary(BinaryOp::Add, index, start)?;
        Ok(g.gather(self.axis, x, index)?)
    }
}

/// An index that counts from the end if it is negative, between two bounds.
fn clamped(
    n: &mut Node<'_>,
    index: &Dim,
    size: &Dim,
    least: &Dim,
    most: &Dim,
) -> Result<Dim, Refusal> {
    match index.as_const() {
        Some(index) if index >= FAR => return Ok(most.clone()),
        Some(index) if index <= -FAR => return Ok(least.clone()),
        _ => {}
    }
    let symbols = n.symbols();
    let index = if index.at_least(0, symbols) {
        index.clone()
    } else if (&Dim::from(-1) - index).at_least(0, symbols) {
        let from_end = size + index;
        if (least - &from_end).at_least(0, symbols) {
            return Ok(least.clone());
        }
        n.demand_at_least_zero(&(&from_end - least), |symbols| {
            format!("index {} of an axis of {}", index.display(symbols), size.display(symbols))
        })?;
        from_end
    } else {
        let found = format!("an index {} that may be negative or not", index.display(symbols));
        return Err(Refusal::new(found, "give the size a range, or slice by constants"));
    };
    if (&index - most).at_least(0, n.symbols()) {
        return Ok(most.clone());
    }
    // An index beyond the axis would be cut; sizes for which that happens are not taken.
    n.demand_at_least_zero(&(most - &index), |symbols| {
        format!(
            "index {} may lie beyond the axis of {}",
            index.display(symbols),
            size.display(symbols)
        )
    })?;
    Ok(index)
}

/// `Split(data, sizes)`, or equal parts.
pub(super) fn split(n: &mut Node<'_>) -> Results {
    let shape = n.shape(0)?;
    let axis = n.axis(n.attr_int("axis", 0), shape.len())?;
    let size = shape.get(axis).cloned().unwrap_or_default();
    let sizes = match n.has(1) {
        true => n.sizes(1, "the sizes of the parts")?,
        false => equal_parts(n, &size)?,
    };
    let total = sizes.iter().fold(Dim::zero(), |total, part| &total + part);
    if total != size {
        let symbols = n.symbols();
        let (total, size) = (total.display(symbols), size.display(symbols));
        return Err(Refusal::new(format!("parts of {total} elements of an axis of {size}"), ""));
    }
    let mut start = Dim::zero();
    let mut results = Vec::new();
    for part in sizes {
        let end = &start + &part;
        let piece = Part { axis, size: size.clone(), start, end: end.clone(), step: 1 };
        let of_sizes = match n.value(0)? {
            Value::Sizes(sizes) => piece.of_sizes(sizes),
            _ => None,
        };
        results.push(match of_sizes {
            Some(sizes) => Value::Sizes(sizes),
            None => {
                let x = n.tensor(0)?;
                Value::Tensor(piece.emit(n, x)?)
            }
        });
        start = end;
    }
    Ok(results)
}

/// As many parts as there are outputs; the last is smaller if nothing else is possible.
fn equal_parts(n: &Node<'_>, size: &Dim) -> Result<Vec<Dim>, Refusal> {
    let count = match n.attr_int("num_outputs", 0) {
        0 => i64::try_from(n.outputs()).unwrap_or(i64::MAX),
        count => count,
    };
    if !(1..=1 << 16).contains(&count) {
        return Err(Refusal::new(format!("a split into {count} parts"), "expected 1 to 65536"));
    }
    if let Some(part) = size.exact_div(&Dim::from(count)) {
        return Ok((0..count).map(|_| part.clone()).collect());
    }
    let Some(size) = size.as_const().filter(|size| *size >= 0) else {
        let found =
            format!("{} is not {count} equal parts for every size", size.display(n.symbols()));
        return Err(Refusal::new(found, "give the sizes of the parts"));
    };
    let part = (size + count - 1) / count;
    let parts = (0..count).map(|index| (size - index * part).clamp(0, part));
    Ok(parts.map(Dim::from).collect())
}
