//! Matching of routes by model, path and headers with regular expressions. These routes are tried
//! in the order of their priority before names are looked up.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::Faults;

/// The conditions under which a route takes a call. All given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matching {
    /// A regular expression for the whole requested model.
    pub model: Option<String>,
    /// A regular expression for the whole path, without the query.
    pub path: Option<String>,
    /// Headers that must be present with a matching value.
    pub headers: Vec<HeaderMatch>,
    /// The lower number is tried first; equal ones in order of creation.
    pub priority: i32,
}

/// A header that a call must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// The name, ignoring case.
    pub name: String,
    /// A regular expression for its whole value.
    pub value: String,
}

/// The parts of a call that routes match on.
#[derive(Clone, Copy)]
pub struct Matched<'a, 'h> {
    /// The requested model.
    pub model: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The first value of a header.
    pub header: &'a dyn Fn(&str) -> Option<&'h str>,
}

/// Compiled conditions.
#[derive(Debug)]
pub struct CompiledMatching {
    model: Option<Regex>,
    path: Option<Regex>,
    headers: Vec<(String, Regex)>,
}

impl Matching {
    /// Most headers of one route.
    pub const HEADERS_MAX: usize = 16;
    /// Longest expression, in bytes.
    const PATTERN_MAX: usize = 1024;
    const COMPILED_MAX: usize = 1 << 20;

    /// Compiles the conditions.
    ///
    /// # Errors
    ///
    /// Returns the invalid fields (`headers[1].value`).
    pub fn compile(&self) -> Result<CompiledMatching, Faults> {
        let mut faults = Faults::default();
        if self.model.is_none() && self.path.is_none() && self.headers.is_empty() {
            faults.add("", "must name a model, a path or a header");
        }
        if self.headers.len() > Self::HEADERS_MAX {
            faults.add("headers", format!("must be at most {}", Self::HEADERS_MAX));
        }
        let mut pattern = |field: String, text: &str| match whole(text) {
            Ok(regex) => Some(regex),
            Err(words) => {
                faults.add(field, words);
                None
            }
        };
        let model = self.model.as_deref().and_then(|text| pattern("model".to_owned(), text));
        let path = self.path.as_deref().and_then(|text| pattern("path".to_owned(), text));
        let mut headers = Vec::new();
        for (i, header) in self.headers.iter().enumerate().take(Self::HEADERS_MAX) {
            let regex = pattern(format!("headers[{i}].value"), &header.value);
            headers.extend(regex.map(|regex| (header.name.to_ascii_lowercase(), regex)));
        }
        for (i, header) in self.headers.iter().enumerate().take(Self::HEADERS_MAX) {
            if !is_header_name(&header.name) {
                let words = "must be the name of a header, 1 to 128 bytes";
                faults.add(format!("headers[{i}].name"), words);
            }
        }
        faults.none_or(CompiledMatching { model, path, headers })
    }
}

/// Compiles an expression for a whole text.
fn whole(text: &str) -> Result<Regex, String> {
    if text.is_empty() || text.len() > Matching::PATTERN_MAX {
        return Err(format!("must be 1 to {} bytes", Matching::PATTERN_MAX));
    }
    let build = |text: &str| {
        let regex = RegexBuilder::new(text).size_limit(Matching::COMPILED_MAX).build();
        regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large when compiled".to_owned(),
            error => {
                let words = error.to_string();
                let last = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("is not a valid regular expression: {last}")
            }
        })
    };
    // The expression alone first: `a)|(b` is invalid, although it would be valid within the group
    // below.
    build(text)?;
    build(&format!("^(?:{text})$"))
}

/// Whether a header can have this name.
pub fn is_header_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(is_token)
}

/// Whether names of headers and methods may contain this byte.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl CompiledMatching {
    /// Whether the route takes this call.
    pub fn takes(&self, call: Matched<'_, '_>) -> bool {
        let fits = |regex: &Option<Regex>, text| regex.as_ref().is_none_or(|r| r.is_match(text));
        fits(&self.model, call.model)
            && fits(&self.path, call.path)
            && self
                .headers
                .iter()
                .all(|(name, regex)| (call.header)(name).is_some_and(|value| regex.is_match(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(matching: &Matching, model: &str, path: &str, tier: Option<&str>) -> bool {
        let header = |name: &str| (name == "x-tier").then_some(tier).flatten();
        let compiled = matching.compile().unwrap();
        compiled.takes(Matched { model, path, header: &header })
    }

    #[test]
    fn all_that_is_named_must_hold() {
        let gold = Matching {
            model: Some("gpt-.*|o[0-9]".to_owned()),
            path: Some("/v1/chat/.*".to_owned()),
            headers: vec![HeaderMatch { name: "X-Tier".to_owned(), value: "gold".to_owned() }],
            priority: 0,
        };
        let chat = "/v1/chat/completions";
        assert!(takes(&gold, "gpt-5", chat, Some("gold")));
        assert!(takes(&gold, "o3", chat, Some("gold")));
        assert!(!takes(&gold, "o3-mini", chat, Some("gold")), "the whole name must fit");
        assert!(!takes(&gold, "gpt-5", "/v1/responses", Some("gold")));
        assert!(!takes(&gold, "gpt-5", chat, Some("golden")));
        assert!(!takes(&gold, "gpt-5", chat, None));
    }

    #[test]
    fn what_cannot_be_compiled_is_told_with_its_place() {
        let check = |matching: Matching, field: &str| {
            let faults = matching.compile().unwrap_err();
            assert_eq!(faults.0.len(), 1, "{faults:?}");
            assert_eq!(faults.0[0].field, field);
        };
        check(Matching::default(), "");
        check(Matching { model: Some("(".to_owned()), ..Matching::default() }, "model");
        check(Matching { model: Some("a)|(b".to_owned()), ..Matching::default() }, "model");
        check(Matching { path: Some("(a{999}){999}".to_owned()), ..Matching::default() }, "path");
        let header = HeaderMatch { name: "x".to_owned(), value: "[".to_owned() };
        check(Matching { headers: vec![header], ..Matching::default() }, "headers[0].value");
        let header = HeaderMatch { name: "x tier".to_owned(), value: ".*".to_owned() };
        check(Matching { headers: vec![header], ..Matching::default() }, "headers[0].name");
    }
}
