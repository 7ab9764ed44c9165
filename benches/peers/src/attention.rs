//! Differential attention beside attention: 8 query heads over 4 key/value heads, 512 tokens of width
//! 64, causal, f32.

use crate::Outcome;
use crate::agreement::Agreement;
use crate::alternate::{Contestant, alternate};
use crate::candle_peer;
use crate::minuend_graph::{GraphRun, Weights};
use crate::random_values::random_values;
use crate::report::{Amount, Report};

pub(crate) const QUERY_HEADS: usize = 8;
pub(crate) const KV_HEADS: usize = 4;
pub(crate) const PAIRS: usize = QUERY_HEADS / 2;
pub(crate) const TOKENS: usize = 512;
pub(crate) const HEAD_DIM: usize = 64;
pub(crate) const SCALE: f64 = 0.125;

/// f32 softmax sums of up to 512 terms; the difference of two heads loses up to another digit.
const LIMIT: f64 = 1e-5;

/// What contestants compute: names that tell whose results may be compared.
pub(crate) const DIFFERENCE: &str = "differential attention";
pub(crate) const HEADS: &str = "attention alone";

/// Differential attention in primitive ops; the compiler makes it one.
const DIFFERENCE_GRAPH: &str = "
graph @difference(
  %q: f32[1, 8, 512, 64], %k: f32[1, 4, 512, 64], %v: f32[1, 4, 512, 64], %lambda: f32[1, 4, 512, 1],
) {
  %a = attention %q, %k, %v {mask = causal, scale = 0.125} : f32[1, 8, 512, 64]
  %even = slice %a {axis = 1, start = 0, step = 2} : f32[1, 4, 512, 64]
  %odd = slice %a {axis = 1, start = 1, step = 2} : f32[1, 4, 512, 64]
  %gate = sigmoid %lambda : f32[1, 4, 512, 1]
  %gated = mul %gate, %odd : f32[1, 4, 512, 64]
  %o = sub %even, %gated : f32[1, 4, 512, 64]
  return %o
}";

const HEADS_GRAPH: &str = "
graph @heads(%q: f32[1, 8, 512, 64], %k: f32[1, 4, 512, 64], %v: f32[1, 4, 512, 64]) {
  %a = attention %q, %k, %v {mask = causal, scale = 0.125} : f32[1, 8, 512, 64]
  return %a
}";

/// Operands in row-major order.
pub(crate) struct Operands {
    /// `[1, QUERY_HEADS, TOKENS, HEAD_DIM]`.
    pub(crate) q: Vec<f32>,
    /// `[1, KV_HEADS, TOKENS, HEAD_DIM]`.
    pub(crate) k: Vec<f32>,
    /// `[1, KV_HEADS, TOKENS, HEAD_DIM]`.
    pub(crate) v: Vec<f32>,
    /// Before the sigmoid, `[1, PAIRS, TOKENS, 1]`.
    pub(crate) lambda: Vec<f32>,
}

pub(crate) fn compare(rounds: usize, report: &mut Report) -> Outcome<()> {
    let operands = Operands {
        q: random_values(QUERY_HEADS * TOKENS * HEAD_DIM, 1),
        k: random_values(KV_HEADS * TOKENS * HEAD_DIM, 2),
        v: random_values(KV_HEADS * TOKENS * HEAD_DIM, 3),
        lambda: random_values(PAIRS * TOKENS, 4),
    };
    let (q, kv) = ([1, QUERY_HEADS, TOKENS, HEAD_DIM], [1, KV_HEADS, TOKENS, HEAD_DIM]);
    let arguments: [(&[usize], &[f32]); 4] = [
        (&q, &operands.q),
        (&kv, &operands.k),
        (&kv, &operands.v),
        (&[1, PAIRS, TOKENS, 1], &operands.lambda),
    ];
    let device = minuend::open_device(report.device(), report.threads())?;
    let graph =
        |source, op, arguments| GraphRun::new(&device, source, op, &Weights::default(), arguments);
    let mut difference = graph(DIFFERENCE_GRAPH, "diff_attention", &arguments)?;
    let mut heads = graph(HEADS_GRAPH, "attention", &arguments[..3])?;
    let candle = candle_peer::Attention::new(&operands)?;
    #[cfg(feature = "burn")]
    let burn = crate::burn_peer::Attention::new(&operands, report.is_cpu())?;

    let mut contestants = vec![
        Contestant { library: "minuend", what: DIFFERENCE, run: Box::new(|| difference.run()) },
        Contestant {
            library: candle_peer::UNFUSED,
            what: DIFFERENCE,
            run: Box::new(|| candle_peer::host(&candle.difference(&candle.unfused()?)?)),
        },
        Contestant {
            library: candle_peer::FLASH,
            what: DIFFERENCE,
            run: Box::new(|| candle_peer::host(&candle.difference(&candle.flash()?)?)),
        },
        Contestant { library: "minuend", what: HEADS, run: Box::new(|| heads.run()) },
        Contestant {
            library: candle_peer::UNFUSED,
            what: HEADS,
            run: Box::new(|| candle_peer::host(&candle.unfused()?)),
        },
        Contestant {
            library: candle_peer::FLASH,
            what: HEADS,
            run: Box::new(|| candle_peer::host(&candle.flash()?)),
        },
    ];
    #[cfg(feature = "burn")]
    contestants.extend(burn.contestants());
    if !report.is_cpu() {
        contestants.retain(|contestant| !candle_peer::NAMES.contains(&contestant.library));
    }
    // Stable: both kinds keep their order, minuend first.
    contestants.sort_by_key(|contestant| contestant.what == HEADS);

    let found = alternate(&mut contestants, rounds)?;
    for (contestant, (times, result)) in contestants.iter().zip(&found) {
        let Contestant { library, what, .. } = contestant;
        report.add("attention, 8 heads, 512 tokens", (library, what), times, Amount::Uncounted);
        let first = contestants.iter().position(|other| other.what == *what);
        let expected = first.map_or(&[][..], |first| &found[first].1);
        if *library != "minuend" {
            let what = format!("{what}, {library} against minuend");
            report.agree(Agreement::of(what, result, expected, LIMIT));
        }
    }
    Ok(())
}
