//! Weights in the 16-bit type that they are computed in.

use minuend_ir::ops::Weight;
use minuend_ir::order::topological;
use minuend_ir::{DType, Emit, Graph, Op, PatchBuilder, TypeError};

/// Declares stored floats in the 16-bit type that they are computed in: that of a cast, or of the matrix that a
/// product multiplies with them. They are then converted once, when they are loaded, and not in each run.
/// Casts to f32 stay, for kernels read 16-bit weights as they are.
pub(crate) fn narrow_weights(graph: &mut Graph) -> Result<(), TypeError> {
    for id in topological(graph) {
        let operands = graph.operands(id);
        let (weight, to) = match (&graph.node(id).op, operands.as_slice()) {
            (Op::Cast(cast), [from]) => (*from, cast.to),
            (Op::Matmul(_), [lhs, rhs]) => (*rhs, graph.ty(*lhs).dtype),
            _ => continue,
        };
        let Op::Weight(stored) = graph.def(weight) else { continue };
        let is_narrow = matches!(to, DType::F16 | DType::Bf16);
        if !is_narrow || !stored.ty.dtype.is_float() || stored.ty.dtype == to {
            continue;
        }
        let loaded =
            Op::Weight(Weight { parts: stored.parts.clone(), ty: stored.ty.with_dtype(to) });
        let mut patch = PatchBuilder::new(graph);
        let mut result = patch.emit(loaded, &[])?.result(0);
        if let (Op::Matmul(_), [lhs, _]) = (&graph.node(id).op, operands.as_slice()) {
            result = patch.emit(graph.node(id).op.clone(), &[*lhs, result])?.result(0);
        }
        let patch = patch.replacing(id.result(0), result);
        // It is of the type of what it replaces. Were it not, the graph would stay as it is.
        let _ = graph.apply(patch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::text::{parse, print};

    #[test]
    fn products_read_weights_in_their_own_type() {
        let text = "graph @g(%x: bf16[3, 2]) {\n  %w = weight {name = \"w\"} : f32[2, 2]\n  \
            %a = matmul %x, %w : bf16[3, 2]\n  %b = matmul %a, %w : bf16[3, 2]\n  return %b\n}\n";
        let mut graph = parse(text).unwrap().remove(0);
        narrow_weights(&mut graph).unwrap();
        let found = print(&graph);
        assert!(!found.contains("f32"), "{found}");
        assert!(found.contains("%b = matmul %a, "), "{found}");
        minuend_ir::verify::verify(&graph).unwrap();
    }

    #[test]
    fn only_narrowing_casts_of_weights_go() {
        let text = "graph @g(%x: bf16[2]) {\n  %w = weight {name = \"w\"} : f32[2]\n  \
            %n = cast %w {to = bf16} : bf16[2]\n  %h = weight {name = \"h\"} : f16[2]\n  \
            %v = cast %h {to = f32} : f32[2]\n  %y = add %x, %n : bf16[2]\n  \
            %z = add %w, %v : f32[2]\n  return %y, %z\n}\n";
        let mut graph = parse(text).unwrap().remove(0);
        narrow_weights(&mut graph).unwrap();
        let found = print(&graph);
        assert!(found.contains("%n = weight {name = \"w\"} : bf16[2]"), "{found}");
        assert!(found.contains("%w = weight {name = \"w\"} : f32[2]"), "{found}");
        assert!(found.contains("%v = cast %h"), "{found}");
    }
}
