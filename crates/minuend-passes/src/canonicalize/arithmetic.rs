//! Arithmetic: constants to the right, one op for what several compute.

use minuend_ir::ops::{BinaryOp, Constant, Literal, UnaryOp};
use minuend_ir::{Emit, Emitted, Graph, NodeId, Op, PatchBuilder, Real, TensorType, ValueId};

use super::replacing;
use crate::matcher::{as_binary, as_unary, match_commutative, pair, real_constant};
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "constant-to-the-right", try_at: constant_to_the_right },
        Rule { name: "drop-neutral", try_at: drop_neutral },
        Rule { name: "divide-to-multiply", try_at: divide_to_multiply },
        Rule { name: "divide-to-reciprocal", try_at: divide_to_reciprocal },
        Rule { name: "divide-by-sqrt", try_at: divide_by_sqrt },
        Rule { name: "reciprocal-of-sqrt", try_at: reciprocal_of_sqrt },
        Rule { name: "expand-power", try_at: expand_power },
        Rule { name: "add-negative", try_at: add_negative },
        Rule { name: "drop-double-negative", try_at: drop_double_negative },
        Rule { name: "merge-factors", try_at: merge_factors },
        Rule { name: "form-silu", try_at: form_silu },
    ]
}

fn binary_at(graph: &Graph, at: NodeId) -> Option<(BinaryOp, ValueId, ValueId)> {
    let Op::Binary(op) = graph.node(at).op else { return None };
    let (a, b) = pair(graph, at)?;
    Some((op, a, b))
}

fn is_constant(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.def(value), Op::Constant(_)) || real_constant(graph, value).is_some()
}

/// The value of a literal whose elements are all equal, be they floats or integers.
fn number(graph: &Graph, value: ValueId) -> Option<f64> {
    match graph.def(value) {
        Op::Constant(constant) => {
            // Only small numbers are asked for: an integer that f64 rounds is none of them.
            constant.as_real().or_else(|| constant.as_int().map(|value| value as f64))
        }
        _ => real_constant(graph, value),
    }
}

/// `x * factor` as a value of type `ty`, to which `x` broadcasts.
pub(super) fn scaled(
    patch: &mut PatchBuilder<'_>,
    x: ValueId,
    factor: f64,
    ty: &TensorType,
) -> Emitted {
    let shape = if patch.type_of(x) == ty { Default::default() } else { ty.shape.clone() };
    let constant = Constant {
        ty: TensorType { dtype: ty.dtype, shape },
        values: Literal::Reals([Real::new(factor)].into()),
    };
    let factor = patch.value(Op::Constant(constant), &[])?;
    patch.mul(x, factor)
}

fn constant_to_the_right(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((op, a, b)) = binary_at(graph, at) else { return Ok(None) };
    if !op.is_commutative() || !is_constant(graph, a) || is_constant(graph, b) {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.binary(op, b, a)?;
    Ok(replacing(graph, at, patch, new))
}

/// `x * 1`, `x + 0`, `x - 0`.
fn drop_neutral(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((op, x, c)) = binary_at(graph, at) else { return Ok(None) };
    let neutral = match op {
        BinaryOp::Mul => 1.0,
        BinaryOp::Add | BinaryOp::Sub => 0.0,
        _ => return Ok(None),
    };
    if number(graph, c) != Some(neutral) {
        return Ok(None);
    }
    Ok(replacing(graph, at, PatchBuilder::new(graph), x))
}

/// `x / c` is `x * (1/c)` for a float constant.
fn divide_to_multiply(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Div, x, c)) = binary_at(graph, at) else { return Ok(None) };
    let Some(c) = real_constant(graph, c) else { return Ok(None) };
    if !c.is_normal() || !c.recip().is_normal() {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = scaled(&mut patch, x, c.recip(), graph.ty(at.result(0)))?;
    Ok(replacing(graph, at, patch, new))
}

/// `1 / x`.
fn divide_to_reciprocal(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Div, one, x)) = binary_at(graph, at) else { return Ok(None) };
    if real_constant(graph, one) != Some(1.0) {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.unary(UnaryOp::Reciprocal, x)?;
    Ok(replacing(graph, at, patch, new))
}

/// `x / sqrt(y)` is `x * rsqrt(y)`.
fn divide_by_sqrt(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Div, x, root)) = binary_at(graph, at) else { return Ok(None) };
    let Some(y) = as_unary(graph, root, UnaryOp::Sqrt) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let factor = patch.unary(UnaryOp::Rsqrt, y)?;
    let new = patch.mul(x, factor)?;
    Ok(replacing(graph, at, patch, new))
}

fn reciprocal_of_sqrt(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let root = as_unary(graph, at.result(0), UnaryOp::Reciprocal);
    let Some(x) = root.and_then(|root| as_unary(graph, root, UnaryOp::Sqrt)) else {
        return Ok(None);
    };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.unary(UnaryOp::Rsqrt, x)?;
    Ok(replacing(graph, at, patch, new))
}

/// `x ^ 2`, `x ^ 0.5`, `x ^ -0.5`.
fn expand_power(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Pow, x, exponent)) = binary_at(graph, at) else { return Ok(None) };
    let Some(exponent) = real_constant(graph, exponent) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let new = if exponent == 2.0 {
        patch.mul(x, x)?
    } else if exponent == 0.5 {
        patch.unary(UnaryOp::Sqrt, x)?
    } else if exponent == -0.5 {
        patch.unary(UnaryOp::Rsqrt, x)?
    } else {
        return Ok(None);
    };
    Ok(replacing(graph, at, patch, new))
}

/// `x + neg(y)` is `x - y`.
fn add_negative(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Add, a, b)) = binary_at(graph, at) else { return Ok(None) };
    let negative =
        match_commutative((a, b), |x, neg| Some((x, as_unary(graph, neg, UnaryOp::Neg)?)));
    let Some((x, y)) = negative else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.sub(x, y)?;
    Ok(replacing(graph, at, patch, new))
}

fn drop_double_negative(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let inner = as_unary(graph, at.result(0), UnaryOp::Neg);
    let Some(x) = inner.and_then(|inner| as_unary(graph, inner, UnaryOp::Neg)) else {
        return Ok(None);
    };
    Ok(replacing(graph, at, PatchBuilder::new(graph), x))
}

/// `x * c1 * c2` is `x * (c1 * c2)`.
fn merge_factors(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Mul, product, outer)) = binary_at(graph, at) else { return Ok(None) };
    let inner = as_binary(graph, product, BinaryOp::Mul);
    let Some((x, inner)) = inner.and_then(|operands| by_constant(graph, operands)) else {
        return Ok(None);
    };
    let Some(factor) = real_constant(graph, outer).map(|outer| inner * outer) else {
        return Ok(None);
    };
    if !factor.is_normal() {
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = scaled(&mut patch, x, factor, graph.ty(at.result(0)))?;
    Ok(replacing(graph, at, patch, new))
}

/// The other operand of a product by a float constant, and the constant.
pub(super) fn by_constant(graph: &Graph, operands: (ValueId, ValueId)) -> Option<(ValueId, f64)> {
    match_commutative(operands, |x, c| Some((x, real_constant(graph, c)?)))
}

/// `x * sigmoid(x)`.
fn form_silu(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Some((BinaryOp::Mul, a, b)) = binary_at(graph, at) else { return Ok(None) };
    let x = match_commutative((a, b), |x, gate| {
        as_unary(graph, gate, UnaryOp::Sigmoid).filter(|source| *source == x)
    });
    let Some(x) = x else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.unary(UnaryOp::Silu, x)?;
    Ok(replacing(graph, at, patch, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{Ran, graph_of, run};
    use minuend_ir::DType;

    /// The pass on what `build` makes of two operands `[2, 3]`.
    fn ran(build: impl Fn(&mut Graph, ValueId, ValueId) -> Emitted) -> Ran {
        let graph = graph_of(|graph| {
            let ty = TensorType::fixed(DType::F32, &[2, 3]);
            let (x, y) = (graph.argument("x", ty.clone()), graph.argument("y", ty));
            let result = build(graph, x.unwrap(), y.unwrap()).unwrap();
            vec![result]
        });
        run(&graph, &pass(), &[])
    }

    fn real(graph: &mut Graph, value: f64) -> ValueId {
        graph.real(DType::F32, value).unwrap()
    }

    fn constant(ran: &Ran) -> f64 {
        let Op::Constant(constant) = ran.the("constant") else { panic!() };
        constant.as_real().unwrap()
    }

    #[test]
    fn constants_stand_on_the_right() {
        let result = ran(|graph, x, _| {
            let c = real(graph, 3.0);
            graph.add_values(c, x)
        });
        let sum = result.graph.outputs()[0];
        let (_, right) = as_binary(&result.graph, sum, BinaryOp::Add).unwrap();
        assert_eq!(real_constant(&result.graph, right), Some(3.0));
    }

    #[test]
    fn neutral_constants_go() {
        let result = ran(|graph, x, _| {
            let (one, zero) = (real(graph, 1.0), real(graph, 0.0));
            let x = graph.mul(one, x)?;
            let x = graph.add_values(x, zero)?;
            let x = graph.sub(x, zero)?;
            graph.binary(BinaryOp::Div, x, one)
        });
        assert!(result.ops().is_empty());
        let kept = ran(|graph, x, _| {
            let zero = real(graph, 0.0);
            graph.sub(zero, x)
        });
        assert_eq!(kept.ops(), ["sub"]);
    }

    #[test]
    fn a_neutral_constant_that_widens_the_result_stays() {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[3])).unwrap();
            let ty = TensorType::fixed(DType::F32, &[2, 3]);
            let ones = Constant { ty, values: Literal::Reals([Real::new(1.0)].into()) };
            let ones = graph.value(Op::Constant(ones), &[]).unwrap();
            vec![graph.mul(x, ones).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["mul"]);
        let integers = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::I64, &[3])).unwrap();
            let (zero, two) = (graph.int(0).unwrap(), graph.int(2).unwrap());
            let x = graph.add_values(zero, x).unwrap();
            vec![graph.binary(BinaryOp::Div, x, two).unwrap()]
        });
        assert_eq!(run(&integers, &pass(), &[]).ops(), ["div"]);
    }

    #[test]
    fn division_by_a_constant_is_a_product() {
        let result = ran(|graph, x, _| {
            let c = real(graph, 8.0);
            graph.binary(BinaryOp::Div, x, c)
        });
        assert_eq!((result.ops(), constant(&result)), (vec!["mul"], 0.125));
        for c in [0.0, f64::INFINITY, f64::NAN, 1e-310] {
            let result = ran(|graph, x, _| {
                let c = real(graph, c);
                graph.binary(BinaryOp::Div, x, c)
            });
            assert_eq!(result.ops(), ["div"], "{c}");
        }
    }

    #[test]
    fn roots_and_inverses_are_one_op() {
        let inverse = ran(|graph, x, _| {
            let one = real(graph, 1.0);
            let root = graph.unary(UnaryOp::Sqrt, x)?;
            graph.binary(BinaryOp::Div, one, root)
        });
        assert_eq!(inverse.ops(), ["rsqrt"]);
        let by_root = ran(|graph, x, y| {
            let root = graph.unary(UnaryOp::Sqrt, y)?;
            graph.binary(BinaryOp::Div, x, root)
        });
        assert_eq!(by_root.ops(), ["rsqrt", "mul"]);
        let quotient = ran(|graph, x, y| graph.binary(BinaryOp::Div, x, y));
        assert_eq!(quotient.ops(), ["div"]);
    }

    #[test]
    fn powers_of_known_exponents_expand() {
        for (exponent, op) in [(2.0, "mul"), (0.5, "sqrt"), (-0.5, "rsqrt"), (3.0, "pow")] {
            let result = ran(|graph, x, _| {
                let exponent = real(graph, exponent);
                let x = graph.unary(UnaryOp::Abs, x)?;
                graph.binary(BinaryOp::Pow, x, exponent)
            });
            assert_eq!(result.ops(), ["abs", op]);
        }
        let base = ran(|graph, x, _| {
            let two = real(graph, 2.0);
            graph.binary(BinaryOp::Pow, two, x)
        });
        assert_eq!(base.ops(), ["pow"]);
    }

    #[test]
    fn signs_meet() {
        let difference = ran(|graph, x, y| {
            let negative = graph.unary(UnaryOp::Neg, x)?;
            graph.add_values(negative, y)
        });
        assert_eq!(difference.ops(), ["sub"]);
        let (a, _) =
            as_binary(&difference.graph, difference.graph.outputs()[0], BinaryOp::Sub).unwrap();
        assert_eq!(difference.graph.value_name(a).map(|name| &**name), Some("y"));
        let twice = ran(|graph, x, _| {
            let x = graph.unary(UnaryOp::Neg, x)?;
            graph.unary(UnaryOp::Neg, x)
        });
        assert!(twice.ops().is_empty());
    }

    #[test]
    fn factors_merge() {
        let result = ran(|graph, x, _| {
            let (a, b) = (real(graph, 3.0), real(graph, 0.5));
            let x = graph.mul(a, x)?;
            graph.mul(x, b)
        });
        assert_eq!((result.ops(), constant(&result)), (vec!["mul"], 1.5));
        let extreme = ran(|graph, x, _| {
            let (a, b) = (real(graph, 1e200), real(graph, 1e200));
            let x = graph.mul(x, a)?;
            graph.mul(x, b)
        });
        assert_eq!(extreme.ops(), ["mul", "mul"]);
    }

    #[test]
    fn silu_needs_its_own_gate() {
        let result = ran(|graph, x, _| {
            let gate = graph.unary(UnaryOp::Sigmoid, x)?;
            graph.mul(gate, x)
        });
        assert_eq!(result.ops(), ["silu"]);
        let other = ran(|graph, x, y| {
            let gate = graph.unary(UnaryOp::Sigmoid, y)?;
            graph.mul(x, gate)
        });
        assert_eq!(other.ops(), ["sigmoid", "mul"]);
    }
}
