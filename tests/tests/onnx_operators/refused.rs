//! What operators refuse, in words that say what was found and what would help.

use minuend_interp::Tensor;
use minuend_onnx::proto::data_type;
use minuend_tests::onnx::run::import;
use minuend_tests::onnx::writer::{Writer, int, ints, of_ints, reals, text};

use crate::case::{Case, case, ints32};

/// Cases with words that the error has.
fn refusals() -> Vec<(Case, &'static [&'static str])> {
    let x = || reals(&[2, 3], &[0.0; 6]);
    let index = || ints(&[1], &[0]);
    vec![
        (
            case("Softmax", "axis").of(x()).with(int("axis", 2)),
            &["axis 2 of a tensor of 2 axes", "expected -2 to 1"],
        ),
        (
            case("Gather", "axis").of(x()).of(index()).with(int("axis", -3)),
            &["axis -3 of a tensor of 2 axes"],
        ),
        (
            case("Concat", "axis").of(x()).of(x()).with(int("axis", 5)),
            &["axis 5 of a tensor of 2 axes"],
        ),
        (case("Flatten", "axis").of(x()).with(int("axis", 3)), &["axis 3 of a tensor of 2 axes"]),
        (case("Unsqueeze", "axes").of(x()), &["axes are missing"]),
        (case("Unsqueeze", "twice").of(x()).known(ints(&[2], &[0, 0])), &["axis 0 is given twice"]),
        (
            case("Squeeze", "size").of(x()).known(ints(&[1], &[1])),
            &["axis 1 has size 3, expected 1"],
        ),
        (
            case("ReduceSum", "axes of data").of(x()).of(ints(&[1], &[1])),
            &["axes (input 1) are computed from data", "make them constants"],
        ),
        (
            case("ReduceMean", "integers").of(ints(&[2], &[1, 2])),
            &["a reduction of i64", "cast to a float type first"],
        ),
        (case("ReduceProd", "data").of(x()), &["a product of data"]),
        (
            case("Reshape", "data").of(x()).of(ints(&[1], &[6])),
            &["the sizes of the new shape (input 1) are computed from data"],
        ),
        (
            case("Reshape", "two").of(x()).known(ints(&[2], &[-1, -1])),
            &["two sizes of the new shape are -1"],
        ),
        (
            case("Reshape", "rest").of(x()).known(ints(&[2], &[4, -1])),
            &["6 elements do not fill rows of 4"],
        ),
        (case("Reshape", "elements").of(x()).known(ints(&[1], &[5])), &["reshape"]),
        (
            case("Reshape", "no axis").of(x()).known(ints(&[3], &[2, 3, 0])),
            &["size 2 of the new shape is taken from no axis"],
        ),
        (
            case("Transpose", "perm").of(x()).with(of_ints("perm", &[0, -1])),
            &["perm has an axis below 0"],
        ),
        (case("Transpose", "perm").of(x()).with(of_ints("perm", &[0, 0])), &["transpose"]),
        (
            case("Expand", "sizes").of(x()).known(ints(&[2], &[2, 4])),
            &["axis 1 has sizes 3 and 4, expected equal ones, or 1"],
        ),
        (case("Tile", "repeats").of(x()).known(ints(&[1], &[2])), &["1 repeats for 2 axes"]),
        (
            case("Slice", "step")
                .of(x())
                .known(index())
                .known(index())
                .known(index())
                .known(index()),
            &["a step of 0"],
        ),
        (
            case("Slice", "counts").of(x()).known(ints(&[2], &[0, 0])).known(index()),
            &["not equally many"],
        ),
        (
            case("Split", "sizes").of(x()).known(ints(&[2], &[1, 2])),
            &["parts of 3 elements of an axis of 2"],
        ),
        (case("Split", "parts").of(x()).with(int("num_outputs", -1)), &["a split into -1 parts"]),
        (case("Trilu", "rank").of(reals(&[3], &[0.0; 3])), &["a tensor of less than 2 axes"]),
        (
            case("Pad", "mode").of(x()).known(ints(&[4], &[0; 4])).with(text("mode", "reflect")),
            &["mode \"reflect\"", "only constant padding"],
        ),
        (
            case("Pad", "negative").of(x()).known(ints(&[4], &[-1, 0, 0, 0])),
            &["a pad of -1", "use Slice to cut"],
        ),
        (case("Pad", "counts").of(x()).known(ints(&[2], &[1, 1])), &["2 pads for 2 axes"]),
        (case("Gather", "index").of(x()).known(ints(&[], &[2])), &["index 2 of an axis of 2"]),
        (
            case("GatherElements", "sizes").of(x()).of(ints(&[1, 2], &[0, 0])),
            &["other sizes than the data along the other axes"],
        ),
        (
            case("GatherND", "batch").of(x()).of(index()).with(int("batch_dims", 1)),
            &["batch_dims other than 0"],
        ),
        (
            case("ScatterElements", "reduction")
                .of(x())
                .of(ints(&[1, 3], &[0; 3]))
                .of(reals(&[1, 3], &[0.0; 3]))
                .with(text("reduction", "add")),
            &["reduction = \"add\""],
        ),
        (
            case("ScatterElements", "integers").of(ints(&[2], &[0, 0])).of(index()).of(index()),
            &["scattered i64"],
        ),
        (
            case("Range", "data").of(ints(&[], &[0])).of(ints(&[], &[3])).known(ints(&[], &[1])),
            &["its bounds are computed from data"],
        ),
        (
            case("Range", "step")
                .known(ints(&[], &[0]))
                .known(ints(&[], &[3]))
                .known(ints(&[], &[0])),
            &["its step is 0 or no number"],
        ),
        (case("ArgMax", "last").of(x()).with(int("select_last_index", 1)), &["select_last_index"]),
        (
            case("TopK", "k").of(x()).known(ints(&[1], &[65])),
            &["k = [65]", "expected a number of 1 to 64"],
        ),
        (case("TopK", "k").of(x()).known(ints(&[1], &[4])), &["the 4 largest of 3 elements"]),
        (case("CumSum", "axis").of(x()).known(ints(&[2], &[0, 1])), &["several axes"]),
        (case("CumSum", "axis").of(x()).known(ints(&[1], &[2])), &["axis 2 of a tensor of 2 axes"]),
        (
            case("Pow", "integers").of(ints32(&[1], &[2])).of(ints32(&[1], &[2])),
            &["a power of i32"],
        ),
        (
            case("Mod", "reals").of(x()).of(x()).with(int("fmod", 1)),
            &["the rest of a division of f32"],
        ),
        (case("Cast", "text").of(x()).with(int("to", 8)), &["a cast to element type string"]),
        (case("Cast", "nothing").of(x()), &["a cast to element type undefined"]),
        (
            case("Cast", "no type").of(x()).with(int("to", i64::from(data_type::BFLOAT16) + 100)),
            &["which the schema does not have"],
        ),
        (
            case("Gelu", "approximate").of(x()).with(text("approximate", "cubic")),
            &["approximate = \"cubic\"", "expected none or tanh"],
        ),
        (case("Add", "sizes").of(x()).of(reals(&[2], &[0.0; 2])), &["add"]),
        (case("Add", "types").of(x()).of(ints(&[], &[1])), &["add", "i64"]),
        (case("Add", "inputs").of(x()), &["input 1 is missing"]),
        (case("MatMul", "sizes").of(x()).of(x()), &["matmul"]),
        (
            case("MatMul", "scalar").of(x()).of(reals(&[], &[1.0])),
            &["a product with a scalar", "use Mul"],
        ),
        (
            case("Einsum", "diagonal")
                .of(reals(&[2, 2], &[0.0; 4]))
                .with(text("equation", "ii->i")),
            &["\"ii->i\"", "a letter stands twice"],
        ),
        (
            case("Einsum", "letters").of(x()).with(text("equation", "ijk->i")),
            &["3 letters for 2 axes"],
        ),
        (
            case("Einsum", "operands")
                .of(x())
                .of(x())
                .of(x())
                .with(text("equation", "ij,ij,ij->i")),
            &["of 3 operands", "one or two operands at a time"],
        ),
        (
            case("Einsum", "result").of(x()).with(text("equation", "ij->ik")),
            &["names axes that no operand has"],
        ),
        (
            case("If", "data").of(minuend_tests::onnx::writer::truths(&[], &[1])),
            &["its condition is computed from data"],
        ),
        (
            case("If", "branch").known(minuend_tests::onnx::writer::truths(&[], &[1])),
            &["then_branch is missing"],
        ),
        (
            case("Constant", "text").with(text("value_string", "a")),
            &["no number and no dense tensor"],
        ),
        (case("ConstantOfShape", "sizes").known(ints(&[1], &[-2])), &["ConstantOfShape"]),
        (
            case("RotaryEmbedding", "heads")
                .opset(23)
                .of(reals(&[1, 1, 4], &[0.0; 4]))
                .of(x())
                .of(x()),
            &["num_heads = 0 for an input of 3 axes"],
        ),
        (
            case("Attention", "heads")
                .opset(23)
                .of(reals(&[1, 1, 4], &[0.0; 4]))
                .of(reals(&[1, 1, 4], &[0.0; 4]))
                .of(reals(&[1, 1, 4], &[0.0; 4])),
            &["0 heads for input 0 of 3 axes", "give q_num_heads and kv_num_heads"],
        ),
    ]
}

#[test]
fn refusals_say_what_and_why() {
    let mut failures = Vec::new();
    for (case, words) in refusals() {
        let error = case.refusal();
        for word in words.iter().chain(&[case.op, "inputs", "opset"]) {
            if !error.contains(word) {
                failures.push(format!("{case}: no {word:?} in: {error}"));
            }
        }
        if error.lines().count() != 1 {
            failures.push(format!("{case}: more than one line: {error}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The default scale is a function of the heads' features, which must be a number.
#[test]
fn a_scale_of_no_known_size() {
    let mut w = Writer::new(23);
    let shape = "batch, 2, sequence, width";
    let names = ["q", "k", "v"].map(|name| w.input(name, data_type::FLOAT, shape));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let y = w.node("Attention", &names, &[]);
    w.output(&y);
    let error = import(w.bytes()).unwrap_err().to_string();
    let words = "heads of width features; give scale, or heads of a fixed size";
    assert!(error.contains(words), "{error}");
}

/// Numbers of a file that no product, sum or step may overflow: refused, or computed where they mean
/// something.
#[test]
fn numbers_of_any_size() {
    let numbers = [i64::MIN, i64::MIN + 1, -(1 << 40), -1, 0, 1 << 40, i64::MAX];
    let sizes = || ints(&[2], &[3, 4]);
    for a in numbers {
        for b in numbers {
            let (pair, one) = (ints(&[2], &[a, b]), |value| ints(&[1], &[value]));
            let x = || reals(&[2, 3], &[0.0; 6]);
            let scalar = |value| ints(&[], &[value]);
            let of_sizes =
                |op, tensor: &Tensor| case(op, "sizes").known(sizes()).known(tensor.clone());
            let of_reals = |op, tensor: &Tensor| case(op, "reals").of(x()).known(tensor.clone());
            let slice = |case: Case| case.known(one(a)).known(one(1)).known(one(0)).known(one(b));
            let mut cases: Vec<Case> = ["Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Less"]
                .map(|op| of_sizes(op, &pair))
                .into();
            cases.extend(["Reshape", "Expand", "Gather", "Tile"].map(|op| of_sizes(op, &pair)));
            cases.extend(
                ["Reshape", "Expand", "Gather", "Tile", "Split"].map(|op| of_reals(op, &pair)),
            );
            cases.extend([
                slice(case("Slice", "sizes").known(sizes())),
                slice(case("Slice", "reals").of(x())),
                case("Range", "numbers").known(scalar(a)).known(scalar(3)).known(scalar(b)),
                case("Range", "numbers").known(scalar(3)).known(scalar(a)).known(scalar(b)),
                case("ConstantOfShape", "sizes").known(pair.clone()),
                case("Trilu", "diagonal").of(x()).known(scalar(a)),
                case("Pad", "pads").of(x()).known(ints(&[4], &[a, 0, b, 1])),
                case("ReduceProd", "sizes").known(ints(&[3], &[a, b, 3])),
                case("ReduceSum", "sizes").known(ints(&[3], &[a, b, 3])),
                case("Neg", "sizes").known(pair.clone()),
                case("Unsqueeze", "axes").of(x()).known(pair.clone()),
                case("TopK", "k").of(x()).known(one(a)).with(int("axis", b)),
                case("Shape", "axes").of(x()).with(int("start", a)).with(int("end", b)),
                case("Split", "parts").of(x()).with(int("num_outputs", a)).with(int("axis", b)),
            ]);
            for case in cases {
                if let Err(error) = case.outcome() {
                    assert!(error.starts_with("model.onnx: "), "{case}, {a}, {b}: {error}");
                }
            }
        }
    }
}
