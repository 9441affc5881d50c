//! The model in a form (`multipart/form-data`), as the endpoints for audio and images take it
//! (RFC 7578). Found and replaced like the one in a JSON body; nothing else is read.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::{self, Finder};

use crate::{Edit, Malformed};

/// A field of a form: where its value stands, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormField<'a> {
    /// Where the value stands.
    pub range: Range<usize>,
    /// What it says.
    pub text: &'a str,
}

impl FormField<'_> {
    /// The edit that makes it say `text`; none where it does already.
    pub fn say(&self, text: &str) -> Option<Edit> {
        let replacement = Bytes::copy_from_slice(text.as_bytes());
        (self.text != text).then(|| Edit { range: self.range.clone(), replacement })
    }
}

/// Finds the field `model` in a form; none where the body is not a form or has no such field.
pub fn peek_form<'a>(
    content_type: &str,
    body: &'a [u8],
) -> Result<Option<FormField<'a>>, Malformed> {
    let Some(boundary) = boundary(content_type) else { return Ok(None) };
    let delimiter = format!("\r\n--{boundary}");
    let delimiters = Finder::new(delimiter.as_bytes());
    let Some(mut at) = start(body, &delimiter, &delimiters) else {
        return Err(Malformed::Syntax(0));
    };
    let mut model = None;
    while let Some(length) = delimiters.find(&body[at..]) {
        let part = at..at + length;
        if let Some(value) = value_of(&body[part.clone()], "model") {
            let range = part.start + value.start..part.end;
            let text = std::str::from_utf8(&body[range.clone()]);
            let text = text.map_err(|_| Malformed::NotText("model"))?;
            if model.replace(FormField { range, text }).is_some() {
                return Err(Malformed::Twice("model"));
            }
        }
        at += length + delimiter.len();
    }
    if !body[at..].starts_with(b"--") {
        return Err(Malformed::CutShort);
    }
    Ok(model)
}

/// The text of the first field `name` in a form; none where the body is no form, or has no such
/// field.
pub fn form_text<'a>(content_type: &str, body: &'a [u8], name: &str) -> Option<&'a str> {
    let delimiter = format!("\r\n--{}", boundary(content_type)?);
    let delimiters = Finder::new(delimiter.as_bytes());
    let mut at = start(body, &delimiter, &delimiters)?;
    while let Some(length) = delimiters.find(&body[at..]) {
        let part = &body[at..at + length];
        if let Some(value) = value_of(part, name) {
            return std::str::from_utf8(&part[value]).ok();
        }
        at += length + delimiter.len();
    }
    None
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    // RFC 2046 allows at most so many.
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// Behind the first delimiter, which may stand at the very start.
fn start(body: &[u8], delimiter: &str, delimiters: &Finder<'_>) -> Option<usize> {
    let at_once = delimiter.trim_start();
    if body.starts_with(at_once.as_bytes()) {
        return Some(at_once.len());
    }
    delimiters.find(body).map(|at| at + delimiter.len())
}

/// Where the value begins, if the part is called `name`.
fn value_of(part: &[u8], name: &str) -> Option<Range<usize>> {
    let head_end = memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..head_end]).ok()?;
    let is_named = head.lines().filter_map(|line| line.split_once(':')).any(|(header, value)| {
        header.trim().eq_ignore_ascii_case("content-disposition")
            && value.split(';').skip(1).filter_map(|parameter| parameter.split_once('=')).any(
                |(key, value)| {
                    key.trim().eq_ignore_ascii_case("name")
                        && value.trim().trim_matches('"') == name
                },
            )
    });
    is_named.then_some(head_end + 4..part.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splice;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"b1\"";

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--b1\r\nContent-Disposition: form-data; {name}\r\nX: y\r\n\r\n{value}\r\n")
        };
        format!("{}--b1--\r\n", parts.iter().map(part).collect::<String>())
    }

    #[test]
    fn only_the_model_changes() {
        let body = form(&[
            ("name=\"file\"; filename=\"a.mp3\"", "\0\r\n--b model\r\n"),
            ("name=\"model\"", "whisper-1"),
            ("name=\"prompt\"", "name=\"model\""),
        ]);
        let field = peek_form(TYPE, body.as_bytes()).unwrap().unwrap();
        assert_eq!(field.text, "whisper-1");
        assert_eq!(field.say("whisper-1"), None);
        let edit = field.say("better").unwrap();
        let edited = splice(&Bytes::from(body.clone()), &[edit]);
        assert_eq!(edited, body.replace("whisper-1", "better"));
    }

    #[test]
    fn what_is_no_form_or_a_bad_one_is_told_apart() {
        let form = form(&[("name=model", "a"), ("name=\"model\"", "b")]);
        let check = |content_type: &str, body: &str, want: Result<Option<&str>, Malformed>| {
            let got = peek_form(content_type, body.as_bytes());
            assert_eq!(got.map(|field| field.map(|field| field.text)), want, "{body:?}");
        };
        let cases = [
            ("application/json", "{}", Ok(None)),
            ("multipart/form-data", "", Ok(None)),
            (TYPE, "--b1--", Ok(None)),
            (TYPE, "preamble\r\n--b1--\r\n", Ok(None)),
            (TYPE, &form, Err(Malformed::Twice("model"))),
            (TYPE, &form[..form.len() - 6], Err(Malformed::CutShort)),
            (TYPE, "", Err(Malformed::Syntax(0))),
        ];
        for (content_type, body, want) in cases {
            check(content_type, body, want);
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "(--b1|\r\n|--|name=model|:|;|x|content-disposition){0,20}") {
            let _ = peek_form(TYPE, body.as_bytes());
        }
    }
}
