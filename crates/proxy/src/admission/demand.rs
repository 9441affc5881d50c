//! What a call asks for, in the units that providers bill by, as far as the request tells it: what
//! goes in, counted from its bytes; what comes out, as much as it allows the model to write. Where
//! it allows any amount, so much is guessed. What calls cost is `limits::estimate`'s business.

use dialect::form_text;
use domain::{Dialect, Work, log::Usage};

use crate::{
    door::Door, http1::RequestHead, limits::Amount, request::inbound::Call, routing::Plan,
    usage::BYTES_PER_TOKEN,
};

/// So many tokens a model is guessed to write where the call does not say how many it may.
const OUTPUT_GUESS: u64 = 4096;
/// A text longer than this without a blank at its beginning is no text but a file.
const FILE_MIN: usize = 2048;
/// So many tokens a file is guessed to be: about an image of a megapixel.
const FILE_TOKENS: u64 = 1600;
/// So many tokens an image that is made is guessed to be: one of 1024 by 1024 of high quality at
/// OpenAI.
const IMAGE_TOKENS: u64 = 4160;
/// Bytes of a second of recorded speech: 32 kbit/s. Most recordings have more, so that the time is
/// rather guessed too long.
const AUDIO_BYTES_PER_SECOND: u64 = 4_000;
/// Tokens of a second of recorded speech, and of what is written down of it.
const AUDIO_TOKENS: (u64, u64) = (10, 4);
/// How long a recording is guessed to be whose size is not known, in seconds.
const AUDIO_GUESS: u64 = 60;
/// Where calls say how many tokens the model may write.
const OUTPUT_FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// What a call asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    pub(crate) work: Work,
    /// Whether the numbers below were read from the request; they are zero otherwise.
    pub(crate) measured: bool,
    pub(crate) input: u64,
    pub(crate) output: Amount,
    pub(crate) characters: u64,
    pub(crate) images: u64,
    pub(crate) duration_ms: Amount,
}

impl Demand {
    /// What `call` asks for. Without `metered` only what does not cost much to read is read: of
    /// calls that are counted by what passes, nothing but the kind of work.
    pub(crate) fn of(call: &Call, head: &RequestHead, plan: &Plan, metered: bool) -> Self {
        let work = work(call, head, plan);
        let passes = matches!(work, Work::Text | Work::Embedding | Work::Free | Work::Other);
        if passes && !metered {
            return Self { work, ..Self::default() };
        }
        Self::measured(work, call, head)
    }

    /// What a call of this kind asks for, read from the request.
    pub(crate) fn measured(work: Work, call: &Call, head: &RequestHead) -> Self {
        let body = Body {
            bytes: call.held(),
            kind: head.text("content-type").unwrap_or_default(),
            length: head.content_length,
            dialect: call.dialect(),
            websocket: call.websocket,
            long_running: call.door.path(head).ends_with(":predictLongRunning"),
        };
        Self::read(work, &body)
    }

    fn read(work: Work, body: &Body<'_>) -> Self {
        let demand = Self { work, measured: true, ..Self::default() };
        match work {
            Work::Free => demand,
            Work::Other if body.websocket => Self { output: Amount::guess(OUTPUT_GUESS), ..demand },
            Work::Text | Work::Other => {
                let allowed = allowed_out(body.bytes, body.dialect).map(Amount::sure);
                let output = allowed.unwrap_or(Amount::guess(OUTPUT_GUESS));
                Self { input: tokens_in(body.bytes), output, ..demand }
            }
            Work::Embedding => Self { input: tokens_in(body.bytes), ..demand },
            Work::Speech => {
                let characters = body.characters();
                let (input, output) = (characters / BYTES_PER_TOKEN, characters * 3 / 2);
                Self { characters, input, output: Amount::guess(output), ..demand }
            }
            Work::Image => {
                let images = body.number(&["n"], &["sampleCount"]).unwrap_or(1.0) as u64;
                let output = Amount::guess(images.saturating_mul(IMAGE_TOKENS));
                let input = if body.is_form() { FILE_TOKENS } else { tokens_in(body.bytes) };
                Self { images, input, output, ..demand }
            }
            Work::Transcription => {
                let held = (!body.bytes.is_empty()).then_some(body.bytes.len() as u64);
                let size = held.or(body.length);
                let seconds = size.map_or(AUDIO_GUESS, |size| size / AUDIO_BYTES_PER_SECOND + 1);
                let (input, output) = AUDIO_TOKENS;
                let input = seconds.saturating_mul(input);
                let output = Amount::guess(seconds.saturating_mul(output));
                let duration_ms = Amount::guess(seconds.saturating_mul(1000));
                Self { input, output, duration_ms, ..demand }
            }
            Work::Video => {
                let usual = if body.long_running { 8.0 } else { 4.0 };
                let seconds = body.number(&["seconds"], &["durationSeconds"]).unwrap_or(usual);
                let videos = body.number(&["n"], &["sampleCount"]).unwrap_or(1.0);
                let duration_ms = Amount::sure((seconds * videos * 1000.0) as u64);
                Self { duration_ms, ..demand }
            }
        }
    }

    /// As much as the call may use, with or without what is guessed. Where it is billed `directly`
    /// by characters, images or time, no tokens come out.
    pub(crate) fn usage(&self, guess: bool, directly: bool) -> Usage {
        Usage {
            input: self.input,
            output: if directly { 0 } else { self.output.total(guess) },
            ..self.direct(guess)
        }
    }

    /// The part of it that is not counted in tokens.
    pub(crate) fn direct(&self, guess: bool) -> Usage {
        Usage {
            characters: self.characters,
            images: self.images,
            duration_ms: self.duration_ms.total(guess),
            ..Usage::default()
        }
    }

    /// About as much as the call used whose answer nobody saw: a model seldom writes as much as it
    /// may.
    pub(crate) fn likely(&self, directly: bool) -> Usage {
        let all = self.usage(true, directly);
        Usage { output: all.output.min(OUTPUT_GUESS.max(self.output.guessed)), ..all }
    }
}

/// What kind of work a call is; free only where it is at every place that may be asked.
fn work(call: &Call, head: &RequestHead, plan: &Plan) -> Work {
    if call.generates_text() {
        return Work::Text;
    }
    if call.websocket {
        return Work::Other;
    }
    let path = match &call.door {
        Door::Opaque { path, .. } => path,
        door => door.path(head),
    };
    let works = plan.targets.iter().map(|t| t.entry.upstream.work(head.method(), path));
    works.fold(Work::Free, |all, one| if all == Work::Free { one } else { all })
}

/// The body of a request that says how much is wanted.
#[derive(Default)]
struct Body<'a> {
    bytes: &'a [u8],
    /// Its `content-type`.
    kind: &'a str,
    /// Its length as it was declared, where it is not held.
    length: Option<u64>,
    dialect: Option<Dialect>,
    websocket: bool,
    long_running: bool,
}

impl Body<'_> {
    fn is_form(&self) -> bool {
        self.kind.trim_start().to_ascii_lowercase().starts_with("multipart/")
    }

    /// How many characters are to be spoken; as many as there are bytes where it is not said.
    fn characters(&self) -> u64 {
        let mut text = None;
        let _ = dialect::members(self.bytes, |member| {
            if member.is(self.bytes, "input") || member.is(self.bytes, "text") {
                text = serde_json::from_slice::<String>(&self.bytes[member.value]).ok();
            }
        });
        text.map_or(self.bytes.len(), |text| text.chars().count()) as u64
    }

    /// A number, under one of these names at the top or of those among the `parameters`.
    fn number(&self, names: &[&str], parameters: &[&str]) -> Option<f64> {
        let read = |text: &str| text.trim_matches(['"', ' ']).parse::<f64>().ok();
        let known = |number: &f64| (0.0..=1e6).contains(number);
        if self.is_form() {
            let found = names.iter().find_map(|name| form_text(self.kind, self.bytes, name));
            return found.and_then(read).filter(known);
        }
        let mut found = None;
        let _ = dialect::members(self.bytes, |member| {
            let value = &self.bytes[member.value.clone()];
            if names.iter().any(|name| member.is(self.bytes, name)) {
                found = std::str::from_utf8(value).ok().and_then(read);
            } else if member.is(self.bytes, "parameters") {
                let _ = dialect::members(value, |inner| {
                    if parameters.iter().any(|name| inner.is(value, name)) {
                        found = std::str::from_utf8(&value[inner.value]).ok().and_then(read);
                    }
                });
            }
        });
        found.filter(known)
    }
}

/// A token for every four bytes, but files that stand in the body by their number.
fn tokens_in(body: &[u8]) -> u64 {
    let (mut bytes, mut files) = (body.len(), 0);
    if body.len() > FILE_MIN {
        for part in body.split(|byte| *byte == b'"') {
            if part.len() > FILE_MIN && !part[..FILE_MIN].contains(&b' ') {
                bytes -= part.len();
                files += 1;
            }
        }
    }
    (bytes as u64).div_ceil(BYTES_PER_TOKEN) + files * FILE_TOKENS
}

/// How many tokens the model may write, where the call says so.
fn allowed_out(body: &[u8], dialect: Option<Dialect>) -> Option<u64> {
    let (mut most, mut answers) = (None, 1);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<u64>().ok();
    let gemini = dialect == Some(Dialect::Gemini);
    // What is no JSON says nothing.
    let _ = dialect::members(body, |member| {
        let value = &body[member.value.clone()];
        if OUTPUT_FIELDS.iter().any(|name| member.is(body, name)) {
            most = number(value).or(most);
        } else if member.is(body, "n") {
            answers = number(value).unwrap_or(1);
        } else if gemini
            && ["generationConfig", "generation_config"].iter().any(|n| member.is(body, n))
        {
            let _ = dialect::members(value, |inner| {
                let said = &value[inner.value.clone()];
                let is = |names: [&str; 2]| names.iter().any(|name| inner.is(value, name));
                if is(["maxOutputTokens", "max_output_tokens"]) {
                    most = number(said).or(most);
                } else if is(["candidateCount", "candidate_count"]) {
                    answers = number(said).unwrap_or(1);
                }
            });
        }
    });
    most.map(|most| most.saturating_mul(answers.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_may_write_is_read_from_the_call() {
        let openai = Some(Dialect::OpenaiChat);
        for (dialect, body, most) in [
            (openai, r#"{"max_tokens": 100}"#, Some(100)),
            (openai, r#"{"n": 3, "max_completion_tokens": 50}"#, Some(150)),
            (Some(Dialect::OpenaiResponses), r#"{"max_output_tokens":7}"#, Some(7)),
            (Some(Dialect::Gemini), r#"{"generationConfig":{"maxOutputTokens":9}}"#, Some(9)),
            (openai, r#"{"messages": [{"max_tokens": 5}]}"#, None),
            (openai, r#"{"max_tokens": null}"#, None),
            (openai, "not JSON", None),
        ] {
            assert_eq!(allowed_out(body.as_bytes(), dialect), most, "{body}");
        }
    }

    #[test]
    fn a_file_in_a_body_does_not_count_by_its_bytes() {
        assert_eq!(tokens_in(&[b'x'; 400]), 100);
        let image = format!(r#"{{"text":"what is this?","url":"{}"}}"#, "A".repeat(1 << 20));
        assert!((1600..1620).contains(&tokens_in(image.as_bytes())));
        let long = "a word ".repeat(1000);
        assert_eq!(tokens_in(long.as_bytes()), 1750);
    }

    fn asked(work: Work, kind: &str, body: &str) -> (u64, u64, u64) {
        let body = Body { bytes: body.as_bytes(), kind, ..Body::default() };
        let usage = Demand::read(work, &body).usage(true, true);
        (usage.characters, usage.images, usage.duration_ms)
    }

    #[test]
    fn what_is_not_billed_by_tokens_is_read_from_the_call() {
        let json = "application/json";
        let form = "multipart/form-data; boundary=x";
        let part = |name: &str, value: &str| {
            format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        for (work, kind, body, expected) in [
            (Work::Speech, json, r#"{"input":"h\u00e9llo","voice":"a"}"#.to_owned(), (5, 0, 0)),
            (Work::Image, json, r#"{"prompt":"a cat"}"#.to_owned(), (0, 1, 0)),
            (Work::Image, json, r#"{"prompt":"a cat","n":3}"#.to_owned(), (0, 3, 0)),
            (Work::Image, json, r#"{"parameters":{"sampleCount":4}}"#.to_owned(), (0, 4, 0)),
            (Work::Image, form, format!("{}--x--", part("n", "2")), (0, 2, 0)),
            (Work::Video, json, r#"{"seconds":"12"}"#.to_owned(), (0, 0, 12_000)),
            (Work::Video, json, "{}".to_owned(), (0, 0, 4_000)),
            (Work::Transcription, form, "x".repeat(8_000), (0, 0, 3_000)),
        ] {
            assert_eq!(asked(work, kind, &body), expected, "{work:?} {body:.40}");
        }
    }
}
