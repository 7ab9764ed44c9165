//! One linear layer without bias: `x[m, k] W[n, k]^T` in f32, all sizes 512.

use candle_core::{Device as CandleDevice, Tensor};

use crate::Outcome;
use crate::agreement::Agreement;
use crate::alternate::{Contestant, alternate};
use crate::minuend_graph::{GraphRun, Weights};
use crate::random_values::random_values;
use crate::report::{Amount, Report};

const SIZE: usize = 512;

/// A dot product of 512 terms in f32 is off by some 1e-6 of the operands' norms, in whatever order
/// it is summed.
const LIMIT: f64 = 1e-5;

const GRAPH: &str = "
graph @linear(%x: f32[512, 512]) {
  %w = weight {name = \"w\"} : f32[512, 512]
  %y = matmul %x, %w {transpose_rhs = true} : f32[512, 512]
  return %y
}";

pub(crate) fn compare(rounds: usize, report: &mut Report) -> Outcome<()> {
    let shape = [SIZE, SIZE];
    let x = random_values(SIZE * SIZE, 1);
    let w = random_values(SIZE * SIZE, 2);

    let device = minuend::open_device(report.device(), report.threads())?;
    let weights = Weights::of("w", &shape, &w);
    let mut linear = GraphRun::new(&device, GRAPH, "matmul", &weights, &[(&shape, &x)])?;

    let candle_x = Tensor::from_slice(&x, (SIZE, SIZE), &CandleDevice::Cpu)?;
    let candle_w = Tensor::from_slice(&w, (SIZE, SIZE), &CandleDevice::Cpu)?;

    let mut contestants = vec![
        Contestant { library: "minuend", what: "matmul", run: Box::new(|| linear.run()) },
        Contestant {
            library: crate::candle_peer::NAME,
            what: "matmul",
            run: Box::new(|| Ok(candle_x.matmul(&candle_w.t()?)?.flatten_all()?.to_vec1()?)),
        },
    ];
    #[cfg(feature = "burn")]
    contestants.push(crate::burn_peer::linear(x.clone(), &w, SIZE, report.is_cpu())?);
    if !report.is_cpu() {
        contestants.retain(|contestant| contestant.library != crate::candle_peer::NAME);
    }

    let found = alternate(&mut contestants, rounds)?;
    let flops = Amount::Flops(2.0 * (SIZE * SIZE * SIZE) as f64);
    let expected = &found[0].1;
    for (contestant, (times, result)) in contestants.iter().zip(&found) {
        let Contestant { library, what, .. } = contestant;
        report.add("f32 matmul, 512 x 512 x 512", (library, what), times, flops);
        if library != &contestants[0].library {
            let what = format!("matmul, {library} against minuend");
            report.agree(Agreement::of(what, result, expected, LIMIT));
        }
    }
    Ok(())
}
