//! What the operators mean, by family.

mod activation;
mod arithmetic;
mod attention;
mod constant;
mod control;
mod einsum;
mod indexing;
mod layout;
mod logic;
mod matmul;
mod normalize;
mod reduce;
mod rotary_embedding;
mod scatter;
mod shape;
mod slicing;
mod softmax;
mod top_k;

use minuend_ir::ops::{BinaryOp, CompareOp, ReduceKind, UnaryOp};

use crate::node::{Node, Refusal, Results};
use crate::sizes::SizeOp;

/// Imports one node.
pub(crate) type Handler = fn(&mut Node<'_>) -> Results;

/// The meaning of an operator; `None` if it is not supported.
pub(crate) fn handler(domain: &str, op_type: &str) -> Option<Handler> {
    if !matches!(domain, "" | "ai.onnx") {
        return None;
    }
    let handler: Handler = match op_type {
        // Elementwise.
        "Add" => |n| arithmetic::binary(n, BinaryOp::Add, Some(SizeOp::Add)),
        "Sub" => |n| arithmetic::binary(n, BinaryOp::Sub, Some(SizeOp::Sub)),
        "Mul" => |n| arithmetic::binary(n, BinaryOp::Mul, Some(SizeOp::Mul)),
        "Div" => |n| arithmetic::binary(n, BinaryOp::Div, Some(SizeOp::Div)),
        "Pow" => arithmetic::pow,
        "Mod" => arithmetic::modulo,
        "Max" => |n| arithmetic::of_many(n, BinaryOp::Max, Some(SizeOp::Max)),
        "Min" => |n| arithmetic::of_many(n, BinaryOp::Min, Some(SizeOp::Min)),
        "Sum" => |n| arithmetic::of_many(n, BinaryOp::Add, None),
        "Neg" => arithmetic::negative,
        "Abs" => |n| arithmetic::unary(n, UnaryOp::Abs),
        "Exp" => |n| arithmetic::unary(n, UnaryOp::Exp),
        "Log" => |n| arithmetic::unary(n, UnaryOp::Log),
        "Sqrt" => |n| arithmetic::unary(n, UnaryOp::Sqrt),
        "Reciprocal" => |n| arithmetic::unary(n, UnaryOp::Reciprocal),
        "Sin" => |n| arithmetic::unary(n, UnaryOp::Sin),
        "Cos" => |n| arithmetic::unary(n, UnaryOp::Cos),
        "Tanh" => |n| arithmetic::unary(n, UnaryOp::Tanh),
        "Erf" => |n| arithmetic::unary(n, UnaryOp::Erf),
        "Sigmoid" => |n| arithmetic::unary(n, UnaryOp::Sigmoid),
        "Cast" | "CastLike" => arithmetic::cast,
        "Clip" => arithmetic::clip,
        "Relu" => activation::relu,
        "LeakyRelu" => activation::leaky_relu,
        "Gelu" => activation::gelu,
        "Softplus" => activation::softplus,
        "HardSigmoid" => activation::hard_sigmoid,
        "Swish" => activation::swish,
        "And" => |n| logic::truth(n, BinaryOp::And),
        "Or" => |n| logic::truth(n, BinaryOp::Or),
        "Xor" => logic::xor,
        "Not" => logic::not,
        "Equal" => |n| logic::compare(n, CompareOp::Eq),
        "Less" => |n| logic::compare(n, CompareOp::Lt),
        "LessOrEqual" => |n| logic::compare(n, CompareOp::Le),
        "Greater" => |n| logic::compare(n, CompareOp::Gt),
        "GreaterOrEqual" => |n| logic::compare(n, CompareOp::Ge),
        "IsNaN" => logic::is_nan,
        "Where" => logic::choose,
        // Layout.
        "Identity" | "Dropout" => layout::identity,
        "Reshape" => layout::reshape,
        "Flatten" => layout::flatten,
        "Transpose" => layout::transpose,
        "Squeeze" => layout::squeeze,
        "Unsqueeze" => layout::unsqueeze,
        "Expand" => layout::expand,
        "Tile" => layout::tile,
        "Concat" => layout::concat,
        "Split" => slicing::split,
        "Slice" => slicing::slice,
        "Trilu" => layout::trilu,
        "Pad" => layout::pad,
        "Gather" => indexing::gather,
        "GatherElements" => indexing::gather_elements,
        "GatherND" => indexing::gather_nd,
        "ScatterElements" => scatter::elements,
        "ScatterND" => scatter::nd,
        // Sizes and constants.
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Constant" => constant::constant,
        "ConstantOfShape" => constant::of_shape,
        "Range" => constant::range,
        "CumSum" => reduce::cumulative_sum,
        // Reductions and products.
        "ReduceSum" => |n| reduce::reduce(n, ReduceKind::Sum),
        "ReduceMean" => |n| reduce::reduce(n, ReduceKind::Mean),
        "ReduceMax" => |n| reduce::reduce(n, ReduceKind::Max),
        "ReduceMin" => reduce::minimum,
        "ReduceProd" => reduce::product,
        "ReduceL2" => reduce::l2,
        "ReduceSumSquare" => reduce::sum_of_squares,
        "ArgMax" => reduce::arg_max,
        "TopK" => top_k::top_k,
        "MatMul" => matmul::matmul,
        "Gemm" => matmul::gemm,
        "Einsum" => einsum::einsum,
        "Softmax" => softmax::softmax,
        "LogSoftmax" => softmax::log_softmax,
        // Larger ones, written in primitive ops.
        "LayerNormalization" => normalize::layer_norm,
        "RMSNormalization" | "SimplifiedLayerNormalization" => normalize::rms_norm,
        "RotaryEmbedding" => rotary_embedding::rotary_embedding,
        "Attention" => attention::attention,
        "If" => control::branch,
        _ => return None,
    };
    Some(handler)
}

/// Why there is no handler, and what would help.
pub(crate) fn unsupported(domain: &str, op_type: &str) -> Refusal {
    let help = match (domain, op_type) {
        ("com.microsoft", _) => {
            "it is an operator of ONNX Runtime: use the file as exported, without its optimiser"
        }
        ("", "Loop" | "Scan") => "export with the loop unrolled (torch.onnx.export(dynamo=True))",
        ("", "NonZero" | "Compress" | "Unique" | "NonMaxSuppression") => {
            "its result's size depends on data: select with Where instead"
        }
        ("", "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "MatMulInteger") => {
            "export the model without quantisation"
        }
        ("", op) if op.starts_with("Sequence") || op.starts_with("Optional") => {
            "export with tensors in place of sequences (torch.onnx.export(dynamo=True))"
        }
        ("", op) if op.starts_with("Random") || op == "Bernoulli" || op == "Multinomial" => {
            "draw outside of the graph and give the numbers as an input"
        }
        ("", _) => "write it with other operators before the export",
        _ => "define it as a function of the file, or write it with standard operators",
    };
    Refusal::new("the operator is not supported", help)
}
