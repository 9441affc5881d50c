//! What a browser asks before a page of another origin calls (CORS, the Fetch standard).

use crate::{client::Client, headers::push, http1::Framing, refusal::Refusal};

/// For how many seconds a browser may keep the answer to a preflight.
const MAX_AGE: &[u8] = b"600";
const METHODS: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE";
/// Longest list of header names that is said back.
const NAMES_MAX: usize = 4 << 10;

/// Answers a preflight of a page that may call; false where this is none. It carries no key.
pub(crate) async fn answer(client: &mut Client<'_>) -> Result<bool, Refusal> {
    let asks = client.head.method() == "OPTIONS"
        && client.head.get("access-control-request-method").is_some();
    let Some(fields) = client.cors.as_mut().filter(|_| asks) else { return Ok(false) };
    push(fields, b"access-control-allow-methods", METHODS);
    if let Some(names) = client.head.list("access-control-request-headers")
        && names.len() <= NAMES_MAX
    {
        // A star would not stand for `authorization`.
        push(fields, b"access-control-allow-headers", names.as_bytes());
    }
    push(fields, b"access-control-max-age", MAX_AGE);
    client.begin(204, &[], Framing::Empty);
    client.send(&[], true).await?;
    Ok(true)
}
