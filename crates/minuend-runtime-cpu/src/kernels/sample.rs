//! An index of the last axis drawn at random: see `minuend_ir::ops::sample`.

use std::cmp::Ordering;

use minuend_ir::ops::sample::{LEAST_TEMPERATURE, MOST_TEMPERATURE, MOST_UNIFORM};

use super::view::rows_per_task;
use super::{KernelError, StridedMut, StridedRef};

/// How much an element of a row costs, for sharing rows out: an exponential in f64.
const COST: usize = 16;

/// What decides between logits beside chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Divides the logits; without one, the largest is chosen.
    pub(crate) temperature: f32,
    /// How many of the largest logits are kept; all if it is not above 0.
    pub(crate) top_k: i64,
    /// The share of the probability that is kept; all if it is not below 1.
    pub(crate) top_p: f32,
}

/// Draws an index of each row `x [.., n]` with the number of the row in `uniforms`. `out` is `[.., 1]`.
pub(crate) fn sample(
    x: StridedRef<'_, f32>,
    rules: Rules,
    uniforms: &[f32],
    out: StridedMut<'_, i64>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "sample";
    let Some((length, outer)) = x.shape().split_last() else {
        return Err(KernelError::Rank { kernel: KERNEL, operand: "x", found: 0, expected: 1 });
    };
    out.check_shape(KERNEL, "out", &[outer, &[1]].concat())?;
    x.check_dense_rows(KERNEL, "x")?;
    let rows: usize = outer.iter().product();
    if uniforms.len() != rows {
        let (found, expected) = (vec![uniforms.len()], vec![rows]);
        return Err(KernelError::Shape { kernel: KERNEL, operand: "uniform", found, expected });
    }
    let per_task = rows_per_task(length.saturating_mul(COST));
    out.into_shared().for_each_row(per_task, |row, out| {
        let logits = if *length == 0 { &[][..] } else { x.row(row) };
        out.fill(rules.draw(logits, uniforms[row]));
    });
    Ok(())
}

impl Rules {
    fn draw(self, logits: &[f32], uniform: f32) -> i64 {
        let finite = (0..logits.len()).filter(|index| logits[*index].is_finite());
        let before = |a: &usize, b: &usize| order(logits, *a, *b);
        let Some(first) = finite.clone().min_by(before) else { return -1 };
        // NaN is no temperature either.
        let has_temperature = self.temperature >= LEAST_TEMPERATURE;
        if !has_temperature || self.top_k == 1 {
            return first as i64;
        }
        let largest = f64::from(logits[first]);
        let scale = 1.0 / f64::from(self.temperature.min(MOST_TEMPERATURE));
        let weight = |index: usize| ((f64::from(logits[index]) - largest) * scale).exp();
        let mut kept: Vec<usize> = finite.collect();
        match usize::try_from(self.top_k) {
            Ok(count) if count > 0 && count < kept.len() => {
                kept.select_nth_unstable_by(count - 1, before);
                kept.truncate(count);
                kept.sort_unstable();
            }
            _ => {}
        }
        let mut weights: Vec<f64> = kept.iter().map(|index| weight(*index)).collect();
        let mut mass: f64 = weights.iter().sum();
        if self.top_p < 1.0 {
            let share = f64::from(self.top_p.max(0.0)) * mass;
            // All weights below this together do not make up for what the share may lack.
            let least = (mass - share) / kept.len() as f64;
            let pairs = weights.iter().zip(&kept).filter(|(weight, _)| **weight >= least);
            let mut pairs: Vec<(f64, usize)> = pairs.map(|(w, at)| (*w, *at)).collect();
            pairs.sort_unstable_by(|a, b| order(logits, a.1, b.1));
            let mut sum = 0.0;
            let last = pairs.iter().position(|(weight, _)| {
                sum += weight;
                sum >= share
            });
            pairs.truncate(last.map_or(pairs.len(), |last| last + 1));
            pairs.sort_unstable_by_key(|(_, index)| *index);
            (weights, kept) = pairs.into_iter().unzip();
            mass = weights.iter().sum();
        }
        // NaN is not above 0.
        let uniform = if uniform > 0.0 { uniform.min(MOST_UNIFORM) } else { 0.0 };
        let wanted = f64::from(uniform) * mass;
        let mut sum = 0.0;
        let chosen = weights.iter().position(|weight| {
            sum += weight;
            sum > wanted
        });
        chosen.and_then(|at| kept.get(at)).or(kept.last()).map_or(-1, |index| *index as i64)
    }
}

/// The larger logit first, of equals the lower index. Both are finite.
fn order(logits: &[f32], a: usize, b: usize) -> Ordering {
    logits[b].partial_cmp(&logits[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;

    fn draw(temperature: f32, top_k: i64, top_p: f32, x: &[f32], uniform: f32) -> i64 {
        let mut out = [7i64];
        let rules = Rules { temperature, top_k, top_p };
        let to = StridedMut::dense(&mut out, &[1]).unwrap();
        sample(StridedRef::dense(x, &[x.len()]).unwrap(), rules, &[uniform], to).unwrap();
        out[0]
    }

    /// The indices that are drawn, each as often as its share of the uniforms.
    fn counts(rules: (f32, i64, f32), x: &[f32], parts: usize) -> Vec<usize> {
        let mut counts = vec![0; x.len()];
        for part in 0..parts {
            let uniform = (part as f32 + 0.5) / parts as f32;
            counts[draw(rules.0, rules.1, rules.2, x, uniform) as usize] += 1;
        }
        counts
    }

    #[test]
    fn kept_logits_are_drawn_by_their_weights() {
        let x = [1.0f32, 3.0, 2.0, 2.0].map(f32::ln);
        assert_eq!(counts((1.0, 0, 1.0), &x, 8), [1, 3, 2, 2]);
        assert_eq!(counts((0.5, 0, 1.0), &x, 18), [1, 9, 4, 4]);
        assert_eq!(counts((1.0, 2, 1.0), &x, 5), [0, 3, 2, 0]);
        assert_eq!(counts((1.0, 3, 1.0), &x, 7), [0, 3, 2, 2]);
        assert_eq!(counts((1.0, 0, 0.6), &x, 5), [0, 3, 2, 0]);
        assert_eq!(counts((1.0, 0, 0.0), &x, 5), [0, 5, 0, 0]);
        assert_eq!(counts((1.0, 2, 0.59), &x, 5), [0, 5, 0, 0]);
        assert_eq!(counts((0.0, 0, 1.0), &x, 5), [0, 5, 0, 0]);
        assert_eq!(counts((f32::INFINITY, 0, 1.0), &x, 8), [2, 2, 2, 2]);
    }

    #[test]
    fn what_is_not_finite_is_never_drawn() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(counts((1.0, 0, 1.0), &[nan, 0.0, inf, -inf, -0.0], 4), [0, 2, 0, 0, 2]);
        assert_eq!(draw(1.0, 0, 1.0, &[nan, inf, -inf], 0.5), -1);
        assert_eq!(draw(0.0, 0, 1.0, &[], 0.5), -1);
    }

    #[test]
    fn rows_of_a_strided_view() {
        let mut source = Source::new(3);
        let (rows, len) = (40, 100);
        let mut x = source.floats(rows * (len + 1), 1.0);
        let uniforms = vec![0.3; rows];
        let mut out = vec![0i64; rows];
        for row in 0..rows {
            x[row * (len + 1) + row] = 1000.0;
        }
        in_pool(2, || {
            let x = StridedRef::new(&x, &[rows, len], &[len + 1, 1]).unwrap();
            let rules = Rules { temperature: 1.0, top_k: 0, top_p: 1.0 };
            let to = StridedMut::dense(&mut out, &[rows, 1]).unwrap();
            sample(x, rules, &uniforms, to).unwrap();
            assert!(
                sample(
                    x,
                    rules,
                    &uniforms[1..],
                    StridedMut::dense(&mut [0; 40], &[rows, 1]).unwrap()
                )
                .is_err()
            );
            assert!(
                sample(x, rules, &uniforms, StridedMut::dense(&mut [0; 40], &[rows]).unwrap())
                    .is_err()
            );
        });
        assert_eq!(out, (0..rows as i64).collect::<Vec<_>>());
    }
}
