//! A compiled model inside another program: `cargo run --release --example embed`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use minuend::{CompileOptions, Continue, GenerateOptions, LogitRows, Model, Sampling};

fn main() -> Result<(), minuend::Error> {
    let model = Model::open(minuend_examples::demo_model())?;
    let device = minuend::open_device("auto", 0)?;
    let compiled = model.compile(&*device, LogitRows::Sampled, &CompileOptions::default())?;
    let Some(tokenizer) = model.tokenizer()? else { return Ok(()) };

    let sampling = Sampling { temperature: 0.8, top_k: Some(40), top_p: None, seed: 1 };
    let options =
        GenerateOptions { max_new_tokens: 100, sampling, eos_ids: model.eos_ids().to_vec() };
    let prompt = tokenizer.encode("JULIET:\n")?;
    let mut session = compiled.session(prompt.len() + options.max_new_tokens)?;
    let generation =
        minuend::generate(&mut session, &prompt, &options, &mut |_token| Continue::Yes)?;

    println!("{}", tokenizer.decode(&generation.token_ids)?);
    Ok(())
}
