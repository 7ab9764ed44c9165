//! Matrix products.

use minuend_ir::{Dim, Emit, TensorType, ValueId};

use crate::materialise::loaded_dtype;
use crate::node::{Node, Refusal, Results, one};

/// A stored matrix input `[k, n]`, as a weight `[n, k]`.
fn turned_weight(n: &mut Node<'_>, input: usize) -> Result<Option<ValueId>, Refusal> {
    let Some(stored) = n.stored(input) else { return Ok(None) };
    let [k, columns] = stored.shape.as_slice() else { return Ok(None) };
    if !stored.dtype.is_float() || stored.formula().is_some() {
        return Ok(None);
    }
    let loaded = loaded_dtype(&stored, n.activation(stored.dtype));
    let ty = TensorType::fixed(loaded, &[*columns, *k]);
    let name = n.importer.weights.add_transposed(&stored);
    Ok(Some(n.graph().weight(&name, ty)?))
}

/// `MatMul(a, b)`: vectors count as a row and a column.
pub(super) fn matmul(n: &mut Node<'_>) -> Results {
    let mut a = n.tensor(0)?;
    if n.graph().type_of(a).rank() >= 2
        && let Some(weight) = turned_weight(n, 1)?
    {
        return one(n.graph().matmul_transposed(a, weight)?);
    }
    let mut b = n.tensor(1)?;
    let (mut left, mut right) =
        (n.graph().type_of(a).shape.clone(), n.graph().type_of(b).shape.clone());
    let (is_row, is_column) = (left.len() == 1, right.len() == 1);
    if left.is_empty() || right.is_empty() {
        return Err(Refusal::new("a product with a scalar", "use Mul"));
    }
    if is_row {
        left.insert(0, Dim::one());
        a = n.graph().reshape(a, &left)?;
    }
    if is_column {
        right.push(Dim::one());
        b = n.graph().reshape(b, &right)?;
    }
    let product = n.graph().matmul(a, b)?;
    let mut shape: Vec<Dim> = n.graph().type_of(product).shape.iter().cloned().collect();
    if is_column {
        shape.pop();
    }
    if is_row {
        shape.remove(shape.len() - 1 - usize::from(!is_column));
    }
    one(n.graph().reshape(product, &shape)?)
}

/// `alpha A B + beta C`, A and B transposed if they are so stored.
pub(super) fn gemm(n: &mut Node<'_>) -> Results {
    let mut a = n.tensor(0)?;
    if n.attr_int("transA", 0) != 0 {
        a = n.graph().swap_last_axes(a)?;
    }
    let product = if n.attr_int("transB", 0) != 0 {
        let b = n.tensor(1)?;
        n.graph().matmul_transposed(a, b)?
    } else if let Some(weight) = turned_weight(n, 1)? {
        n.graph().matmul_transposed(a, weight)?
    } else {
        let b = n.tensor(1)?;
        n.graph().matmul(a, b)?
    };
    let scaled = scaled(n, product, "alpha")?;
    let Some(bias) = n.optional_tensor(2)? else { return one(scaled) };
    let bias = self::scaled(n, bias, "beta")?;
    one(n.graph().add_values(scaled, bias)?)
}

fn scaled(n: &mut Node<'_>, x: ValueId, name: &str) -> Result<ValueId, Refusal> {
    let factor = n.attr_float(name, 1.0);
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = n.real_like(x, factor)?;
    Ok(n.graph().mul(x, factor)?)
}
