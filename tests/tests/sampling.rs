//! Tokens drawn on devices: by any logits as the interpreter draws them, and text by text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use minuend::ir::text::parse;
use minuend::{
    CompileOptions, Continue, Device, Executable, GenerateOptions, HostTensor, LogitRows, Model,
    ModelSession, Sampling, Session, TokenModel, compile, generate,
};
use minuend_conform::subjects;
use minuend_interp::Draw;
use minuend_tests::models;
use minuend_tests::random_values::RandomValues;
use minuend_tests::runners::skipped;
use minuend_tests::weight_table::WeightTable;

/// Rows that are drawn from at once.
const ROWS: usize = 5;
/// How far, in probability, a device may see the ends of a token's part of the unit interval elsewhere.
/// An f32 exponential of logits within 12 of the largest, on average, has an error of 12 times three
/// roundings of its argument and a few of its own, some 2e-6 of all weights; that counts for a sum, for
/// the sum of all, and for where a share ends.
const SLACK: f64 = 1e-5;

const DRAWS: &str = "graph @draws(
  %x: f32[5, V], %t: f32[], %k: i64[], %p: f32[], %u: f32[5, 1]
) where V in 1..=200000 {
  %y = sample %x, %t, %k, %p, %u : i64[5, 1]
  return %y
}";

fn session(device: &dyn Device) -> Session {
    let graph = parse(DRAWS).unwrap().remove(0);
    let program = compile(graph, device.target(), &CompileOptions::default()).unwrap().program;
    Executable::load(device, program, &WeightTable::default()).unwrap().session(0).unwrap()
}

/// Every device there is.
fn for_each_device(check: impl Fn(&dyn Device)) {
    for subject in subjects(&[], &[]).unwrap() {
        match &subject.opened {
            Ok(device) if matches!(&*subject.variant, "plain" | "tcgen05" | "wgmma") => {
                check(&**device)
            }
            Ok(_) => {}
            Err(reason) => skipped(&format!("{}: {reason}", subject.name())),
        }
    }
}

/// True if the number falls into the token's part of the unit interval, or as close as roundings make it.
fn is_near(draw: &Draw, logits: &[f64], token: i64) -> bool {
    let shares = [draw.top_p, draw.top_p * (1.0 - SLACK), draw.top_p * (1.0 + SLACK)];
    shares.into_iter().any(|top_p| {
        let kept = Draw { top_p, ..*draw }.kept(logits);
        let mass: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        kept.iter().any(|(index, weight)| {
            let start = sum / mass;
            sum += weight;
            let range = start - SLACK..sum / mass + SLACK;
            *index as i64 == token && range.contains(&draw.uniform)
        })
    })
}

#[test]
fn devices_draw_what_the_interpreter_draws() {
    for_each_device(|device| {
        let mut random = RandomValues::new(11);
        let mut session = session(device);
        let mut real = |low: i32, high: i32| {
            let steps = 1 << 24;
            f64::from(low) + f64::from(high - low) * random.below(steps) as f64 / steps as f64
        };
        let (mut same, mut drawn) = (0, 0);
        for length in [2, 40, 1000, 20_000, 128_256] {
            for (temperature, top_k, top_p) in [
                (1.0, 0, 1.0),
                (0.25, 0, 1.0),
                (0.75, 50, 1.0),
                (0.75, 50, 0.875),
                (1.5, 0, 0.9375),
                (4.0, 0, 0.5),
                (1.0, 3000, 1.0),
                (1.0, 9000, 0.75),
                (0.5, 1, 0.5),
            ] {
                // The sum of four is about normal; every second row has many equal logits.
                let logits: Vec<f32> = (0..ROWS * length)
                    .map(|at| {
                        let sum = (0..4).map(|_| real(-4, 4)).sum::<f64>();
                        let is_rounded = at / length % 2 == 1;
                        (if is_rounded { (sum * 4.0).round() / 4.0 } else { sum }) as f32
                    })
                    .collect();
                let uniforms: Vec<f32> = (0..ROWS).map(|_| real(0, 1) as f32).collect();
                let arguments = [
                    HostTensor::from_f32(&[ROWS, length], &logits).unwrap(),
                    HostTensor::from_f32(&[], &[temperature]).unwrap(),
                    HostTensor::from_i64(&[], &[top_k]).unwrap(),
                    HostTensor::from_f32(&[], &[top_p]).unwrap(),
                    HostTensor::from_f32(&[ROWS, 1], &uniforms).unwrap(),
                ];
                let tokens = session.run(&arguments).unwrap().remove(0).to_i64().unwrap();
                assert_eq!(session.run(&arguments).unwrap()[0].to_i64().unwrap(), tokens);
                for (row, token) in tokens.into_iter().enumerate() {
                    let logits: Vec<f64> =
                        logits[row * length..][..length].iter().map(|x| f64::from(*x)).collect();
                    let (temperature, top_p) = (f64::from(temperature), f64::from(top_p));
                    let uniform = f64::from(uniforms[row]);
                    let draw = Draw { temperature, top_k, top_p, uniform };
                    drawn += 1;
                    same += usize::from(draw.choose(&logits) == usize::try_from(token).ok());
                    let near = is_near(&draw, &logits, token);
                    assert!(near, "{}: {length}, {draw:?}: {token}", device.name());
                }
            }
        }
        // Numbers that fall between two tokens are rare.
        assert!(same * 50 >= drawn * 49, "{}: {same} of {drawn}", device.name());
    });
}

fn text(session: &mut ModelSession, sampling: Sampling) -> Vec<u32> {
    session.reset();
    let options = GenerateOptions { max_new_tokens: 24, sampling, eos_ids: vec![] };
    generate(session, &[859, 26, 199], &options, &mut |_| Continue::Yes).unwrap().token_ids
}

/// A program that draws gives the text that the host draws, again and again; and the most likely text.
#[test]
fn programs_draw_the_text_of_a_seed() {
    let model = Model::open(models::demo()).unwrap();
    for_each_device(|device| {
        let [mut drawn, mut chosen] = [LogitRows::Sampled, LogitRows::Last].map(|rows| {
            model.compile(device, rows, &CompileOptions::default()).unwrap().session(64).unwrap()
        });
        let sampling =
            |seed| Sampling { temperature: 0.9, top_k: Some(60), top_p: Some(0.95), seed };
        let first = text(&mut drawn, sampling(3));
        assert_eq!(first, text(&mut chosen, sampling(3)), "{}", device.name());
        assert_eq!(first, text(&mut drawn, sampling(3)));
        assert_ne!(first, text(&mut drawn, sampling(4)));
        let flat = Sampling { temperature: 1.2, top_k: None, top_p: None, seed: 5 };
        assert_eq!(text(&mut drawn, flat.clone()), text(&mut chosen, flat));
        assert_eq!(text(&mut drawn, Sampling::greedy()), text(&mut chosen, Sampling::greedy()));
        for session in [&mut drawn, &mut chosen] {
            session.reset();
        }
        let prompts = [859, 26, 859, 199];
        assert_eq!(
            drawn.feed_greedy(&prompts, 2).unwrap(),
            chosen.feed_greedy(&prompts, 2).unwrap()
        );
    });
}
