//! Ops that move elements: exact, whatever the element type.

use minuend::ir::ops::Slice;
use minuend::ir::{DType, Dim, Emit, ValueId};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::ProblemBuilder;
use minuend_tests::random_values::Values;

use super::SIZES;

fn values_of(dtype: DType) -> Values {
    match dtype {
        DType::I64 | DType::I32 => Values::Below(1000),
        DType::Bool => Values::Truth,
        DType::F32 | DType::F16 | DType::Bf16 => Values::Within(2.0),
    }
}

const ARGUMENT_TYPES: [DType; 4] = [DType::F32, DType::I64, DType::I32, DType::Bool];

#[test]
fn views_of_every_type() {
    for dtype in ARGUMENT_TYPES {
        let mut b = ProblemBuilder::new(&format!("views {dtype}"));
        let x = b.argument("x", dtype, "B S 6 10", values_of(dtype));
        let swapped = b.graph.transpose(x, &[0, 2, 1, 3]).unwrap();
        b.exact(swapped);
        // Merging axes that a transpose has torn apart takes a copy.
        let tokens = b.shape("S")[0].clone();
        let merged = [b.shape("B 6"), vec![&tokens * 10]].concat();
        let merged = b.graph.reshape(swapped, &merged).unwrap();
        b.exact(merged);
        let odd = b.graph.slice(x, Slice::strided(2, 1, 2)).unwrap();
        b.exact(odd);
        let window = b.graph.slice(odd, Slice::range(3, 3, 8)).unwrap();
        b.exact(window);
        let last = b.graph.slice(x, Slice::range(1, &tokens + -1, tokens)).unwrap();
        b.exact(last);
        let repeated = b.graph.broadcast(last, &b.shape("B S 6 10")).unwrap();
        b.exact(repeated);
        let grouped = b.graph.repeat_interleaved(window, 2, &Dim::from(4)).unwrap();
        b.exact(grouped);
        let transposed = b.graph.swap_last_axes(window).unwrap();
        let flat = b.graph.reshape(transposed, &b.shape("B S 15")).unwrap();
        b.exact(flat);
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn concatenations_along_every_axis() {
    for dtype in ARGUMENT_TYPES {
        let mut b = ProblemBuilder::new(&format!("concat {dtype}"));
        let x = b.argument("x", dtype, "B S 5", values_of(dtype));
        let y = b.argument("y", dtype, "S B 5", values_of(dtype));
        let y = b.graph.transpose(y, &[1, 0, 2]).unwrap();
        for axis in 0..3 {
            let joined = b.graph.concat(axis, &[x, y, x]).unwrap();
            b.exact(joined);
        }
        let (head, tail) = (Slice::range(2, 0, 2), Slice::range(2, 2, 5));
        let (head, tail) = (b.graph.slice(x, head).unwrap(), b.graph.slice(y, tail).unwrap());
        let swapped = b.graph.concat(2, &[tail, head]).unwrap();
        b.exact(swapped);
        assert_agree(&b.finish(&SIZES));
    }
}

/// An output in f32, for the CPU returns no 16-bit floats.
fn exact_as_f32(b: &mut ProblemBuilder, value: ValueId) {
    let dtype = b.graph.ty(value).dtype;
    let value = if dtype.is_float() { b.graph.cast(value, DType::F32).unwrap() } else { value };
    b.exact(value);
}

#[test]
fn gathers_along_every_axis() {
    for index_type in [DType::I64, DType::I32] {
        let mut b = ProblemBuilder::new(&format!("gather by {index_type}"));
        let ids = b.argument("ids", index_type, "B S", Values::Below(5));
        let one = b.argument("one", index_type, "", Values::Below(5));
        let mut data = Vec::new();
        for dtype in ARGUMENT_TYPES {
            let shape = "6 5 7";
            data.push(b.argument(&format!("data.{dtype}"), dtype, shape, values_of(dtype)));
        }
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            data.push(b.weight(&format!("table.{dtype}"), dtype, &[5, 6, 7]));
        }
        for data in data {
            for axis in 0..3 {
                let rows = b.graph.gather(axis, data, ids).unwrap();
                exact_as_f32(&mut b, rows);
                let row = b.graph.gather(axis, data, one).unwrap();
                exact_as_f32(&mut b, row);
            }
            let strided = b.graph.transpose(data, &[2, 0, 1]).unwrap();
            let rows = b.graph.gather(1, strided, ids).unwrap();
            exact_as_f32(&mut b, rows);
        }
        assert_agree(&b.finish(&SIZES[..4]));
    }
}

#[test]
fn stored_weights_are_moved_as_stored() {
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let mut b = ProblemBuilder::new(&format!("moved weights {dtype}"));
        let ids = b.argument("ids", DType::I64, "B S", Values::Below(4));
        let w = b.packed_weight(&["a", "b"], dtype, &[4, 3], &[6]);
        let rows = b.graph.transpose(w, &[1, 0]).unwrap();
        let rows = b.graph.slice(rows, Slice::range(1, 2, 6)).unwrap();
        exact_as_f32(&mut b, rows);
        let gathered = b.graph.gather(1, rows, ids).unwrap();
        exact_as_f32(&mut b, gathered);
        let joined = b.graph.concat(0, &[w, w]).unwrap();
        exact_as_f32(&mut b, joined);
        assert_agree(&b.finish(&SIZES[..2]));
    }
}
