//! Reads the fields of a request body that are used for routing: the model, and whether and how the
//! answer is streamed.

use std::{borrow::Cow, ops::Range};

use crate::{Edit, Malformed, Member, members};

/// A string in a body: its range, including quotes, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span<'a> {
    /// The byte range of the value, including its quotes.
    pub range: Range<usize>,
    /// The decoded text.
    pub text: Cow<'a, str>,
}

impl Span<'_> {
    /// Returns the edit that sets the value to `text`; `None` if it has this value already.
    pub fn say(&self, text: &str) -> Option<Edit> {
        (self.text != text).then(|| Edit::text(self.range.clone(), text))
    }
}

/// Whether an OpenAI stream was asked for usage, and where the request for it can be inserted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UsageAsked {
    /// It was, or the body asks in a form that cannot be edited.
    #[default]
    Yes,
    /// `stream_options` is missing: insert it at this offset.
    InsertOptions(usize),
    /// `stream_options` is null: replace this range with an object.
    ReplaceOptions(Range<usize>),
    /// `stream_options` is an object without `include_usage`: insert the member.
    InsertFlag {
        /// The offset after the opening bracket.
        at: usize,
        /// Whether the object has no members.
        empty: bool,
    },
    /// `include_usage` is not true: replace this range.
    ReplaceFlag(Range<usize>),
}

/// The fields of a request body that are used for routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The model; `None` if the body names none.
    pub model: Option<Span<'a>>,
    /// Whether a stream is requested. Not set for Gemini, whose path contains it.
    pub stream: bool,
    /// Whether usage was requested; only for OpenAI Chat Completions.
    pub usage_asked: UsageAsked,
}

impl Peek<'_> {
    /// Returns the edit that requests usage in an OpenAI chat stream; `None` if it is requested
    /// already. The observer must then hide the usage event, because the client did not request it.
    ///
    /// With it the provider also writes `"usage":null` into every other chunk. Those chunks are
    /// passed on unchanged: clients treat null as a missing field.
    pub fn ask_for_usage(&self) -> Option<Edit> {
        if !self.stream {
            return None;
        }
        let replace = |range: &Range<usize>, with: &'static str| Edit {
            range: range.clone(),
            replacement: with.into(),
        };
        match &self.usage_asked {
            UsageAsked::Yes => None,
            UsageAsked::InsertOptions(at) => {
                Some(Edit::insert(*at, r#","stream_options":{"include_usage":true}"#))
            }
            UsageAsked::ReplaceOptions(range) => Some(replace(range, r#"{"include_usage":true}"#)),
            UsageAsked::InsertFlag { at, empty: true } => {
                Some(Edit::insert(*at, r#""include_usage":true"#))
            }
            UsageAsked::InsertFlag { at, empty: false } => {
                Some(Edit::insert(*at, r#""include_usage":true,"#))
            }
            UsageAsked::ReplaceFlag(range) => Some(replace(range, "true")),
        }
    }
}

/// Validates that a body is one JSON object and reads the fields used for routing. Each of them may
/// occur only once: the provider might use the other value.
///
/// # Errors
///
/// Returns [`Malformed`] if the body is not one JSON object or repeats such a field.
pub fn peek(body: &[u8]) -> Result<Peek<'_>, Malformed> {
    let (mut model, mut stream, mut options) = (None, None, None);
    let mut twice = None;
    members(body, |member| {
        let (place, name) = match member.name.len() {
            // The shortest of the names has five letters; most members are skipped here.
            0..5 => return,
            _ if member.is(body, "model") => (&mut model, "model"),
            _ if member.is(body, "stream") => (&mut stream, "stream"),
            _ if member.is(body, "stream_options") => (&mut options, "stream_options"),
            _ => return,
        };
        if place.replace(member.value).is_some() {
            twice = Some(name);
        }
    })?;
    if let Some(name) = twice {
        return Err(Malformed::Twice(name));
    }
    let model = match model {
        None => None,
        Some(range) if &body[range.clone()] == b"null" => None,
        Some(range) => Some(span("model", body, range)?),
    };
    let streams = stream.as_ref().is_some_and(|range| &body[range.clone()] == b"true");
    let usage_asked = match stream {
        Some(stream) if streams => usage_asked(body, stream.end, options)?,
        _ => UsageAsked::Yes,
    };
    Ok(Peek { model, stream: streams, usage_asked })
}

/// Returns the string at this path of member names, from the outermost object on; `None` if a
/// member is missing or null. Each member may occur only once.
///
/// # Errors
///
/// Returns [`Malformed`] if the body is not one JSON object, a name occurs twice, or the value is
/// not a string.
pub fn text_at<'a>(body: &'a [u8], path: &[&'static str]) -> Result<Option<Span<'a>>, Malformed> {
    let mut range = 0..body.len();
    let mut last = "";
    for (depth, name) in path.iter().enumerate() {
        let inside = &body[range.clone()];
        if depth > 0 && inside.first() != Some(&b'{') {
            return Ok(None);
        }
        let (mut found, mut twice) = (None, false);
        members(inside, |member| {
            if member.is(inside, name) {
                twice |= found.replace(member.value).is_some();
            }
        })?;
        if twice {
            return Err(Malformed::Twice(name));
        }
        let Some(value) = found else { return Ok(None) };
        range = range.start + value.start..range.start + value.end;
        last = name;
    }
    if &body[range.clone()] == b"null" { Ok(None) } else { span(last, body, range).map(Some) }
}

fn span<'a>(
    name: &'static str,
    body: &'a [u8],
    range: Range<usize>,
) -> Result<Span<'a>, Malformed> {
    let written = &body[range.clone()];
    if written[0] != b'"' {
        return Err(Malformed::NotText(name));
    }
    let inside = &written[1..written.len() - 1];
    let text = if memchr::memchr(b'\\', inside).is_none() {
        Cow::Borrowed(std::str::from_utf8(inside).map_err(|_| Malformed::NotText(name))?)
    } else {
        Cow::Owned(serde_json::from_slice(written).map_err(|_| Malformed::NotText(name))?)
    };
    Ok(Span { range, text })
}

fn usage_asked(
    body: &[u8],
    behind_stream: usize,
    options: Option<Range<usize>>,
) -> Result<UsageAsked, Malformed> {
    let Some(options) = options else { return Ok(UsageAsked::InsertOptions(behind_stream)) };
    let inside = &body[options.clone()];
    if inside == b"null" {
        return Ok(UsageAsked::ReplaceOptions(options));
    }
    if inside[0] != b'{' {
        // The provider will report the error.
        return Ok(UsageAsked::Yes);
    }
    let mut empty = true;
    let mut flag: Option<Member> = None;
    members(inside, |member| {
        empty = false;
        if member.is(inside, "include_usage") {
            flag = Some(member);
        }
    })?;
    Ok(match flag {
        None => UsageAsked::InsertFlag { at: options.start + 1, empty },
        Some(flag) => match &inside[flag.value.clone()] {
            b"false" | b"null" => UsageAsked::ReplaceFlag(
                options.start + flag.value.start..options.start + flag.value.end,
            ),
            _ => UsageAsked::Yes,
        },
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::splice;

    #[test]
    fn the_model_is_found_where_it_stands() {
        let cases: &[(&str, Option<&str>)] = &[
            (r#"{"model":"gpt-4"}"#, Some("gpt-4")),
            (r#"{ "messages":[{"model":"no"}], "model" : "a\/b\u0041" }"#, Some("a/bA")),
            (r#"{"messages":"\"model\":\"no\""}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"mod\u0065l":"x"}"#, Some("x")),
        ];
        for (body, want) in cases {
            let peeked = peek(body.as_bytes()).unwrap();
            assert_eq!(peeked.model.as_ref().map(|m| m.text.as_ref()), *want, "{body}");
        }
    }

    #[test]
    fn a_text_is_found_where_a_path_leads() {
        let at = |body: &str, path: &[&'static str]| {
            text_at(body.as_bytes(), path).map(|found| {
                found.map(|span| (body[span.range].to_owned(), span.text.into_owned()))
            })
        };
        let body = r#"{"a": {"model":1}, "session" : {"x":[{"model":2}], "model" : "m\u0041"}}"#;
        let found = Some((r#""m\u0041""#.to_owned(), "mA".to_owned()));
        assert_eq!(at(body, &["session", "model"]), Ok(found));
        assert_eq!(at(body, &["session", "voice"]), Ok(None));
        assert_eq!(at(body, &["session", "x", "model"]), Ok(None));
        assert_eq!(at(body, &["a", "model"]), Err(Malformed::NotText("model")));
        assert_eq!(at(r#"{"session":null}"#, &["session", "model"]), Ok(None));
        assert_eq!(at("[]", &["session"]), Err(Malformed::NotAnObject));
        let twice = r#"{"session":{"model":"a"},"s\u0065ssion":{"model":"b"}}"#;
        assert_eq!(at(twice, &["session", "model"]), Err(Malformed::Twice("session")));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let cases: &[(&str, Malformed)] = &[
            (r#"{"model":"a","model":"b"}"#, Malformed::Twice("model")),
            (r#"{"model":"a","m\u006fdel":"b"}"#, Malformed::Twice("model")),
            (r#"{"stream":true,"stream":false}"#, Malformed::Twice("stream")),
            (r#"{"model":5}"#, Malformed::NotText("model")),
            (r#"{"model":"\ud800"}"#, Malformed::NotText("model")),
            ("", Malformed::Empty),
            ("[]", Malformed::NotAnObject),
        ];
        for (body, want) in cases {
            assert_eq!(peek(body.as_bytes()), Err(*want), "{body}");
        }
    }

    #[test]
    fn only_the_model_changes() {
        let body =
            Bytes::from_static(br#"{"a" : 1e2, "model":"mine", "seed":12345678901234567890}"#);
        let edit = peek(&body).unwrap().model.unwrap().say("the \"real\" one").unwrap();
        assert_eq!(
            splice(&body, &[edit]),
            r#"{"a" : 1e2, "model":"the \"real\" one", "seed":12345678901234567890}"#
        );
        assert_eq!(peek(&body).unwrap().model.unwrap().say("mine"), None);
    }

    #[test]
    fn usage_is_asked_for_where_the_client_did_not() {
        let cases: &[(&str, &str)] = &[
            (
                r#"{"stream": true }"#,
                r#"{"stream": true,"stream_options":{"include_usage":true} }"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{ },"stream":true}"#,
                r#"{"stream_options":{"include_usage":true },"stream":true}"#,
            ),
            (
                r#"{"stream_options":{"x":1},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true,"x":1},"stream":true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage" : false}}"#,
                r#"{"stream":true,"stream_options":{"include_usage" : true}}"#,
            ),
        ];
        for (body, want) in cases {
            let edit = peek(body.as_bytes()).unwrap().ask_for_usage().unwrap();
            assert_eq!(splice(&Bytes::from_static(body.as_bytes()), &[edit]), *want);
        }
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":"?"}"#,
            r#"{"stream":false}"#,
            r#"{"stream_options":{}}"#,
            "{}",
        ] {
            assert_eq!(peek(body.as_bytes()).unwrap().ask_for_usage(), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn after_asking_it_is_asked(
            extra in "[a-z]{1,9}", options in 0..5_u8, pretty: bool, first: bool
        ) {
            let mut body = serde_json::Map::new();
            let given = match options {
                0 => None,
                1 => Some(serde_json::json!(null)),
                2 => Some(serde_json::json!({})),
                3 => Some(serde_json::json!({ &*extra: [1], "include_usage": false })),
                _ => Some(serde_json::json!({ &*extra: {"include_usage": true} })),
            };
            if first { body.insert("stream".into(), true.into()); }
            if let Some(given) = given { body.insert("stream_options".into(), given); }
            body.insert("stream".into(), true.into());
            let text = if pretty {
                serde_json::to_vec_pretty(&body).unwrap()
            } else {
                serde_json::to_vec(&body).unwrap()
            };
            let text = Bytes::from(text);
            let edit = peek(&text).unwrap().ask_for_usage();
            let asked = splice(&text, edit.as_slice());
            let parsed: serde_json::Value = serde_json::from_slice(&asked).unwrap();
            prop_assert_eq!(&parsed["stream_options"]["include_usage"], true);
            prop_assert_eq!(peek(&asked).unwrap().ask_for_usage(), None);
        }

        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>) {
            let _ = peek(&body);
        }
    }
}
