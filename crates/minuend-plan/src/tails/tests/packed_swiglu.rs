//! Products with a packed gate/up weight.

use super::{launched, program, steps, steps_of};

/// A product with a packed weight, and what is done with its result `%p` of type `f32[B, S, 8]`.
fn packed(body: &str, outputs: &str) -> String {
    format!(
        "graph @g(%x: f32[B, S, 4]) where B in 1..=4, S in 1..=64 {{
           %w = weight {{name = [\"gate\", \"up\"]}} : bf16[8, 4]
           %p = matmul %x, %w {{transpose_rhs = true}} : f32[B, S, 8]
           {body}
           return {outputs}
         }}"
    )
}

const FUSED: &str = "matmul+swiglu %x:f32[B, S, 4], w0:bf16[8, 4] -> b0:f32[B, S, 4]";
const SLICES: &str = "
    %gate = slice %p {axis = 2, start = 0, end = 4} : f32[B, S, 4]
    %up = slice %p {axis = 2, start = 4, end = 8} : f32[B, S, 4]
";

#[test]
fn the_halves_of_a_packed_product_are_gated() {
    let program =
        program(&packed(&format!("{SLICES} %y = swiglu %gate, %up : f32[B, S, 4]"), "%y"));
    assert_eq!(steps_of(&program), [FUSED]);
    assert!(program.weights[0].may_stay_apart);
    assert_eq!((program.launches_of("matmul"), program.launches_of("swiglu")), (1, 1));
}

#[test]
fn the_halves_may_be_reached_through_reshapes() {
    let found = steps(&packed(
        "%q = reshape %p {shape = [B, S, 2, 4]} : f32[B, S, 2, 4]
         %g0 = slice %q {axis = 2, start = 0, end = 1} : f32[B, S, 1, 4]
         %gate = reshape %g0 {shape = [B, S, 4]} : f32[B, S, 4]
         %u0 = slice %q {axis = 2, start = 1, end = 2} : f32[B, S, 1, 4]
         %up = reshape %u0 {shape = [B, S, 4]} : f32[B, S, 4]
         %y = swiglu %gate, %up : f32[B, S, 4]",
        "%y",
    ));
    assert_eq!(found, [FUSED]);
}

#[test]
fn other_parts_of_a_product_are_not_its_halves() {
    let swapped = format!("{SLICES} %y = swiglu %up, %gate : f32[B, S, 4]");
    let interleaved = "
        %gate = slice %p {axis = 2, start = 0, step = 2} : f32[B, S, 4]
        %up = slice %p {axis = 2, start = 1, step = 2} : f32[B, S, 4]
        %y = swiglu %gate, %up : f32[B, S, 4]";
    let same_half = format!("{SLICES} %y = swiglu %gate, %gate : f32[B, S, 4]");
    let parts = "
        %gate = slice %p {axis = 2, start = 0, end = 3} : f32[B, S, 3]
        %up = slice %p {axis = 2, start = 4, end = 7} : f32[B, S, 3]
        %y = swiglu %gate, %up : f32[B, S, 3]";
    let flat = format!(
        "{SLICES}
        %g1 = reshape %gate {{shape = [B, S, 2, 2]}} : f32[B, S, 2, 2]
        %u1 = reshape %up {{shape = [B, S, 2, 2]}} : f32[B, S, 2, 2]
        %y = swiglu %g1, %u1 : f32[B, S, 2, 2]"
    );
    for body in [&swapped, interleaved, &same_half, parts, &flat] {
        let source = packed(body, "%y");
        let found = launched(&source);
        assert_eq!(found.last().map(String::as_str), Some("swiglu"), "{source}");
        assert_eq!(found.first().map(String::as_str), Some("matmul"), "{source}");
    }
}

#[test]
fn a_packed_product_with_another_reader_is_stored() {
    let gated = format!("{SLICES} %y = swiglu %gate, %up : f32[B, S, 4]");
    assert_eq!(launched(&packed(&gated, "%y, %p")), ["matmul", "swiglu"]);
    assert_eq!(launched(&packed(&gated, "%y, %up")), ["matmul", "swiglu"]);
    let summed = format!("{gated}\n %z = add %y, %gate : f32[B, S, 4]");
    assert_eq!(launched(&packed(&summed, "%z")), ["matmul", "swiglu+add(v0, x2)"]);
}

#[test]
fn a_packed_product_is_one_with_a_weight_by_rows() {
    let found = launched(
        "graph @g(%x: f32[2, 4], %w: f32[8, 4]) {
           %p = matmul %x, %w {transpose_rhs = true} : f32[2, 8]
           %gate = slice %p {axis = 1, start = 0, end = 4} : f32[2, 4]
           %up = slice %p {axis = 1, start = 4, end = 8} : f32[2, 4]
           %y = swiglu %gate, %up : f32[2, 4]
           return %y
         }",
    );
    assert_eq!(found, ["matmul", "swiglu"]);
}
