//! Ops that move elements: exact, whatever the element type.

use crate::problem::{Built, Problem};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;
use minuend::ir::ops::Slice;
use minuend::ir::{DType, Dim, Emit, ValueId};

use super::{Problems, SIZES};

fn values_of(dtype: DType) -> Values {
    match dtype {
        DType::I64 | DType::I32 => Values::Below(1000),
        DType::Bool => Values::Truth,
        DType::F32 | DType::F16 | DType::Bf16 => Values::Within(2.0),
    }
}

const STORED: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

const ARGUMENT_TYPES: [DType; 4] = [DType::F32, DType::I64, DType::I32, DType::Bool];

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    let moved = if t == DType::F32 { &ARGUMENT_TYPES[..] } else { std::slice::from_ref(&t) };
    for dtype in moved.iter().copied() {
        problems.add(true, format!("views {dtype}"), move |name| views(name, dtype));
        let make = move |name: &str| concatenations(name, dtype);
        problems.add(true, format!("concat {dtype}"), make);
    }
    for index_type in [DType::I64, DType::I32] {
        let make = move |name: &str| match t {
            DType::F32 => gathers(name, index_type),
            half => half_gathers(name, index_type, half),
        };
        problems.add(true, format!("gather by {index_type}"), make);
    }
    if t == DType::F32 {
        for dtype in STORED {
            let make = move |name: &str| moved_weights(name, dtype);
            problems.add(true, format!("moved weights {dtype}"), make);
        }
    }
}

fn views(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(dtype);
    let x = b.argument("x", dtype, "B S 6 10", values_of(dtype))?;
    let swapped = b.graph.transpose(x, &[0, 2, 1, 3])?;
    b.exact(swapped);
    // Merging axes that a transpose has torn apart takes a copy.
    let tokens = b.size("S")?;
    let merged = [b.shape("B 6")?, vec![&tokens * 10]].concat();
    let merged = b.graph.reshape(swapped, &merged)?;
    b.exact(merged);
    let odd = b.graph.slice(x, Slice::strided(2, 1, 2))?;
    b.exact(odd);
    let window = b.graph.slice(odd, Slice::range(3, 3, 8))?;
    b.exact(window);
    let last = b.graph.slice(x, Slice::range(1, &tokens + -1, tokens))?;
    b.exact(last);
    let repeated = b.graph.broadcast(last, &b.shape("B S 6 10")?)?;
    b.exact(repeated);
    let grouped = b.graph.repeat_interleaved(window, 2, &Dim::from(4))?;
    b.exact(grouped);
    let transposed = b.graph.swap_last_axes(window)?;
    let flat = b.graph.reshape(transposed, &b.shape("B S 15")?)?;
    b.exact(flat);
    b.finish(&SIZES)
}

fn concatenations(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.argument("x", dtype, "B S 5", values_of(dtype))?;
    let y = b.argument("y", dtype, "S B 5", values_of(dtype))?;
    let y = b.graph.transpose(y, &[1, 0, 2])?;
    for axis in 0..3 {
        let joined = b.graph.concat(axis, &[x, y, x])?;
        b.exact(joined);
    }
    let (head, tail) = (Slice::range(2, 0, 2), Slice::range(2, 2, 5));
    let (head, tail) = (b.graph.slice(x, head)?, b.graph.slice(y, tail)?);
    let swapped = b.graph.concat(2, &[tail, head])?;
    b.exact(swapped);
    b.finish(&SIZES)
}

/// An output in f32, for targets return no 16-bit floats.
fn exact_as_f32(b: &mut ProblemBuilder, value: ValueId) -> Built<()> {
    let dtype = b.graph.ty(value).dtype;
    let value = if dtype.is_float() { b.graph.cast(value, DType::F32)? } else { value };
    b.exact(value);
    Ok(())
}

fn gathers(name: &str, index_type: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let ids = b.argument("ids", index_type, "B S", Values::Below(5))?;
    let one = b.argument("one", index_type, "", Values::Below(5))?;
    let mut data = Vec::new();
    for dtype in ARGUMENT_TYPES {
        let shape = "6 5 7";
        data.push(b.argument(&format!("data.{dtype}"), dtype, shape, values_of(dtype))?);
    }
    for dtype in STORED {
        data.push(b.weight(&format!("table.{dtype}"), dtype, &[5, 6, 7])?);
    }
    for data in data {
        for axis in 0..3 {
            let rows = b.graph.gather(axis, data, ids)?;
            exact_as_f32(&mut b, rows)?;
            let row = b.graph.gather(axis, data, one)?;
            exact_as_f32(&mut b, row)?;
        }
        let strided = b.graph.transpose(data, &[2, 0, 1])?;
        let rows = b.graph.gather(1, strided, ids)?;
        exact_as_f32(&mut b, rows)?;
    }
    b.finish(&SIZES[..4])
}

/// Rows of an embedding and of activations, of the width of a model and of one that fits no vector.
fn half_gathers(name: &str, index_type: DType, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let ids = b.argument("ids", index_type, "B S", Values::Below(5))?;
    let one = b.argument("one", index_type, "", Values::Below(5))?;
    let table = b.weight("table", t, &[5, 256])?;
    let odd = b.weight("odd", t, &[5, 6, 7])?;
    for data in [table, odd, b.reals("data", "6 5 7")?] {
        let axes = b.graph.ty(data).rank();
        for axis in 0..axes {
            for indices in [ids, one] {
                let rows = b.graph.gather(axis, data, indices)?;
                b.exact(rows);
            }
        }
        let swapped = b.graph.swap_last_axes(data)?;
        let rows = b.graph.gather(axes - 1, swapped, ids)?;
        b.exact(rows);
    }
    b.finish(&SIZES[..4])
}

fn moved_weights(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let ids = b.argument("ids", DType::I64, "B S", Values::Below(4))?;
    let w = b.packed_weight(&["a", "b"], dtype, &[4, 3], &[6])?;
    let rows = b.graph.transpose(w, &[1, 0])?;
    let rows = b.graph.slice(rows, Slice::range(1, 2, 6))?;
    exact_as_f32(&mut b, rows)?;
    let gathered = b.graph.gather(1, rows, ids)?;
    exact_as_f32(&mut b, gathered)?;
    let joined = b.graph.concat(0, &[w, w])?;
    exact_as_f32(&mut b, joined)?;
    b.finish(&SIZES[..2])
}
