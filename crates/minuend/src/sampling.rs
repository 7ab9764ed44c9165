//! Choosing the next token.

use minuend_interp::Draw;
use minuend_ir::ops::sample::LEAST_TEMPERATURE;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::RequestError;

/// How the next token is chosen from its logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f64,
    /// Choose among this many of the most likely tokens; `None` for all.
    pub top_k: Option<usize>,
    /// Choose among the fewest most likely tokens whose probabilities reach this sum; `None` for all.
    pub top_p: Option<f64>,
    /// The same seed gives the same text.
    pub seed: u64,
}

impl Sampling {
    /// Always the most likely token; of equals the one with the lowest id.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, top_k: None, top_p: None, seed: 0 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`RequestError::Sampling`] for a setting out of range.
    pub fn check(&self) -> Result<(), RequestError> {
        let fault = |setting, found: String, expected| {
            Err(RequestError::Sampling { setting, found, expected })
        };
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            let found = self.temperature.to_string();
            return fault("temperature", found, "a finite number of at least 0");
        }
        if self.top_k == Some(0) {
            return fault("top-k", "0".into(), "at least 1");
        }
        match self.top_p {
            Some(p) if !(p > 0.0 && p <= 1.0) => {
                fault("top-p", p.to_string(), "a number above 0 and at most 1")
            }
            _ => Ok(()),
        }
    }
}

/// The settings as the op `sample` takes them: see [`minuend_ir::ops::sample`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) temperature: f32,
    /// 0 for all.
    pub(crate) top_k: i64,
    /// 1 for all.
    pub(crate) top_p: f32,
}

impl Rules {
    /// The most likely token.
    pub(crate) const GREEDY: Rules = Rules { temperature: 0.0, top_k: 0, top_p: 1.0 };
}

/// Chooses tokens one after the other.
pub struct Sampler {
    rules: Rules,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// As [`Sampling::check`].
    pub fn new(sampling: &Sampling) -> Result<Sampler, RequestError> {
        sampling.check()?;
        let rules = Rules {
            temperature: sampling.temperature as f32,
            top_k: sampling.top_k.map_or(0, |k| i64::try_from(k).unwrap_or(i64::MAX)),
            top_p: sampling.top_p.map_or(1.0, |p| p as f32),
        };
        Ok(Sampler { rules, rng: ChaCha8Rng::seed_from_u64(sampling.seed) })
    }

    /// True if the most likely token is always taken: the temperature is 0, or so low that f32 has none
    /// like it.
    pub fn is_greedy(&self) -> bool {
        self.rules.temperature < LEAST_TEMPERATURE
    }

    /// The settings for a program that draws.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// The next number of the random sequence, in `[0, 1)`: each token takes one, wherever it is drawn.
    /// Where no token is drawn there is none, and this is 0.
    fn uniform(&mut self) -> f32 {
        if self.is_greedy() { 0.0 } else { self.rng.random() }
    }

    /// The next number for each of some sequences.
    pub(crate) fn uniforms(&mut self, sequences: usize) -> Vec<f32> {
        (0..sequences).map(|_| self.uniform()).collect()
    }

    /// The next token, drawn as the op `sample` is defined.
    ///
    /// # Errors
    /// [`RequestError::NoFiniteLogit`] if no logit is finite.
    pub fn choose(&mut self, logits: &[f32]) -> Result<u32, RequestError> {
        if self.is_greedy() {
            return most_likely(logits).ok_or(RequestError::NoFiniteLogit);
        }
        let Rules { temperature, top_k, top_p } = self.rules;
        let (temperature, top_p) = (f64::from(temperature), f64::from(top_p));
        let draw = Draw { temperature, top_k, top_p, uniform: f64::from(self.uniform()) };
        let logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
        let token = draw.choose(&logits).and_then(|token| u32::try_from(token).ok());
        token.ok_or(RequestError::NoFiniteLogit)
    }
}

/// The largest finite logit's token; of equals the lowest id.
pub fn most_likely(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, logit) in (0u32..).zip(logits) {
        if logit.is_finite() && best.is_none_or(|(_, most)| *logit > most) {
            best = Some((token, *logit));
        }
    }
    best.map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> Sampler {
        Sampler::new(&Sampling { temperature, top_k, top_p, seed: 7 }).unwrap()
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals() {
        let mut greedy = Sampler::new(&Sampling::greedy()).unwrap();
        assert_eq!(greedy.choose(&[1.0, 3.0, 3.0, f32::NAN]), Ok(1));
        assert_eq!(greedy.choose(&[f32::NAN, f32::INFINITY]), Err(RequestError::NoFiniteLogit));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0, 1.0, 2.0f32];
        let mut sampler = sampler(0.5, None, None);
        let mut counts = [0u32; 3];
        for _ in 0..20_000 {
            counts[sampler.choose(&logits).unwrap() as usize] += 1;
        }
        let sum: f64 = logits.iter().map(|x| f64::from(x / 0.5).exp()).sum();
        for (count, logit) in counts.iter().zip(logits) {
            let expected = f64::from(logit / 0.5).exp() / sum;
            assert!((f64::from(*count) / 20_000.0 - expected).abs() < 0.015);
        }
    }

    #[test]
    fn cuts_keep_only_the_most_likely() {
        let logits = [0.0, 5.0, 4.0, 1.0f32];
        let (mut by_count, mut by_mass) =
            (sampler(10.0, Some(2), None), sampler(1.0, None, Some(0.7)));
        for _ in 0..200 {
            assert!([1, 2].contains(&by_count.choose(&logits).unwrap()));
            assert_eq!(by_mass.choose(&logits).unwrap(), 1);
        }
    }

    #[test]
    fn the_seed_decides() {
        let run = || {
            let mut sampler = sampler(1.0, None, None);
            (0..50).map(|_| sampler.choose(&[0.1, 0.2, 0.3, 0.4]).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let bad = |temperature, top_k, top_p| {
            Sampling { temperature, top_k, top_p, seed: 0 }.check().unwrap_err().to_string()
        };
        assert!(bad(-1.0, None, None).starts_with("temperature is -1"));
        assert!(bad(f64::NAN, None, None).starts_with("temperature is NaN"));
        assert!(bad(1.0, Some(0), None).starts_with("top-k is 0"));
        assert!(bad(1.0, None, Some(1.5)).starts_with("top-p is 1.5"));
    }
}
