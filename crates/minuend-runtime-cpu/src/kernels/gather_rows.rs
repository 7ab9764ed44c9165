//! Embedding lookup.

use super::view::rows_per_task;
use super::{KernelError, StridedMut, WeightRows};

/// Writes row `ids[i]` of `table: [rows, d]` to row `i` of `out: [.., d]`, rows counted in row-major
/// order of the leading axes.
///
/// # Errors
/// An id outside the table, a shape that does not fit the others, or a strided last axis. Nothing
/// is written then.
pub fn gather_rows(
    table: WeightRows<'_>,
    ids: &[i64],
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "gather_rows";
    out.check_dense_rows(KERNEL, "out")?;
    let shape = out.shape().to_vec();
    let wrong = |expected: Vec<usize>| KernelError::Shape {
        kernel: KERNEL,
        operand: "out",
        found: shape.clone(),
        expected,
    };
    let Some((&d, leading)) = shape.split_last() else {
        return Err(wrong(vec![ids.len(), table.cols()]));
    };
    // An empty product of extents is checked as such: other extents may be huge.
    let rows = leading.iter().try_fold(1usize, |rows, extent| rows.checked_mul(*extent));
    let rows = if leading.contains(&0) { Some(0) } else { rows };
    if d != table.cols() || rows != Some(ids.len()) {
        return Err(wrong(vec![ids.len(), table.cols()]));
    }
    for (position, &id) in ids.iter().enumerate() {
        if usize::try_from(id).map_or(true, |row| row >= table.rows()) {
            return Err(KernelError::IdOutOfRange { id, position, rows: table.rows() });
        }
    }
    out.into_shared().for_each_row(rows_per_task(d), |row, to| {
        // Checked above to lie in `0..table.rows()`.
        table.data().widen_into(ids[row] as usize * d, to);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::WeightRef;
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_dtype_into_strided_rows() {
        let (rows, d) = (5, 3);
        let values: Vec<f32> = (0..rows * d).map(|v| v as f32).collect();
        let half: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
        let brain: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
        let ids = [4, 0, 2, 2];
        for data in [WeightRef::F32(&values), WeightRef::F16(&half), WeightRef::Bf16(&brain)] {
            let table = WeightRows::new(data, rows, d).unwrap();
            let mut out = [7.25f32; 16];
            let view = StridedMut::new(&mut out, &[2, 2, d], &[8, 4, 1]).unwrap();
            gather_rows(table, &ids, view).unwrap();
            for (i, id) in ids.iter().enumerate() {
                let from = *id as usize * d;
                assert_eq!(out[i * 4..i * 4 + d], values[from..from + d]);
                assert_eq!(out[i * 4 + d], 7.25);
            }
        }
    }

    #[test]
    fn wrong_ids_and_shapes() {
        let values = [0.5f32; 6];
        let table = WeightRows::new(WeightRef::F32(&values), 3, 2).unwrap();
        let mut out = [0.0f32; 4];
        let mut run = |ids: &[i64], shape: &[usize]| {
            let result = gather_rows(table, ids, StridedMut::dense(&mut out, shape).unwrap());
            let written = out.iter().any(|v| *v != 0.0);
            (result, written)
        };
        for (ids, id, position) in [([0, 3], 3, 1), ([-1, 0], -1, 0), ([0, i64::MIN], i64::MIN, 1)]
        {
            let error = KernelError::IdOutOfRange { id, position, rows: 3 };
            assert_eq!(run(&ids, &[2, 2]), (Err(error), false));
        }
        assert!(run(&[0], &[2, 2]).0.is_err());
        assert!(run(&[0, 1], &[4, 1]).0.is_err());
        assert!(run(&[0], &[]).0.is_err());
        assert_eq!(run(&[], &[0, 2]), (Ok(()), false));
        assert_eq!(run(&[0, 1], &[2, 2]), (Ok(()), true));
    }
}
