//! A random choice by logits, by the rules of `minuend_ir::ops::sample`.

use minuend_ir::ops::sample::{LEAST_TEMPERATURE, MOST_TEMPERATURE, MOST_UNIFORM};

use crate::error::Fault;
use crate::ops::{Computed, ints, reals};
use crate::tensor::{Data, Tensor};

/// The rules and the random number by which an index is drawn. [`Draw::choose`] is the definition of the
/// op `sample`; see there for what the settings mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Divides the logits; without one, the largest is chosen.
    pub temperature: f64,
    /// How many of the largest logits are kept; all if it is not above 0.
    pub top_k: i64,
    /// The share of the probability that is kept; all if it is not below 1.
    pub top_p: f64,
    /// A random number in `[0, 1)`.
    pub uniform: f64,
}

impl Draw {
    /// The index drawn; `None` if no logit is finite.
    pub fn choose(&self, logits: &[f64]) -> Option<usize> {
        let kept = self.kept(logits);
        let mass: f64 = kept.iter().map(|(_, weight)| weight).sum();
        // NaN is not above 0.
        let most = f64::from(MOST_UNIFORM);
        let uniform = if self.uniform > 0.0 { self.uniform.min(most) } else { 0.0 };
        let wanted = uniform * mass;
        let mut sum = 0.0;
        let chosen = kept.iter().find(|(_, weight)| {
            sum += weight;
            sum > wanted
        });
        chosen.or(kept.last()).map(|(index, _)| *index)
    }

    /// Every index that may be drawn, in order, with its weight: its probability is this over the sum of
    /// all. The largest logit has weight 1.
    pub fn kept(&self, logits: &[f64]) -> Vec<(usize, f64)> {
        let mut order: Vec<usize> = (0..logits.len()).filter(|i| logits[*i].is_finite()).collect();
        // The sort is stable: of equals the lowest index comes first.
        order.sort_by(|a, b| (logits[*b] + 0.0).total_cmp(&(logits[*a] + 0.0)));
        let Some(largest) = order.first().map(|index| logits[*index]) else { return Vec::new() };
        // NaN is no temperature either.
        let has_temperature = self.temperature >= f64::from(LEAST_TEMPERATURE);
        if !has_temperature {
            order.truncate(1);
        }
        let temperature = self.temperature.min(f64::from(MOST_TEMPERATURE));
        let weight = |index: usize| match logits[index] - largest {
            0.0 => 1.0,
            below => (below / temperature).exp(),
        };
        let mut kept: Vec<(usize, f64)> = order.into_iter().map(|at| (at, weight(at))).collect();
        if self.top_k > 0 {
            kept.truncate(usize::try_from(self.top_k).unwrap_or(usize::MAX));
        }
        if self.top_p < 1.0 {
            let share = self.top_p * kept.iter().map(|(_, weight)| weight).sum::<f64>();
            let mut sum = 0.0;
            let last = kept.iter().position(|(_, weight)| {
                sum += weight;
                sum >= share
            });
            kept.truncate(last.map_or(kept.len(), |last| last + 1));
        }
        kept.sort_by_key(|(index, _)| *index);
        kept
    }
}

/// An index for each row of the last axis. `settings` are temperature, top_k and top_p.
pub(crate) fn sample(logits: &Tensor, settings: [&Tensor; 3], uniform: &Tensor) -> Computed {
    let [temperature, top_k, top_p] = settings;
    let empty = || Fault::Type("a setting has no element, expected one".into());
    let temperature = *reals(temperature)?.first().ok_or_else(empty)?;
    let top_k = *ints(top_k)?.first().ok_or_else(empty)?;
    let top_p = *reals(top_p)?.first().ok_or_else(empty)?;
    let length = logits.shape().last().copied().unwrap_or(0);
    let values = reals(logits)?;
    let uniforms = reals(uniform)?.iter().enumerate();
    let chosen = uniforms.map(|(row, uniform)| {
        let draw = Draw { temperature, top_k, top_p, uniform: *uniform };
        let row = values.get(row * length..(row + 1) * length).unwrap_or_default();
        draw.choose(row).and_then(|index| i64::try_from(index).ok()).unwrap_or(-1)
    });
    Ok(Data::Ints(chosen.collect()))
}
