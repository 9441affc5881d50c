//! Metadata of an answer: the model that answered, the service tier, and the usage object as the
//! provider wrote it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{json::members_unchecked, tokens::Reported, usage_scanner::scan};

/// Largest usage object that is kept, in bytes.
const USAGE_MAX: usize = 4096;

/// Longest model, tier or id that is kept, in bytes.
const NAME_MAX: usize = 256;

/// The members of usage objects that hold the service tier: Anthropic's, and Gemini's on Vertex AI.
static TIERS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new(b"\"service_tier\""), Finder::new(b"\"trafficType\"")]);

/// Metadata that a provider sent with an answer. Members that it did not send are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerMetadata {
    model: Option<Box<str>>,
    tier: Option<Box<str>>,
    id: Option<Box<str>>,
    /// The first and the last usage object: Anthropic reports input tokens in the first event of a
    /// stream and output tokens in the last one.
    first: Vec<u8>,
    last: Vec<u8>,
    duration_ms: Option<u64>,
    pending: bool,
}

impl AnswerMetadata {
    /// The model that answered.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The service tier that was applied.
    pub fn tier(&self) -> Option<&str> {
        self.tier.as_deref()
    }

    /// The id of the answer, where it also identifies the request (Gemini).
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The duration of the transcribed audio, in milliseconds.
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_ms
    }

    /// Whether the answer is the acknowledgement of a background response, which is still running.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// The usage object as JSON, as the provider wrote it. If there were several, the members of
    /// the last one follow those that only an earlier one has.
    pub fn usage(&self) -> Option<String> {
        if self.last.is_empty() {
            return None;
        }
        let mut names: Vec<&[u8]> = Vec::new();
        members_unchecked(&self.last, |member| names.push(&self.last[member.name])).ok()?;
        let mut earlier = Vec::new();
        let _ = members_unchecked(&self.first, |member| {
            if !names.contains(&&self.first[member.name.clone()]) {
                // From the quote before the name to the end of the value.
                earlier.extend_from_slice(&self.first[member.name.start - 1..member.value.end]);
                earlier.push(b',');
            }
        });
        if names.is_empty() {
            earlier.pop();
        }
        let whole = [b"{", earlier.as_slice(), &self.last[1..]].concat();
        String::from_utf8(whole).ok()
    }

    /// Keeps a member of the answer if it is metadata.
    pub(crate) fn member(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"model" | b"modelVersion" => keep(&mut self.model, value),
            b"service_tier" | b"serviceTier" => keep(&mut self.tier, value),
            b"responseId" => keep(&mut self.id, value),
            b"status" => self.pending = matches!(value, b"\"queued\"" | b"\"in_progress\""),
            b"duration" => self.duration_ms = milliseconds(value).or(self.duration_ms),
            _ => {}
        }
    }

    /// Keeps a usage object.
    pub(crate) fn usage_object(&mut self, object: &[u8]) {
        if !object.starts_with(b"{") || object.len() > USAGE_MAX {
            return;
        }
        if self.first.is_empty() {
            self.first.extend_from_slice(object);
        }
        self.last.clear();
        self.last.extend_from_slice(object);
        for name in TIERS.iter() {
            if let Some(at) = name.find(object) {
                let rest = object[at + name.needle().len()..].trim_ascii_start();
                let value = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
                let end = value.iter().skip(1).position(|byte| *byte == b'"').unwrap_or_default();
                keep(&mut self.tier, &value[..value.len().min(end + 2)]);
            }
        }
    }

    /// Merges metadata that came later in the same answer.
    pub(crate) fn then(&mut self, later: AnswerMetadata) {
        self.model = later.model.or(self.model.take());
        self.tier = later.tier.or(self.tier.take());
        self.id = later.id.or(self.id.take());
        self.duration_ms = later.duration_ms.or(self.duration_ms);
        self.pending = later.pending;
        if self.first.is_empty() {
            self.first = later.first;
        }
        if !later.last.is_empty() {
            self.last = later.last;
        }
    }
}

/// Reads the metadata of a whole JSON answer.
pub fn answer_metadata(json: &[u8]) -> AnswerMetadata {
    let mut metadata = AnswerMetadata::default();
    // What is no JSON says nothing.
    let _ = scan(json, &mut Reported::default(), &mut metadata);
    metadata
}

/// Reads the metadata of a whole answer or event.
pub(crate) fn read(json: &[u8], metadata: &mut AnswerMetadata) {
    // What is no JSON says nothing.
    let _ =
        members_unchecked(json, |member| metadata.member(&json[member.name], &json[member.value]));
}

/// Keeps a JSON string without escapes; names do not have any.
fn keep(place: &mut Option<Box<str>>, value: &[u8]) {
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let name = inside.filter(|name| (1..=NAME_MAX).contains(&name.len()) && !name.contains(&b'\\'));
    let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return };
    if place.as_deref() != Some(name) {
        *place = Some(name.into());
    }
}

/// Converts seconds, written as a number or a string, to milliseconds.
pub(crate) fn milliseconds(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches('"');
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds))?;
    // The value is in range: only a fraction is cut off.
    Some((seconds * 1000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(objects: &[&str]) -> AnswerMetadata {
        let mut metadata = AnswerMetadata::default();
        objects.iter().for_each(|object| metadata.usage_object(object.as_bytes()));
        metadata
    }

    #[test]
    fn usage_is_kept_as_it_was_written() {
        let check = |objects: &[&str], expected: Option<&str>| {
            assert_eq!(metadata(objects).usage().as_deref(), expected, "{objects:?}");
        };
        check(&[], None);
        check(&["null"], None);
        check(&[r#"{"total_tokens": 3}"#], Some(r#"{"total_tokens": 3}"#));
        check(
            &[r#"{"input_tokens":3,"output_tokens":1}"#, r#"{"output_tokens":9}"#],
            Some(r#"{"input_tokens":3,"output_tokens":9}"#),
        );
        check(&[r#"{"a":1}"#, "{}"], Some(r#"{"a":1}"#));
        check(&[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#], Some(r#"{"a":3}"#));
    }

    #[test]
    fn the_tier_may_stand_among_the_usage() {
        let check = |object: &str, expected: Option<&str>| {
            assert_eq!(metadata(&[object]).tier(), expected, "{object}");
        };
        check(r#"{"input_tokens":3,"service_tier":"priority"}"#, Some("priority"));
        check(r#"{"service_tier": null,"x":"y"}"#, None);
        check(r#"{"trafficType" : "ON_DEMAND"}"#, Some("ON_DEMAND"));
        check(r#"{"service_tier":"#, None);
    }

    #[test]
    fn a_name_is_a_short_text() {
        let mut metadata = AnswerMetadata::default();
        read(br#"{"model":null,"service_tier":"default","duration":8.4701}"#, &mut metadata);
        assert_eq!((metadata.model(), metadata.tier()), (None, Some("default")));
        assert_eq!(metadata.duration_ms(), Some(8471));
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(300));
        read(long.as_bytes(), &mut metadata);
        assert_eq!(metadata.model(), None);
    }
}
