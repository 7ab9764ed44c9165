//! Taking turns, so that whatever else the machine does falls on every contestant alike.

use std::time::{Duration, Instant};

use crate::Outcome;

/// One way to compute a result.
pub(crate) struct Contestant<'a> {
    /// The library, with its version if it is a peer.
    pub(crate) library: &'static str,
    /// What it computes and how.
    pub(crate) what: &'static str,
    /// Computes the result once, from operands that the library holds already, and copies it to the
    /// host.
    pub(crate) run: Box<dyn FnMut() -> Outcome<Vec<f32>> + 'a>,
}

/// Durations of the repeated runs of one contestant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Number of runs.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The fastest run, the one least disturbed, in seconds.
    pub(crate) fn best(&self) -> f64 {
        self.0.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
    }

    /// The middle of the runs in order, in seconds; of an even number, the mean of the middle two.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let middle = sorted.len() / 2;
        let seconds = |index: usize| sorted.get(index).map_or(f64::NAN, Duration::as_secs_f64);
        match sorted.len() % 2 {
            1 => seconds(middle),
            _ => (seconds(middle.wrapping_sub(1)) + seconds(middle)) / 2.0,
        }
    }
}

/// Runs every contestant once in each round, behind a first round that is not counted. Gives the
/// times and the result of that first round, by contestant.
pub(crate) fn alternate(
    contestants: &mut [Contestant<'_>],
    rounds: usize,
) -> Outcome<Vec<(Times, Vec<f32>)>> {
    let mut found = Vec::with_capacity(contestants.len());
    for contestant in contestants.iter_mut() {
        found.push((Times::default(), (contestant.run)()?));
    }
    for _ in 0..rounds {
        for (contestant, (times, _)) in contestants.iter_mut().zip(&mut found) {
            let started = Instant::now();
            let result = (contestant.run)()?;
            times.add(started.elapsed());
            std::hint::black_box(result);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: &[u64]) -> Times {
        Times(milliseconds.iter().map(|time| Duration::from_millis(*time)).collect())
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(times(&[9, 1, 5]).median(), 0.005);
        assert_eq!(times(&[9, 1, 5, 3]).median(), 0.004);
        assert_eq!(times(&[9, 1, 5]).best(), 0.001);
        assert!(times(&[]).median().is_nan() && times(&[]).best().is_nan());
    }

    #[test]
    fn contestants_take_turns() -> Outcome<()> {
        let order = std::cell::RefCell::new(String::new());
        let contestant = |name: &'static str| Contestant {
            library: name,
            what: "",
            run: Box::new(|| {
                order.borrow_mut().push_str(name);
                Ok(vec![])
            }),
        };
        let found = alternate(&mut [contestant("a"), contestant("b")], 2)?;
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(found[0].0.0.len(), 2);
        Ok(())
    }
}
