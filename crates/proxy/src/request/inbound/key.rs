//! The service key that a request shows. It is looked for before a byte of body is read.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{http1::RequestHead, refusal::Refusal};

/// The service key that a request shows, as text, and where it may hide besides.
pub(crate) fn shown_key(head: &RequestHead) -> Result<String, Refusal> {
    if head.all("authorization").count() > 1 {
        return Err(Refusal::TwoKeys);
    }
    if holds_a_key(head.path()) {
        // Paths are logged and passed on.
        return Err(Refusal::NoSuchPath);
    }
    let mut shown: Option<String> = None;
    let mut dummy = false;
    for carrier in carriers(head) {
        if !auth::ServiceKeys::looks_like(&carrier) {
            dummy |= !carrier.is_empty();
            continue;
        }
        match &shown {
            Some(other) if *other != carrier => return Err(Refusal::TwoKeys),
            _ => shown = Some(carrier),
        }
    }
    shown.ok_or(if dummy { Refusal::KeyUnknown } else { Refusal::KeyMissing })
}

/// Whether something that has the form of a service key stands in `text`.
pub(crate) fn holds_a_key(text: &str) -> bool {
    text.match_indices("tg-").any(|(at, _)| {
        let end = at + auth::ServiceKeys::LENGTH;
        text.get(at..end).is_some_and(auth::ServiceKeys::looks_like)
    })
}

/// Everything that a client may mean as its key.
fn carriers(head: &RequestHead) -> impl Iterator<Item = String> {
    let mut found = Vec::with_capacity(2);
    if let Some(value) = head.text("authorization") {
        match value.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
                found.extend(from_basic(rest.trim()));
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
                found.push(rest.trim().to_owned());
            }
            _ => found.push(value.to_owned()),
        }
    }
    for name in ["x-api-key", "api-key", "x-goog-api-key"] {
        let values = head.all(name).filter_map(|value| std::str::from_utf8(value).ok());
        found.extend(values.map(str::to_owned));
    }
    for field in head.query().unwrap_or_default().split('&') {
        found.extend(field.strip_prefix("key=").map(str::to_owned));
    }
    // Browsers cannot set headers on a WebSocket; OpenAI's SDKs put the key here.
    for protocol in head.text("sec-websocket-protocol").unwrap_or_default().split(',') {
        found.extend(protocol.trim().strip_prefix("openai-insecure-api-key.").map(str::to_owned));
    }
    found.into_iter()
}

/// The key in `Basic` credentials: the password, the user's name, or id and secret apart.
fn from_basic(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let whole = [password.to_owned(), user.to_owned(), format!("tg-{user}-{password}")];
    let fits = whole.iter().find(|text| auth::ServiceKeys::looks_like(text));
    Some(fits.cloned().unwrap_or_else(|| password.to_owned()))
}
