//! Round trips, exact messages, and bytes that are no source.

use std::collections::BTreeSet;

use super::attributes::mnemonics;
use super::*;
use crate::graph::{Graph, GraphLevel};
use crate::op::Op;
use crate::symbol::SymbolTable;
use crate::{DType, Dim, Emit, Real, TensorType, ops};

/// Every op and every kind of attribute, in canonical form.
const EVERY_OP: &str = include_str!("every_op.mnd");

/// Adding a variant to `Op` breaks this match: add the op to `every_op.mnd`, and a number here.
fn variant(op: &Op) -> usize {
    match op {
        Op::Input(_) => 0,
        Op::Weight(_) => 1,
        Op::Constant(_) => 2,
        Op::DimValue(_) => 3,
        Op::Iota(_) => 4,
        Op::Return(_) => 5,
        Op::Unary(_) => 6,
        Op::Binary(_) => 7,
        Op::Compare(_) => 8,
        Op::Select => 9,
        Op::Cast(_) => 10,
        Op::Reshape(_) => 11,
        Op::Transpose(_) => 12,
        Op::Slice(_) => 13,
        Op::Concat(_) => 14,
        Op::Broadcast(_) => 15,
        Op::Gather(_) => 16,
        Op::Reduce(_) => 17,
        Op::Softmax(_) => 18,
        Op::Matmul(_) => 19,
        Op::RmsNorm(_) => 20,
        Op::AddRmsNorm(_) => 21,
        Op::Rope(_) => 22,
        Op::Swiglu => 23,
        Op::Attention(_) => 24,
        Op::DiffAttention(_) => 25,
        Op::KvAppend(_) => 26,
        Op::ArgMax(_) => 27,
        Op::Sample => 28,
    }
}

fn one(source: &str) -> Graph {
    match parse(source) {
        Ok(mut graphs) => graphs.pop().unwrap(),
        Err(errors) => panic!("{}", errors.render("test.mnd", source)),
    }
}

fn messages(source: &str) -> Vec<String> {
    parse(source).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// Messages of one statement in a graph with values `%x: f32[S, 8]`, `%n: i64[S]` and `%b: bool[S]`.
fn statement(text: &str) -> Vec<String> {
    let source = format!(
        "graph @g(%x: f32[S, 8], %n: i64[S], %b: bool[S]) where S in 1..=16 {{\n{text}\n  return %x\n}}"
    );
    messages(&source)
}

#[test]
fn every_op_round_trips() {
    let graph = one(EVERY_OP);
    assert_eq!(print(&graph), EVERY_OP);
    let used: BTreeSet<&str> = graph.op_counts().into_keys().collect();
    let missing: Vec<&str> = mnemonics().filter(|name| !used.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    let variants: BTreeSet<usize> =
        graph.node_ids().map(|id| variant(&graph.node(id).op)).collect();
    assert_eq!(variants.into_iter().collect::<Vec<_>>(), (0..29).collect::<Vec<_>>());
    assert_eq!(crate::verify::verify(&graph), Ok(()));
}

#[test]
fn reading_back_gives_equal_ops_and_types() {
    let (a, b) = (one(EVERY_OP), one(&print(&one(EVERY_OP))));
    assert_eq!(a.symbols(), b.symbols());
    assert_eq!(a.level(), b.level());
    let (left, right) = (crate::order::topological(&a), crate::order::topological(&b));
    assert_eq!(left.len(), right.len());
    for (x, y) in left.into_iter().zip(right) {
        assert_eq!(a.node(x).op, b.node(y).op);
        assert_eq!(a.node(x).results, b.node(y).results);
        assert_eq!(a.node(x).names, b.node(y).names);
    }
}

#[test]
fn free_layout_prints_canonically() {
    let source = "; before\ngraph @g ( %0 : f32 [ 2 * (S + 1) - 2, N ] , %y: f32[N],)
  where S in 1 ..= 9, N = 2 * 3 { ; dead: %d
    %d = neg %0 : f32[S * 2, 6]
    %7 = add %0,
      %y {} : f32[2*S, 6] return %7 }";
    let expected = "graph @g(
  %0: f32[2*S, 6],
  %y: f32[6],
) where S in 1..=9, N = 6 {
  %1 = add %0, %y : f32[2*S, 6]
  return %1
}
";
    // The return may not share a line with a statement.
    assert_eq!(messages(source), ["6:27: expected end of line, found `return`"]);
    let source = source.replace("] return", "]\nreturn");
    assert_eq!(print(&one(&source)), expected);
    assert_eq!(print(&one(expected)), expected);
}

#[test]
fn names_are_made_unique_and_quoted() {
    let mut graph = Graph::new("a graph", SymbolTable::default());
    let ty = TensorType::fixed(DType::F32, &[4]);
    let x = graph.argument("x", ty.clone()).unwrap();
    let y = graph.argument("x", ty).unwrap();
    let mut sum = graph.add_values(x, y).unwrap();
    for name in ["x.2", "12", "", "/layer/Add \"0\"\n", "x"] {
        sum = graph.unary(ops::UnaryOp::Neg, sum).unwrap();
        graph.set_name(sum, name);
    }
    graph.set_return(&[sum], &[]).unwrap();
    let expected = r#"graph @"a graph"(
  %x: f32[4],
  %x.2: f32[4],
) {
  %0 = add %x, %x.2 : f32[4]
  %x.2.2 = neg %0 : f32[4]
  %1 = neg %x.2.2 : f32[4]
  %2 = neg %1 : f32[4]
  %"/layer/Add \"0\"\n" = neg %2 : f32[4]
  %x.3 = neg %"/layer/Add \"0\"\n" : f32[4]
  return %x.3
}
"#;
    assert_eq!(print(&graph), expected);
    assert_eq!(print(&one(expected)), expected);
}

#[test]
fn extreme_numbers_round_trip() {
    let mut graph = Graph::new("g", SymbolTable::default());
    let reals =
        [-0.0, 5e-324, f64::MAX, -f64::MIN_POSITIVE, 0.1, 1e16, f64::NAN, f64::NEG_INFINITY];
    let reals = graph.reals(DType::Bf16, &reals).unwrap();
    let ty = TensorType::fixed(DType::I32, &[3]);
    let values = ops::Literal::Ints([i64::MIN, -1, i64::MAX].into());
    let ints = graph.value(Op::Constant(ops::Constant { ty, values }), &[]).unwrap();
    let size = graph.dim(Dim::from(i64::MIN)).unwrap();
    let none = graph.reals(DType::F32, &[]).unwrap();
    graph.set_return(&[reals, ints, size, none], &[]).unwrap();
    let text = print(&graph);
    let back = one(&text);
    assert_eq!(print(&back), text);
    let values = back.outputs();
    for (value, old) in values.iter().zip([reals, ints, size, none]) {
        assert_eq!(back.def(*value), graph.def(old), "{text}");
    }
}

#[test]
fn several_graphs_and_lines_of_nodes() {
    let source = "graph @a() {\n  return\n}\n\ngraph @b(\n  %x: f32[],\n) level legal {\n\n  %y = neg\n    %x : f32[]\n  return %y\n}\n";
    let graphs = parse_with_lines(source).unwrap();
    assert_eq!(graphs.iter().map(|parsed| parsed.line).collect::<Vec<_>>(), [1, 5]);
    let b = &graphs[1];
    assert_eq!(b.graph.level(), GraphLevel::Legal);
    let lines: Vec<usize> = b.graph.node_ids().map(|id| b.lines[&id]).collect();
    assert_eq!(lines, [6, 9, 11]);
}

#[test]
fn states_are_taken_in_any_order() {
    let source = "graph @g(%a: state f32[P, 2], %b: state f32[P]) where P in 0..=9 {
  return %b -> %b, %a, %a -> %a
}";
    let graph = one(source);
    let states = graph.states();
    assert_eq!(graph.outputs().len(), 1);
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|state| state.input == state.next));
    assert!(print(&graph).contains("\n  return %a, %a -> %a, %b -> %b\n"));
}

#[test]
fn wrong_statements_say_what_is_wrong() {
    let cases = [
        ("%y = neg %z : f32[S, 8]", "2:10: value %z is not defined before this line"),
        ("%x = neg %x : f32[S, 8]", "2:1: value %x is defined on line 1 already"),
        ("%y = sofmax %x {axis = 1} : f32[S, 8]", "2:6: unknown op sofmax, did you mean softmax"),
        ("%y = convolution %x : f32[S, 8]", "2:6: unknown op convolution"),
        ("%y = return %x : f32[S, 8]", "2:6: unknown op return"),
        ("%y = neg %x {axis = 1} : f32[S, 8]", "2:14: neg has no attribute axis, it has none"),
        (
            "%y = slice %x {axis = 0, start = 0, size = 3} : f32[S, 8]",
            "2:37: slice has no attribute size, it has axis, end, start, step",
        ),
        ("%y = softmax %x : f32[S, 8]", "2:6: softmax needs the attribute axis"),
        ("%y = softmax %x {axis = 1, axis = 0} : f32[S, 8]", "2:28: attribute axis is given twice"),
        (
            "%y = softmax %x {axis = S} : f32[S, 8]",
            "2:25: expected an axis number for attribute axis, found `S`",
        ),
        ("%y = softmax %x {axis = 1 0} : f32[S, 8]", "2:27: expected `,` or `}`, found `0`"),
        (
            "%y = softmax %x {axis = 99999999999999999999} : f32[S, 8]",
            "2:25: number 99999999999999999999 is out of range, expected at most 65535",
        ),
        (
            "%y = rms_norm %x, %x {epsilon = \"a\"} : f32[S, 8]",
            "2:33: expected a number for attribute epsilon, found string \"a\"",
        ),
        (
            "%y = rms_norm %x, %x {epsilon = 1e999} : f32[S, 8]",
            "2:33: number 1e999 is out of range, expected a float64, or inf",
        ),
        (
            "%y = cast %x {to = f64} : f32[S, 8]",
            "2:20: expected an element type (f32, f16, bf16, i64, i32, bool) for attribute to, found `f64`",
        ),
        (
            "%y = rope %x, %n {layout = halves, theta = 1.0} : f32[S, 8]",
            "2:28: expected interleaved or half_split for attribute layout, found `halves`",
        ),
        (
            "%y = attention %x, %x, %x {mask = none, scale = 1.0} : f32[S, 8]",
            "2:35: expected full, causal or window(n) for attribute mask, found `none`",
        ),
        ("%y = neg %x : f32[Q, 8]", "2:19: unknown symbol Q, declare it in the where clause"),
        ("%y = neg %x : f32[S/2, 8]", "2:20: unexpected character '/'"),
        ("%y = neg %x : f32[S, 8.5]", "2:22: expected a size, found `8.5`"),
        (
            "%y = constant {value = [1, 2.5]} : i64[2]",
            "2:28: expected an integer for attribute value, found `2.5`",
        ),
        (
            "%y = constant {value = [1, 2]} : i64[3]",
            "2:16: attribute value is 2 values, expected 1 or 3",
        ),
        ("%y = weight {name = \"a} : f32[1]", "2:21: the string has no closing quote on its line"),
        (
            "%y = weight {name = \"\\q\"} : f32[1]",
            "2:22: unknown escape in a string, expected \\\\, \\\", \\n, \\r, \\t or \\u{hex}",
        ),
        ("%y = neg %x, %x : f32[S, 8]", "2:6: 2 operands, expected 1"),
        (
            "%y = neg %b : bool[S]",
            "2:10: operand 0 (%b): element type is bool, expected a numeric type",
        ),
        ("%y = softmax %x {axis = 2} : f32[S, 8]", "2:18: attribute axis is 2, expected below 2"),
        ("%y = neg %x : f32[8, S]", "2:15: result 0 is declared f32[8, S], inferred f32[S, 8]"),
        ("%y, %z = neg %x : f32[S, 8]", "2:1: 2 results are named, 1 types are given"),
        ("%y, %z = neg %x : f32[S, 8], f32[S, 8]", "2:10: neg has 1 results, 2 types are given"),
        ("%y = neg %x", "3:3: expected `:`, found `return`"),
        ("%y = neg %x {axis = } : f32[S, 8]", "2:21: expected a value, found `}`"),
        ("%y neg %x : f32[S, 8]", "2:4: expected `=`, found `neg`"),
        ("= neg %x : f32[S, 8]", "2:1: expected a value like `%x`, found `=`"),
        ("% = neg %x : f32[S, 8]", "2:1: expected a value like `%x`, found `%\"\"`"),
        (
            "%y = neg %\"a\\nb\" : f32[S, 8]",
            "2:10: value %\"a\\nb\" is not defined before this line",
        ),
        (
            "%y = iota {size = 1125899906842624*S} : i64[1125899906842624*S]",
            "2:6: result i64[1125899906842624*S] may be negative or hold more than 2^52 elements",
        ),
    ];
    for (text, expected) in cases {
        let found = statement(text);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{text}: {found:#?}");
    }
}

#[test]
fn wrong_signatures_and_returns_say_what_is_wrong() {
    let cases = [
        ("", "1:1: expected `graph`, found end of file"),
        ("graph g() {\nreturn\n}", "1:7: expected a graph name like `@main`, found `g`"),
        ("graph @g(%x: f32[2) {\nreturn\n}", "1:19: expected `,` or `]`, found `)`"),
        ("graph @g(%x: f32[2] %y: f32[]) {\nreturn\n}", "1:21: expected `,` or `)`, found `%y`"),
        ("graph @g() where B in 2..=1 {\nreturn\n}", "1:18: symbol B has the empty range 2..=1"),
        ("graph @g() where B in 1..=1, B = 2 {\nreturn\n}", "1:30: symbol B is declared twice"),
        (
            "graph @g() where B in 0..=8 step 0 {\nreturn\n}",
            "1:18: symbol B is declared a multiple of 0",
        ),
        (
            "graph @g() level hot {\nreturn\n}",
            "1:18: expected a level (source, canonical, fused, legal), found `hot`",
        ),
        ("graph @g() {\n}", "2:1: graph @g has no return"),
        ("graph @g() {\nreturn\n", "3:1: expected `}`, found end of file"),
        ("graph @g() {\nreturn\nreturn\n}", "3:1: expected `}`, found `return`"),
        ("graph @g() {\nreturn\n} }", "3:3: expected `graph`, found `}`"),
        ("graph @g(%x: f32[]) {\nreturn %y\n}", "2:8: value %y is not defined before this line"),
        ("graph @g(%x: f32[]) {\nreturn %x -> %x\n}", "2:14: %x is not a state input"),
        (
            "graph @g(%x: state f32[]) {\nreturn %x\n}",
            "2:1: state %x has no next value, add `%value -> %x`",
        ),
        (
            "graph @g(%x: state f32[]) {\nreturn %x -> %x, %x -> %x\n}",
            "2:24: state %x has a next value already",
        ),
    ];
    for (source, expected) in cases {
        let found = messages(source);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{source}: {found:#?}");
    }
}

#[test]
fn several_errors_are_reported_without_echoes() {
    let found = statement(
        "%a = softmax %x : f32[S, 8]
%c = neg %a : f32[8, S]
%d = neg %q : f32[S, 8]
%e = reduce_sum %d {axis = 0} : f32[S, 8]
%f = neg %x : f64[S, 8]
%g = neg %f : f32[S, 8]
%h = % neg
%i = neg %n : i64[S]",
    );
    let expected = [
        "2:6: softmax needs the attribute axis",
        "3:15: result 0 is declared f32[8, S], inferred f32[S, 8]",
        "4:10: value %q is not defined before this line",
        "5:33: result 0 is declared f32[S, 8], inferred f32[1, 8]",
        "6:15: expected an element type (f32, f16, bf16, i64, i32, bool), found `f64`",
        "8:6: expected a mnemonic, found `%\"\"`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_lambda_heads_message_names_the_operand() {
    let source = "graph @g(%q: f32[B, 16, S, 64], %k: f32[B, 4, S, 64], %v: f32[B, 4, S, 64], %lam: f32[B, 16, S, 1]) where B in 1..=2, S in 1..=8 {
  %o = diff_attention %q, %k, %v, %lam {mask = causal, pairing = interleaved, scale = 0.125} : f32[B, 8, S, 64]
  return %o
}";
    let errors = parse(source).unwrap_err();
    let expected = "a.mnd:2:35: operand 3 (%lam): dimension 1 is 16, expected 8
    %o = diff_attention %q, %k, %v, %lam {mask = causal, pairing = interleaved, scale = 0.125} : f32[B, 8, S, 64]
                                    ^^^^";
    assert_eq!(errors.render("a.mnd", source), expected);
}

#[test]
fn hostile_sizes_are_refused() {
    let deep = format!("%y = iota {{size = {}1}} : i64[1]", "(".repeat(100_000));
    assert!(statement(&deep)[0].ends_with("parentheses are nested more than 32 deep"));
    let power = format!("%y = iota {{size = {}S}} : i64[1]", "S*".repeat(100_000));
    assert!(statement(&power)[0].ends_with("number of factors is too large, at most 5 are read"));
    let symbols: Vec<String> = (0..40).map(|i| format!("A{i} in 1..=2")).collect();
    let sum: Vec<String> = (0..40).map(|i| format!("A{i}")).collect();
    let source = format!(
        "graph @g(%x: f32[{}]) where {} {{\n  return %x\n}}",
        sum.join(" + "),
        symbols.join(", ")
    );
    assert_eq!(messages(&source)[0], "1:18: number of terms is too large, at most 12 are read");
    let sum = sum[..12].join(" + ");
    let product = [sum.as_str(); 8].join(", ");
    let source =
        format!("graph @g(%x: f32[{product}]) where {} {{\n  return %x\n}}", symbols.join(", "));
    assert_eq!(messages(&source)[0], "1:17: number of terms is too large, at most 4096 are read");
    let axes = format!("%y = iota {{size = 1}} : i64[{}1]", "1, ".repeat(100));
    assert!(statement(&axes)[0].ends_with("number of axes is too large, at most 16 are read"));
    let many = parse(&"?\n".repeat(1000)).unwrap_err();
    assert_eq!(many.0.len(), 101);
    assert_eq!(many.0[100].kind, ParseErrorKind::More);
}

/// Numbers from a seed (Marsaglia's xorshift, 64 bits).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Whatever is read must print, and what is printed must read back the same.
fn survives(bytes: &[u8]) -> bool {
    let source = String::from_utf8_lossy(bytes);
    match parse(&source) {
        Ok(graphs) => {
            for graph in &graphs {
                let text = print(graph);
                assert_eq!(print(&one(&text)), text, "from {source}");
                let _ = crate::verify::verify(graph);
                let _ = crate::dot::dot(graph);
            }
            true
        }
        Err(errors) => {
            assert!(!errors.render("garbage.mnd", &source).is_empty());
            false
        }
    }
}

#[test]
fn mutated_sources_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let alphabet = b"%@{}[]():,=+-*.;\"\\ \n09eSBTPx\xff";
    let lines: Vec<&str> = EVERY_OP.lines().collect();
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut bytes = EVERY_OP.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes[at] = alphabet[random.below(alphabet.len())],
                1 => bytes.insert(at, alphabet[random.below(alphabet.len())]),
                2 => drop(bytes.remove(at)),
                3 => bytes[at] = bytes[at].wrapping_add(1),
                4 => {
                    let line = lines[random.below(lines.len())];
                    bytes.splice(at..at, line.bytes());
                }
                _ => {
                    let end = (at + random.below(40)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
            }
        }
        accepted += usize::from(survives(&bytes));
    }
    // Some edits leave a source valid (a name, a number), most do not: both paths were taken.
    assert!((1..2000).contains(&accepted), "{accepted} of 4000 accepted");
}

#[test]
fn garbage_never_panics() {
    let mut random = Random(42);
    let words = [
        "graph", "@g", "(", ")", "{", "}", "%x", "%y", "=", ":", "f32", "[", "]", "S", ",",
        "where", "in", "1", "..=", "return", "neg", "->", "state", "level", "\n", "-", "*", "+",
        "slice", "axis", "1.5", "\"s\"", "constant", "value", "legal",
    ];
    for _ in 0..2000 {
        let length = random.below(60);
        let source: Vec<&str> = (0..length).map(|_| words[random.below(words.len())]).collect();
        survives(source.join(" ").as_bytes());
        let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        survives(&bytes);
    }
}

#[test]
fn reals_read_back_bit_for_bit() {
    let mut random = Random(7);
    for _ in 0..500 {
        let high = random.below(1 << 32) as u64;
        let value = f64::from_bits((high << 32) | random.below(1 << 32) as u64);
        let mut graph = Graph::new("g", SymbolTable::default());
        let constant = graph.real(DType::F32, value).unwrap();
        graph.set_return(&[constant], &[]).unwrap();
        let back = one(&print(&graph));
        let Op::Constant(op) = back.def(back.outputs()[0]) else { panic!("no constant") };
        assert_eq!(op.as_real().map(Real::new), Some(Real::new(value)));
    }
}
