//! What a provider says about its answer beside the answer itself: the model that answered, the
//! service tier, and the usage numbers as it wrote them.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{gleaner::glean, json::members_unchecked, tokens::Reported};

/// A usage object larger than this is not kept.
const USAGE_MAX: usize = 4096;

/// A longer name is not kept.
const NAME_MAX: usize = 256;

/// Where usage objects name the service tier: Anthropic's, and Gemini's on Vertex AI.
static TIERS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new(b"\"service_tier\""), Finder::new(b"\"trafficType\"")]);

/// What a provider said about its answer. What it did not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    model: Option<Box<str>>,
    tier: Option<Box<str>>,
    id: Option<Box<str>>,
    /// The first usage object and the last one: Anthropic says in the first event of a stream
    /// what went in, and in the last one what came out.
    first: Vec<u8>,
    last: Vec<u8>,
    duration_ms: Option<u64>,
    pending: bool,
}

impl Told {
    /// The model that answered.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The service tier that was applied.
    pub fn tier(&self) -> Option<&str> {
        self.tier.as_deref()
    }

    /// The id of the answer, where the dialect has it stand for the request (Gemini).
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How long the audio was that was listened to, in milliseconds.
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_ms
    }

    /// Whether the answer only says that work has begun, as one of a background response does.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// The usage numbers as the provider wrote them: a JSON object. Where it wrote several, what
    /// only an earlier one has stands before the members of the last one.
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

    /// Takes over what a member of an answer says.
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

    /// Takes over a usage object.
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

    /// Takes over what was told later.
    pub(crate) fn then(&mut self, later: Told) {
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

/// What a whole JSON answer says about itself.
pub fn told_in(json: &[u8]) -> Told {
    let mut told = Told::default();
    // What is no JSON says nothing.
    let _ = glean(json, &mut Reported::default(), &mut told);
    told
}

/// Reads a whole answer or event for what it says about itself.
pub(crate) fn read(json: &[u8], told: &mut Told) {
    // What is no JSON says nothing.
    let _ = members_unchecked(json, |member| told.member(&json[member.name], &json[member.value]));
}

/// Keeps a JSON string without escapes; names have none.
fn keep(place: &mut Option<Box<str>>, value: &[u8]) {
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let name = inside.filter(|name| (1..=NAME_MAX).contains(&name.len()) && !name.contains(&b'\\'));
    let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return };
    if place.as_deref() != Some(name) {
        *place = Some(name.into());
    }
}

/// Seconds, as a number or a text, in milliseconds.
pub(crate) fn milliseconds(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches('"');
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds))?;
    // In the range that was checked nothing is cut off but a fraction.
    Some((seconds * 1000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(objects: &[&str]) -> Told {
        let mut told = Told::default();
        objects.iter().for_each(|object| told.usage_object(object.as_bytes()));
        told
    }

    #[test]
    fn usage_is_kept_as_it_was_written() {
        let check = |objects: &[&str], expected: Option<&str>| {
            assert_eq!(told(objects).usage().as_deref(), expected, "{objects:?}");
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
            assert_eq!(told(&[object]).tier(), expected, "{object}");
        };
        check(r#"{"input_tokens":3,"service_tier":"priority"}"#, Some("priority"));
        check(r#"{"service_tier": null,"x":"y"}"#, None);
        check(r#"{"trafficType" : "ON_DEMAND"}"#, Some("ON_DEMAND"));
        check(r#"{"service_tier":"#, None);
    }

    #[test]
    fn a_name_is_a_short_text() {
        let mut told = Told::default();
        read(br#"{"model":null,"service_tier":"default","duration":8.4701}"#, &mut told);
        assert_eq!((told.model(), told.tier()), (None, Some("default")));
        assert_eq!(told.duration_ms(), Some(8471));
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(300));
        read(long.as_bytes(), &mut told);
        assert_eq!(told.model(), None);
    }
}
