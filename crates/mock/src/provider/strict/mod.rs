//! What the vendors refuse with 400: unknown fields, wrong types, bad order, foreign proofs. Taken
//! from the types of their SDKs and from the errors that people report of the real services.

mod anthropic;
mod chat;
mod gemini;
mod responses;
mod schema;

use std::fmt;

use base64::{
    Engine,
    engine::{GeneralPurpose, general_purpose},
};
use serde_json::Value;

pub(super) use anthropic::{anthropic, anthropic_count};
pub(super) use chat::chat;
pub(super) use gemini::gemini;
pub(super) use responses::responses;

use super::Vendor;
use crate::http::Head;

/// Why a vendor would refuse.
#[derive(Debug)]
pub(super) struct Fault {
    at: String,
    why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.why)
    }
}

pub(super) type Sound = Result<(), Fault>;

fn fault(at: impl Into<String>, why: impl Into<String>) -> Sound {
    Err(Fault { at: at.into(), why: why.into() })
}

fn must(sound: bool, at: &str, why: &str) -> Sound {
    if sound { Ok(()) } else { fault(at, why) }
}

/// An object with no other members than these.
fn only(value: &Value, at: &str, known: &[&str]) -> Sound {
    let Some(members) = value.as_object() else { return fault(at, "must be an object") };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => fault(format!("{at}.{name}"), "unknown parameter: no such field"),
        None => Ok(()),
    }
}

/// A member and what it must be.
type Typed = (&'static str, fn(&Value) -> bool);

/// The members that are there have these types.
fn typed(value: &Value, at: &str, types: &[Typed]) -> Sound {
    let wrong = types.iter().find(|(name, fits)| {
        value.get(name).is_some_and(|member| !member.is_null() && !fits(member))
    });
    match wrong {
        Some((name, _)) => fault(format!("{at}.{name}"), "has the wrong type"),
        None => Ok(()),
    }
}

fn one_of(value: &Value, at: &str, known: &[&str]) -> Sound {
    let found = value.as_str().is_some_and(|text| known.contains(&text));
    must(found, at, &format!("{value} is not one of {known:?}"))
}

/// A list, and its entries with their places.
fn each<'a>(value: &'a Value, at: &str) -> Result<Vec<(String, &'a Value)>, Fault> {
    let all = value.as_array().ok_or_else(|| Fault { at: at.into(), why: "must be a list".into() });
    Ok(all?.iter().enumerate().map(|(n, entry)| (format!("{at}[{n}]"), entry)).collect())
}

fn name(value: &Value, at: &str, longest: usize) -> Sound {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let sound = value
        .as_str()
        .is_some_and(|name| (1..=longest).contains(&name.len()) && name.chars().all(fits));
    must(sound, at, "does not match the pattern of names")
}

fn base64_with(engine: &GeneralPurpose, value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty() && engine.decode(text).is_ok())
}

fn base64(value: &Value) -> bool {
    base64_with(&general_purpose::STANDARD, value)
}

fn data_url(url: &str) -> bool {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    data.is_some_and(|(mime, data)| {
        mime.contains('/') && general_purpose::STANDARD.decode(data).is_ok()
    })
}

/// Whether a model of OpenAI reasons: then it takes an effort and no sampling.
fn is_reasoning(model: &str) -> bool {
    model.starts_with("gpt-5") || model.starts_with("o3") || model.starts_with("o4")
}

/// No vendor is sent another one's headers.
pub(super) fn headers(head: &Head, vendor: Vendor) -> Sound {
    let foreign: &[&str] = match vendor {
        Vendor::OpenAi => &["anthropic-", "x-goog-", "x-api-key"],
        Vendor::Anthropic => &["openai-", "x-goog-"],
        Vendor::Gemini => &["openai-", "anthropic-", "x-api-key", "authorization"],
    };
    let found = head.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let mut found = found.filter(|name| foreign.iter().any(|start| name.starts_with(start)));
    if let Some(name) = found.next() {
        return fault(format!("header {name}"), "belongs to another vendor");
    }
    let versioned = vendor != Vendor::Anthropic || head.header("anthropic-version").is_some();
    must(versioned, "header anthropic-version", "is required")?;
    let json = head.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    must(json, "header content-type", "must be application/json")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Behaviour;

    /// Every body of `bad` is `good` with one member of one place changed, and is refused for it.
    pub(super) fn refuses(
        good: Value,
        check: impl Fn(&Value) -> Sound,
        bad: &[(&str, Value, &str)],
    ) {
        if let Err(fault) = check(&good) {
            panic!("{good} is refused: {fault}");
        }
        for (place, value, why) in bad {
            let mut body = good.clone();
            let (parent, name) = place.rsplit_once('/').unwrap_or(("", place));
            let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("{place} is nowhere"));
            match parent {
                Value::Array(all) => all[name.parse::<usize>().unwrap()] = value.clone(),
                object => object[name] = value.clone(),
            }
            match check(&body) {
                Ok(()) => panic!("{place} = {value} passes"),
                Err(fault) => assert!(fault.to_string().contains(why), "{place}: {fault}"),
            }
        }
    }

    pub(super) fn strict() -> Behaviour {
        Behaviour::parse("strict")
    }

    #[test]
    fn each_vendor_has_its_own_headers() {
        let check = |vendor, names: &[&str]| {
            let mut headers: Vec<_> =
                names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
            headers.push(("Content-Type".into(), "application/json".into()));
            let head = Head { method: "POST".into(), target: "/".into(), headers };
            super::headers(&head, vendor).map_err(|fault| fault.at)
        };
        assert_eq!(check(Vendor::OpenAi, &["authorization"]), Ok(()));
        assert_eq!(
            check(Vendor::OpenAi, &["Anthropic-Beta"]),
            Err("header anthropic-beta".to_owned())
        );
        assert_eq!(check(Vendor::Anthropic, &["anthropic-version", "x-api-key"]), Ok(()));
        assert!(check(Vendor::Anthropic, &["x-api-key"]).is_err());
        assert!(check(Vendor::Gemini, &["authorization"]).is_err());
    }

    #[test]
    fn images_are_in_the_standard_alphabet() {
        assert!(data_url("data:image/png;base64,+/8="));
        assert!(!data_url("data:image/png;base64,-_8="));
        assert!(!data_url("https://example.com/x.png"));
        assert!(!base64(&json!("")) && !base64(&json!("a")));
    }
}
