//! Token counts of the providers, normalised to one meaning.
//!
//! The four dialects count different things under similar names: Anthropic's input excludes cached
//! tokens, Gemini's output excludes thoughts. The names do not collide, so one reader handles all
//! dialects.

use std::ops::Range;

use crate::{json::members_unchecked, metadata::milliseconds};

/// Tokens of one call. `cached`, `cache_written` and `input_audio` are parts of `input`;
/// `reasoning` and `output_audio` are parts of `output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input tokens.
    pub input: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cached: u64,
    /// Input tokens written to the provider's prompt cache.
    pub cache_written: u64,
    /// Input tokens that were audio.
    pub input_audio: u64,
    /// All output tokens.
    pub output: u64,
    /// Output tokens used for reasoning.
    pub reasoning: u64,
    /// Output tokens that were audio.
    pub output_audio: u64,
    /// Transcribed audio in milliseconds, if it is billed instead of tokens.
    pub duration_ms: u64,
}

impl Tokens {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(&self, other: &Tokens) -> Tokens {
        Tokens {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            cache_written: self.cache_written.saturating_add(other.cache_written),
            input_audio: self.input_audio.saturating_add(other.input_audio),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            output_audio: self.output_audio.saturating_add(other.output_audio),
            duration_ms: self.duration_ms.saturating_add(other.duration_ms),
        }
    }
}

/// Usage as a provider reported it, under its own names. A later report replaces an earlier one
/// field by field: running totals are not added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// OpenAI Chat Completions; includes cached tokens.
    prompt: Option<u64>,
    /// Responses (includes cached tokens) or Anthropic (excludes them).
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_written: Option<u64>,
    /// Anthropic; not included in `input`.
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    input_audio: Option<u64>,
    output_audio: Option<u64>,
    reasoning: Option<u64>,
    duration_ms: Option<u64>,
    gemini: Gemini,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Gemini {
    prompt: Option<u64>,
    tool_prompt: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    total: Option<u64>,
}

impl Reported {
    /// Reads a usage object; fields that it does not have keep their values.
    pub(crate) fn read(&mut self, usage: &[u8]) {
        // A malformed usage object cannot occur in a JSON answer; ignoring it loses nothing.
        let _ = members_unchecked(usage, |member| {
            let name = &usage[member.name];
            let value = &usage[member.value];
            match name {
                b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details" => {
                    self.read_input_details(value);
                }
                b"completion_tokens_details"
                | b"output_tokens_details"
                | b"output_token_details" => self.read_output_details(value),
                b"promptTokensDetails" => put(&mut self.input_audio, audio_in(value)),
                b"candidatesTokensDetails" | b"responseTokensDetails" => {
                    put(&mut self.output_audio, audio_in(value));
                }
                b"seconds" => put(&mut self.duration_ms, milliseconds(value)),
                _ => {
                    if let Some(place) = self.place(name) {
                        put(place, number(value));
                    }
                }
            }
        });
    }

    fn place(&mut self, name: &[u8]) -> Option<&mut Option<u64>> {
        Some(match name {
            b"prompt_tokens" => &mut self.prompt,
            b"input_tokens" => &mut self.input,
            b"completion_tokens" | b"output_tokens" => &mut self.output,
            b"total_tokens" => &mut self.total,
            b"cached_tokens" | b"prompt_cache_hit_tokens" => &mut self.cached,
            b"cache_read_input_tokens" => &mut self.cache_read,
            b"cache_creation_input_tokens" => &mut self.cache_creation,
            b"promptTokenCount" => &mut self.gemini.prompt,
            b"toolUsePromptTokenCount" => &mut self.gemini.tool_prompt,
            b"candidatesTokenCount" | b"responseTokenCount" => &mut self.gemini.candidates,
            b"thoughtsTokenCount" => &mut self.gemini.thoughts,
            b"totalTokenCount" => &mut self.gemini.total,
            b"cachedContentTokenCount" => &mut self.cached,
            _ => return None,
        })
    }

    fn read_input_details(&mut self, details: &[u8]) {
        let _ = members_unchecked(details, |member| {
            let place = match &details[member.name] {
                b"cached_tokens" => &mut self.cached,
                b"cache_write_tokens" | b"cache_creation_tokens" => &mut self.cache_written,
                b"audio_tokens" => &mut self.input_audio,
                _ => return,
            };
            put(place, number(&details[member.value]));
        });
    }

    fn read_output_details(&mut self, details: &[u8]) {
        let _ = members_unchecked(details, |member| {
            let place = match &details[member.name] {
                b"reasoning_tokens" | b"thinking_tokens" => &mut self.reasoning,
                b"audio_tokens" => &mut self.output_audio,
                _ => return,
            };
            put(place, number(&details[member.value]));
        });
    }

    /// The normalised tokens; `None` if nothing was reported.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        if *self == Reported::default() {
            return None;
        }
        let given = |count: Option<u64>| count.unwrap_or(0);
        let mut tokens = if self.gemini != Gemini::default() {
            self.gemini.tokens()
        } else {
            Tokens {
                input: given(self.prompt.or(self.input)),
                cached: given(self.cached.or(self.cache_read)),
                cache_written: given(self.cache_written.or(self.cache_creation)),
                output: given(self.output),
                reasoning: given(self.reasoning),
                ..Tokens::default()
            }
        };
        tokens.cached = given(self.cached.or(self.cache_read));
        tokens.input_audio = given(self.input_audio);
        tokens.output_audio = given(self.output_audio);
        tokens.duration_ms = given(self.duration_ms);
        if self.prompt.is_none() && (self.cache_read.is_some() || self.cache_creation.is_some()) {
            let beside = given(self.cache_read).saturating_add(given(self.cache_creation));
            tokens.input = tokens.input.saturating_add(beside);
        }
        // Some servers do not include reasoning in the output; the total reveals it.
        let apart = tokens.input.saturating_add(tokens.output).saturating_add(tokens.reasoning);
        if self.reasoning.is_some_and(|n| n > 0) && self.total == Some(apart) {
            tokens.output = tokens.output.saturating_add(tokens.reasoning);
        }
        Some(tokens)
    }
}

impl Gemini {
    fn tokens(&self) -> Tokens {
        let given = |count: Option<u64>| count.unwrap_or(0);
        let reasoning = given(self.thoughts);
        let input = given(self.prompt).saturating_add(given(self.tool_prompt));
        let counted = given(self.candidates).saturating_add(reasoning);
        // The total is more reliable: some answers leave a part out of the counts, and some count
        // the thoughts twice.
        let by_total = self.total.and_then(|total| total.checked_sub(input)).filter(|n| *n > 0);
        Tokens { input, output: by_total.unwrap_or(counted), reasoning, ..Tokens::default() }
    }
}

fn put(place: &mut Option<u64>, value: Option<u64>) {
    if value.is_some() {
        *place = value;
    }
}

/// Reads a count, also if written as `12.0`; `None` if it is not a number or negative.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<u64>().ok().or_else(|| {
        let float = text.parse::<f64>().ok().filter(|float| (0.0..1e15).contains(float))?;
        // The value is in range: only a fraction is cut off.
        Some(float as u64)
    })
}

/// Returns the audio tokens in Gemini's list of `{modality, tokenCount}`.
fn audio_in(details: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Modality {
        modality: String,
        #[serde(default)]
        token_count: u64,
    }
    memchr::memmem::find(details, b"AUDIO")?;
    let all: Vec<Modality> = serde_json::from_slice(details).ok()?;
    let audio = all.iter().filter(|part| part.modality == "AUDIO");
    Some(audio.fold(0, |sum: u64, part| sum.saturating_add(part.token_count)))
}

/// Returns the range of the member `name` of the object `text`; for small objects only.
pub(crate) fn member(text: &[u8], name: &str) -> Option<Range<usize>> {
    let mut found = None;
    members_unchecked(text, |member| {
        if member.is(text, name) {
            found = Some(member.value);
        }
    })
    .ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(usage: &str, [input, cached, written, output, reasoning]: [u64; 5]) {
        let mut reported = Reported::default();
        reported.read(usage.as_bytes());
        let want = Tokens {
            input,
            cached,
            cache_written: written,
            output,
            reasoning,
            ..Tokens::default()
        };
        assert_eq!(reported.tokens(), Some(want), "{usage}");
    }

    #[test]
    fn every_dialect_comes_to_the_same_meaning() {
        check(
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
                "prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":7}}"#,
            [100, 40, 5, 20, 7],
        );
        check(
            r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},
                "output_tokens":20,"output_tokens_details":{"reasoning_tokens":7}}"#,
            [100, 40, 0, 20, 7],
        );
        check(
            r#"{"input_tokens":55,"cache_read_input_tokens":40,"cache_creation_input_tokens":5,
                "output_tokens":20,"output_tokens_details":{"thinking_tokens":7}}"#,
            [100, 40, 5, 20, 7],
        );
        check(
            r#"{"promptTokenCount":90,"toolUsePromptTokenCount":10,"cachedContentTokenCount":40,
                "candidatesTokenCount":13,"thoughtsTokenCount":7,"totalTokenCount":120}"#,
            [100, 40, 0, 20, 7],
        );
    }

    #[test]
    fn habits_of_compatible_servers_are_known() {
        check(r#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 0, 0, 0]);
        check(r#"{"prompt_tokens":8,"prompt_cache_hit_tokens":3}"#, [8, 3, 0, 0, 0]);
        // Reasoning beside the output.
        check(
            r#"{"prompt_tokens":8,"completion_tokens":2,"total_tokens":15,
                "completion_tokens_details":{"reasoning_tokens":5}}"#,
            [8, 0, 0, 7, 5],
        );
        // Anthropic's names beside OpenAI's.
        check(
            r#"{"prompt_tokens":8,"cache_read_input_tokens":3,"completion_tokens":1}"#,
            [8, 3, 0, 1, 0],
        );
        check(r#"{"prompt_tokens":8.0,"completion_tokens":null}"#, [8, 0, 0, 0, 0]);
        check(r#"{"prompt_tokens":8,"completion_tokens":-1,"x":{"y":[]}}"#, [8, 0, 0, 0, 0]);
        check(r#"{"promptTokenCount":8,"totalTokenCount":11}"#, [8, 0, 0, 3, 0]);
        // Thoughts among the candidates' tokens, and a total of before there were any.
        check(
            r#"{"promptTokenCount":8,"candidatesTokenCount":5,"thoughtsTokenCount":2,
                "totalTokenCount":13}"#,
            [8, 0, 0, 5, 2],
        );
        check(
            r#"{"promptTokenCount":8,"candidatesTokenCount":3,"totalTokenCount":8}"#,
            [8, 0, 0, 3, 0],
        );
    }

    #[test]
    fn audio_is_told_apart() {
        let mut reported = Reported::default();
        reported.read(
            br#"{"promptTokenCount":30,"totalTokenCount":40,"candidatesTokenCount":10,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":20},
                                   {"modality":"AUDIO","tokenCount":10}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}"#,
        );
        let tokens = reported.tokens().unwrap();
        assert_eq!((tokens.input_audio, tokens.output_audio), (10, 9));

        let mut reported = Reported::default();
        reported.read(
            br#"{"input_tokens":5,"input_token_details":{"audio_tokens":4},"output_tokens":3,
            "output_token_details":{"audio_tokens":2}}"#,
        );
        let tokens = reported.tokens().unwrap();
        assert_eq!((tokens.input_audio, tokens.output_audio), (4, 2));
    }

    #[test]
    fn a_later_report_replaces_field_by_field() {
        let mut reported = Reported::default();
        reported.read(br#"{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}"#);
        reported.read(br#"{"output_tokens":9}"#);
        let tokens = reported.tokens().unwrap();
        assert_eq!((tokens.input, tokens.cached, tokens.output), (14, 4, 9));
    }

    #[test]
    fn time_may_be_billed_instead_of_tokens() {
        let mut reported = Reported::default();
        reported.read(br#"{"type":"duration","seconds":3.5}"#);
        let tokens = Tokens { duration_ms: 3500, ..Tokens::default() };
        assert_eq!(reported.tokens(), Some(tokens));
    }

    #[test]
    fn nothing_reported_is_not_zero() {
        for usage in ["{}", "null", "", r#"{"type":"duration"}"#] {
            let mut reported = Reported::default();
            reported.read(usage.as_bytes());
            assert_eq!(reported.tokens(), None, "{usage}");
        }
    }
}
