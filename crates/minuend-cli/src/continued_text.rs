//! Text that a model adds to a prompt: shown as it grows, and what there is to tell of it.

use std::time::Duration;

use minuend::ir::DType;
use minuend::{Continue, Finish, Generation, TokenStream, Tokenizer};
use serde_json::json;

use crate::failure::Failure;
use crate::output;
use crate::units::{millis, per_second};

/// Generates, and prints each piece of text as soon as it is complete if `is_shown`: token ids where there is
/// no tokenizer, and so no text.
pub(crate) fn shown(
    tokenizer: Option<&Tokenizer>,
    prompt: &[u32],
    is_shown: bool,
    generate: impl FnOnce(&mut dyn FnMut(u32) -> Continue) -> Result<Generation, minuend::Error>,
) -> Result<(Generation, Option<String>), Failure> {
    let mut stream = tokenizer.map(Tokenizer::stream);
    // Whether a token starts with a space depends on the tokens before it.
    for id in prompt {
        if let Some(stream) = &mut stream {
            stream.push(*id)?;
        }
    }
    let mut writer = Writer { stream, text: String::new(), is_shown };
    let mut failure = None;
    let generation = generate(&mut |token| match writer.push(token) {
        Ok(()) => Continue::Yes,
        Err(error) => {
            failure = Some(error);
            Continue::No
        }
    })?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok((generation, writer.finish()?)),
    }
}

/// Text that grows by tokens.
struct Writer<'t> {
    stream: Option<TokenStream<'t>>,
    text: String,
    is_shown: bool,
}

impl Writer<'_> {
    fn push(&mut self, token: u32) -> Result<(), Failure> {
        let piece = match &mut self.stream {
            Some(stream) => stream.push(token)?,
            None if self.text.is_empty() => Some(token.to_string()),
            None => Some(format!(",{token}")),
        };
        self.write(piece)
    }

    fn write(&mut self, piece: Option<String>) -> Result<(), Failure> {
        let piece = piece.unwrap_or_default();
        self.text.push_str(&piece);
        if self.is_shown && !piece.is_empty() { output::print(&piece) } else { Ok(()) }
    }

    /// Writes a character that stayed incomplete, and gives all text; `None` if there were token ids only.
    fn finish(mut self) -> Result<Option<String>, Failure> {
        let Some(stream) = self.stream.take() else { return Ok(None) };
        let rest = stream.finish()?;
        self.write(rest)?;
        Ok(Some(self.text))
    }
}

/// A text behind its prompt, and what it took beside the generation itself.
pub(crate) struct Continued<'r> {
    pub(crate) prompt: &'r [u32],
    /// `None` if there were token ids only.
    pub(crate) text: Option<String>,
    pub(crate) device: &'r str,
    /// Type of the activations.
    pub(crate) dtype: DType,
    /// For files and device.
    pub(crate) load_time: Duration,
    /// For graph, passes and plan.
    pub(crate) compile_time: Duration,
    pub(crate) peak_bytes: u64,
}

impl Continued<'_> {
    /// Tells everything as an object on standard output, or ends the text that was shown there and tells the
    /// speed on standard error, where `log_notes` goes in both cases.
    pub(crate) fn tell(
        &self,
        generation: &Generation,
        as_json: bool,
        log_notes: impl FnOnce(),
    ) -> Result<(), Failure> {
        if !as_json {
            output::print("\n")?;
        }
        log_notes();
        if !as_json {
            self.log_speed(generation);
            return Ok(());
        }
        output::print_json(&json!({
            "prompt_ids": self.prompt,
            "token_ids": generation.token_ids,
            "text": self.text,
            "finish": finish_name(generation.finish),
            "device": self.device,
            "dtype": self.dtype.name(),
            "load_ms": millis(self.load_time),
            "compile_ms": millis(self.compile_time),
            "prefill_ms": millis(generation.prefill_time),
            "decode_tokens_per_s": generation.decode_tokens_per_s(),
            "peak_bytes": self.peak_bytes,
        }))
    }

    fn log_speed(&self, generation: &Generation) {
        let tokens = self.prompt.len();
        let prefill = per_second(tokens, generation.prefill_time);
        let decode = match generation.decode_tokens_per_s() {
            Some(rate) => format!("{rate:.1} tokens/s"),
            None => "no step".to_string(),
        };
        output::log(&format!(
            "{}, {}: ready in {:.0} ms, prefill {prefill:.1} tokens/s ({tokens} tokens), decode \
             {decode} ({} steps), stopped by {}",
            self.device,
            self.dtype,
            millis(self.load_time + self.compile_time),
            generation.decode_steps,
            finish_name(generation.finish),
        ));
    }
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::EndOfText => "end_of_text",
        Finish::Length => "length",
        Finish::Context => "context",
        Finish::Stopped => "stopped",
    }
}
