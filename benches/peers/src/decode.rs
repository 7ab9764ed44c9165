//! Prefill and greedy decode of language models of one shape, with the same weights.

use minuend::{Architecture, CompileOptions, LogitRows, Model, StoredDtype};

use crate::Outcome;
use crate::agreement::Agreement;
use crate::alternate::Times;
use crate::candle_peer::{self, CandleLlama};
use crate::greedy::{Greedy, forced_logits, generate};
use crate::report::{Amount, Report};
use crate::shape::Shape;

/// f32 logits of two libraries that sum in different orders, through all layers.
const LIMIT: f64 = 1e-3;

/// How much to run.
pub(crate) struct Work {
    pub(crate) rounds: usize,
    /// Tokens of the prompt.
    pub(crate) prompt: usize,
    /// Steps behind the prompt.
    pub(crate) steps: usize,
}

struct Contestant {
    library: &'static str,
    what: String,
    model: Box<dyn Greedy>,
    prefill: Times,
    decode: Times,
    tokens: Vec<u32>,
}

impl Contestant {
    fn new(library: &'static str, what: String, model: impl Greedy + 'static) -> Contestant {
        let (prefill, decode) = (Times::default(), Times::default());
        Contestant { library, what, model: Box::new(model), prefill, decode, tokens: vec![] }
    }
}

pub(crate) fn compare(shape: &Shape, work: &Work, report: &mut Report) -> Outcome<()> {
    let config = shape.minuend(Architecture::Llama, StoredDtype::F32)?;
    let prompt: Vec<u32> =
        (0..work.prompt).map(|index| ((index * 7919 + 13) % config.vocab_size) as u32).collect();
    let mut contestants = contestants(shape, work, report)?;

    // This round is not counted.
    for Contestant { model, tokens, .. } in &mut contestants {
        *tokens = generate(&mut **model, &prompt, work.steps)?.tokens;
    }
    check_logits(&mut contestants, &prompt, report)?;

    for _ in 0..work.rounds {
        for Contestant { model, prefill, decode, .. } in &mut contestants {
            let continuation = generate(&mut **model, &prompt, work.steps)?;
            prefill.add(continuation.prefill);
            decode.add(continuation.decode);
        }
    }
    let titles = [
        format!("prefill of {} tokens", work.prompt),
        format!("decode of {} tokens behind {}", work.steps, work.prompt),
    ];
    for Contestant { library, what, prefill, .. } in &contestants {
        report.add(&titles[0], (library, what), prefill, Amount::Tokens(work.prompt));
    }
    for Contestant { library, what, decode, .. } in &contestants {
        report.add(&titles[1], (library, what), decode, Amount::Tokens(work.steps));
    }
    Ok(())
}

fn contestants(shape: &Shape, work: &Work, report: &Report) -> Outcome<Vec<Contestant>> {
    let device = minuend::open_device("cpu", report.threads())?;
    let model =
        |architecture, stored| Outcome::Ok(Model::random(shape.minuend(architecture, stored)?, 1));
    let minuend = |model: &Model| -> Outcome<Contestant> {
        let config = model.config();
        let what =
            format!("{} {}", config.architecture.model_type(), config.stored_dtype.torch_name());
        let compiled = model.compile(&*device, LogitRows::Last, &CompileOptions::default())?;
        let session = compiled.session(work.prompt + work.steps)?;
        Ok(Contestant::new("minuend", what, session))
    };
    let candle = |model: &Model| -> Outcome<Contestant> {
        let what = format!("llama {}", model.config().stored_dtype.torch_name());
        let llama = CandleLlama::new(shape.candle()?, model)?;
        Ok(Contestant::new(candle_peer::NAME, what, llama))
    };

    let mut contestants = Vec::new();
    for stored in [StoredDtype::F32, StoredDtype::Bf16, StoredDtype::F16] {
        let llama = model(Architecture::Llama, stored)?;
        contestants.push(minuend(&llama)?);
        contestants.push(candle(&llama)?);
    }
    for stored in [StoredDtype::F32, StoredDtype::Bf16] {
        contestants.push(minuend(&model(Architecture::DiffV2, stored)?)?);
    }
    Ok(contestants)
}

/// Feeds the tokens that minuend's f32 Llama chose to candle's, and compares every row of logits.
/// These two are the first contestants.
fn check_logits(
    contestants: &mut [Contestant],
    prompt: &[u32],
    report: &mut Report,
) -> Outcome<()> {
    let [minuend, candle, ..] = contestants else {
        return Err("no two contestants to compare".into());
    };
    let steps = minuend.tokens.len() - 1;
    let tokens = minuend.tokens[..steps].to_vec();
    let expected = forced_logits(&mut *minuend.model, prompt, &tokens)?;
    let found = forced_logits(&mut *candle.model, prompt, &tokens)?;
    let what = format!(
        "llama logits of {} tokens, {} {} against minuend's",
        steps + 1,
        candle.library,
        candle.what
    );
    report.agree(Agreement::of(what, &found, &expected, LIMIT));
    let same = minuend.tokens.iter().zip(&candle.tokens).take_while(|(a, b)| a == b).count();
    report.note(format!(
        "{} of {} greedy tokens are the same in minuend and {}, both {}",
        same,
        minuend.tokens.len(),
        candle.library,
        candle.what
    ));
    Ok(())
}
