//! Reads the fields of a form (`multipart/form-data`, RFC 7578) that are used for routing, such as
//! the model of audio and image endpoints. They are found while the form arrives, in pieces of any
//! size, and replaced like those in a JSON body; the rest of the form is not kept.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use crate::{Edit, Malformed};

/// Longest head of a part and longest kept value, in bytes.
const HEAD_MAX: usize = 16 << 10;
const VALUE_MAX: usize = 256 << 10;
/// Most blanks after a boundary.
const BLANKS_MAX: usize = 64;

/// A field of a form: the position and the text of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormField {
    /// The name of the field.
    pub name: &'static str,
    /// The byte range of the value in the form.
    pub range: Range<usize>,
    /// The value.
    pub text: String,
}

impl FormField {
    /// Returns the edit that sets the value to `text`; `None` if it has this value already.
    pub fn say(&self, text: &str) -> Option<Edit> {
        let replacement = Bytes::copy_from_slice(text.as_bytes());
        (self.text != text).then(|| Edit { range: self.range.clone(), replacement })
    }
}

/// Scans a form piece by piece and keeps the requested fields. Each of them may occur only once:
/// the provider might use the other value.
#[derive(Debug, Clone)]
pub struct FormScan {
    names: &'static [&'static str],
    /// A line break, two hyphens and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// Bytes that may still be part of a delimiter, a head or a kept value.
    pending: Vec<u8>,
    /// The offset of `pending` in the form.
    at: usize,
    /// The offset of the first delimiter, after its line break.
    first: Option<usize>,
    fields: Vec<FormField>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start, where a delimiter needs no line break before it.
    Start,
    /// Before the first delimiter.
    Preamble,
    /// After a delimiter.
    Line,
    /// In the head of a part, including its first line break.
    Head,
    /// In the value of a part, which is kept if it has a name here.
    Value(Option<&'static str>),
    /// After the last delimiter.
    Ended,
}

impl FormScan {
    /// Creates a scan for the fields `names`; `None` if the content type is not a form.
    pub fn new(content_type: &str, names: &'static [&'static str]) -> Option<Self> {
        let delimiter = format!("\r\n--{}", boundary(content_type)?).into_bytes();
        let (pending, fields) = (Vec::new(), Vec::new());
        Some(Self { names, delimiter, state: State::Start, pending, at: 0, first: None, fields })
    }

    /// Returns the fields found so far, in the order of the form.
    pub fn fields(&self) -> &[FormField] {
        &self.fields
    }

    /// Whether the end of the form was read.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns the edit that adds a field before all others; `None` before the first part began.
    pub fn add(&self, name: &str, text: &str) -> Option<Edit> {
        let boundary = std::str::from_utf8(&self.delimiter[2..]).ok()?;
        let part = format!(
            "{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
        );
        self.first.map(|at| Edit { range: at..at, replacement: part.into() })
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`] if two readers could see different forms: a requested field occurs
    /// twice, its value is not text or is too long, or a part has no head.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(piece);
        let mut read = 0;
        while let Some(taken) = self.step(&pending[read..])? {
            read += taken;
            self.at += taken;
        }
        pending.drain(..read);
        self.pending = pending;
        Ok(())
    }

    /// Checks that the form is complete.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`] if the end of the form is missing.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Ended => Ok(()),
            State::Start | State::Preamble => Err(Malformed::Form(0)),
            _ => Err(Malformed::FormCutShort),
        }
    }

    /// Processes pending bytes once; returns how many are consumed, or `None` if more are needed.
    fn step(&mut self, pending: &[u8]) -> Result<Option<usize>, Malformed> {
        let taken = match self.state {
            State::Ended => pending.len(),
            State::Start => {
                let bare = &self.delimiter[2..];
                if pending.starts_with(bare) {
                    self.first = Some(self.at);
                    self.state = State::Line;
                    return Ok(Some(bare.len()));
                }
                if bare.starts_with(pending) {
                    return Ok(None);
                }
                self.state = State::Preamble;
                return Ok(Some(0));
            }
            State::Preamble => match memmem::find(pending, &self.delimiter) {
                Some(found) => {
                    self.first = Some(self.at + found + 2);
                    self.state = State::Line;
                    found + self.delimiter.len()
                }
                None => self.undecided(pending),
            },
            State::Line => return self.line(pending),
            State::Head => return self.head(pending),
            State::Value(name) => match memmem::find(pending, &self.delimiter) {
                Some(found) => {
                    self.keep(name, &pending[..found])?;
                    self.state = State::Line;
                    found + self.delimiter.len()
                }
                None if name.is_none() => self.undecided(pending),
                None if pending.len() > VALUE_MAX => return Err(Malformed::Form(self.at)),
                None => 0,
            },
        };
        Ok((taken > 0).then_some(taken))
    }

    /// Returns how many bytes without a delimiter cannot be the beginning of one either.
    fn undecided(&self, pending: &[u8]) -> usize {
        pending.len().saturating_sub(self.delimiter.len() - 1)
    }

    /// Reads after a boundary: the end of the form, or the line break before a part.
    fn line(&mut self, pending: &[u8]) -> Result<Option<usize>, Malformed> {
        let blanks = pending.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match &pending[blanks..] {
            [b'-', b'-', ..] if blanks == 0 => {
                self.state = State::Ended;
                Ok(Some(2))
            }
            [b'\r', b'\n', ..] => {
                self.state = State::Head;
                Ok(Some(blanks))
            }
            [] | [b'\r'] if blanks <= BLANKS_MAX => Ok(None),
            [b'-'] if blanks == 0 => Ok(None),
            _ => Err(Malformed::Form(self.at)),
        }
    }

    fn head(&mut self, pending: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some(end) = memmem::find(pending, b"\r\n\r\n") else {
            let too_long = pending.len() > HEAD_MAX;
            return if too_long { Err(Malformed::Form(self.at)) } else { Ok(None) };
        };
        let head = &pending[..end];
        if end > HEAD_MAX || memmem::find(head, &self.delimiter).is_some() {
            return Err(Malformed::Form(self.at));
        }
        let name = self.names.iter().find(|name| is_called(head, name)).copied();
        if let Some(name) = name
            && self.fields.iter().any(|field| field.name == name)
        {
            return Err(Malformed::Twice(name));
        }
        self.state = State::Value(name);
        Ok(Some(end + 4))
    }

    fn keep(&mut self, name: Option<&'static str>, value: &[u8]) -> Result<(), Malformed> {
        let Some(name) = name else { return Ok(()) };
        if value.len() > VALUE_MAX {
            return Err(Malformed::Form(self.at));
        }
        let text = std::str::from_utf8(value).map_err(|_| Malformed::NotText(name))?.to_owned();
        self.fields.push(FormField { name, range: self.at..self.at + value.len(), text });
        Ok(())
    }
}

/// Returns the text of the first field `name` of a form; `None` if the body is not a form or has no
/// such field.
pub fn form_text<'a>(content_type: &str, body: &'a [u8], name: &str) -> Option<&'a str> {
    let delimiter = format!("\r\n--{}", boundary(content_type)?);
    let delimiters = memmem::Finder::new(delimiter.as_bytes());
    // The first delimiter may be at the start of the body.
    let bare = &delimiter.as_bytes()[2..];
    let mut at = match body.starts_with(bare) {
        true => bare.len(),
        false => delimiters.find(body)? + delimiter.len(),
    };
    while let Some(length) = delimiters.find(&body[at..]) {
        let part = &body[at..at + length];
        if let Some(end) = memmem::find(part, b"\r\n\r\n")
            && is_called(&part[..end], name)
        {
            return std::str::from_utf8(&part[end + 4..]).ok();
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
    // RFC 2046 allows at most 70 characters.
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// Whether the part with this head has the name `name`. A line that begins with a blank continues
/// the line before it, for readers that still unfold.
fn is_called(head: &[u8], name: &str) -> bool {
    let head = String::from_utf8_lossy(head).replace("\r\n ", " ").replace("\r\n\t", " ");
    head.lines().filter_map(|line| line.split_once(':')).any(|(header, value)| {
        header.trim().eq_ignore_ascii_case("content-disposition")
            && value.split(';').skip(1).filter_map(|parameter| parameter.split_once('=')).any(
                |(key, value)| {
                    key.trim().eq_ignore_ascii_case("name")
                        && value.trim().trim_matches('"') == name
                },
            )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splice;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"b1\"";
    const MODEL: &[&str] = &["model"];

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--b1\r\nContent-Disposition: form-data; {name}\r\nX: y\r\n\r\n{value}\r\n")
        };
        format!("{}--b1--\r\n", parts.iter().map(part).collect::<String>())
    }

    /// Scans a form in pieces of `size` bytes.
    fn scanned(body: &[u8], size: usize) -> Result<FormScan, Malformed> {
        let mut scan = FormScan::new(TYPE, MODEL).unwrap();
        body.chunks(size).try_for_each(|piece| scan.push(piece))?;
        scan.finish()?;
        Ok(scan)
    }

    #[test]
    fn only_the_model_changes() {
        let body = form(&[
            ("name=\"file\"; filename=\"a.mp3\"", "\0\r\n--b model\r\n\r\n--b\r\n"),
            ("name=\"model\"", "whisper-1"),
            ("name=\"prompt\"", "name=\"model\""),
        ]);
        for size in [1, 2, 7, 64, body.len()] {
            let scan = scanned(body.as_bytes(), size).unwrap();
            let [field] = scan.fields() else { panic!("{scan:?}") };
            assert_eq!(field.text, "whisper-1");
            assert_eq!(field.say("whisper-1"), None);
            let edit = field.say("better").unwrap();
            let edited = splice(&Bytes::from(body.clone()), &[edit]);
            assert_eq!(edited, body.replace("whisper-1", "better"));
        }
    }

    #[test]
    fn the_model_is_known_before_the_file_has_come() {
        let body = form(&[("name=\"model\"", "whisper-1"), ("name=\"file\"", &"x".repeat(1000))]);
        let mut scan = FormScan::new(TYPE, MODEL).unwrap();
        scan.push(&body.as_bytes()[..200]).unwrap();
        assert_eq!(scan.fields()[0].text, "whisper-1");
        assert!(!scan.has_ended() && scan.finish() == Err(Malformed::FormCutShort));
        scan.push(&body.as_bytes()[200..]).unwrap();
        assert!(scan.has_ended() && scan.pending.is_empty());
    }

    #[test]
    fn a_field_can_be_added() {
        let body = form(&[("name=\"file\"", "x")]);
        for preamble in ["", "preamble\r\n"] {
            let body = format!("{preamble}{body}");
            let edit = scanned(body.as_bytes(), 3).unwrap().add("model", "m").unwrap();
            let edited = splice(&Bytes::from(body), &[edit]);
            assert_eq!(scanned(&edited, 5).unwrap().fields()[0].text, "m");
        }
    }

    #[test]
    fn what_is_no_form_or_a_bad_one_is_told_apart() {
        assert!(FormScan::new("application/json", MODEL).is_none());
        assert!(FormScan::new("multipart/form-data", MODEL).is_none());
        let twice = form(&[("name=model", "a"), ("name=\"model\"", "b")]);
        let folded = form(&[("name=model", "a"), ("\r\n name=\"model\"", "b")]);
        let long = form(&[("name=model", &"x".repeat(VALUE_MAX + 100))]);
        let check = |body: &str, want: Result<(), Malformed>| {
            for size in [1, 3, body.len().max(1)] {
                let got = scanned(body.as_bytes(), size).map(drop);
                assert_eq!(got, want, "{:?}", &body[..body.len().min(300)]);
            }
        };
        check("--b1--", Ok(()));
        check("preamble\r\n--b1--\r\n", Ok(()));
        check("--b1 \t\r\nname: x\r\n\r\n\r\n--b1--", Ok(()));
        check(&twice, Err(Malformed::Twice("model")));
        check(&folded, Err(Malformed::Twice("model")));
        check(&twice[..40], Err(Malformed::FormCutShort));
        check("", Err(Malformed::Form(0)));
        check("no form at all", Err(Malformed::Form(0)));
        check("--b1x\r\na: b\r\n\r\nx\r\n--b1--", Err(Malformed::Form(4)));
        check("--b1\r\na: b\r\n--b1\r\na: b\r\n\r\nx\r\n--b1--", Err(Malformed::Form(4)));
        assert!(matches!(scanned(long.as_bytes(), 8192), Err(Malformed::Form(_))));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_read_alike(
            body in "(--b1|\r\n|--|name=model|:|;|x|content-disposition|form-data){0,30}",
            size in 1usize..20,
        ) {
            let read = |size| scanned(body.as_bytes(), size).map(|scan| scan.fields);
            prop_assert_eq!(read(size), read(body.len().max(1)));
        }
    }
}
