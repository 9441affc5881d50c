//! Which headers go through: a client's to a provider, and a provider's to a client.
//!
//! Headers that pass, pass as they came, byte for byte and in order. What stays here depends on
//! the upstream's policy; credentials and whatever holds the caller's key stay here always.

use domain::{HeaderPolicy, HeaderRule, KeyPlacement};
use secrecy::ExposeSecret;

use crate::http1::{Head, RequestHead, ResponseHead};

/// The fields of every JSON answer of our own.
pub(crate) const JSON: &[u8] = b"content-type: application/json\r\ncache-control: no-store\r\n";

/// Headers between two neighbours; never passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    // What of a WebSocket's handshake goes on is said by `outbound`.
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Where clients carry credentials.
const CREDENTIALS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "xi-api-key", "cookie"];

/// Who the client is, besides whole families of names (see [`hides`]).
const IDENTIFYING: [&str; 14] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "via",
    "referer",
    "origin",
    "accept-language",
    "traceparent",
    "tracestate",
    "baggage",
    "user-agent",
    // They choose among the accounts of the client's own key, which does not go along.
    "openai-organization",
    "openai-project",
];

/// Ours: they steer the gateway and mean nothing to a provider.
const OWN: [&str; 1] = ["x-request-id"];

/// All that passes under `strict`, besides the providers' protocol headers.
const STRICT: [&str; 5] =
    ["accept", "accept-encoding", "content-type", "content-encoding", "idempotency-key"];

/// Where providers name the id under which they know a request, the most common first.
const REQUEST_IDS: [&str; 6] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-goog-request-id",
    "x-ds-trace-id",
];

/// The longest such id that is kept.
const REQUEST_ID_MAX: usize = 128;

/// What belongs to no vendor, and may go along with a call that was said again.
const NEUTRAL: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// What goes out as our name.
const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// Appends to `out` the client's headers that the upstream's policy lets through, then what its
/// rules say, then our own name where the client's was withheld. `unpacked`: the body does not go
/// out compressed as it came.
pub(crate) fn to_provider(
    out: &mut Vec<u8>,
    head: &RequestHead,
    shown_key: &str,
    policy: HeaderPolicy,
    rules: &[HeaderRule],
    readable: bool,
    unpacked: bool,
) {
    let hops = connection_options(head);
    for (name, value) in head.iter() {
        let stays = stays_here(name, value, shown_key)
            || ruled(rules, name)
            || hops.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || (readable && name.eq_ignore_ascii_case(b"accept-encoding"))
            || (unpacked && name.eq_ignore_ascii_case(b"content-encoding"))
            || match policy {
                HeaderPolicy::Hide => hides(name),
                HeaderPolicy::Keep => false,
                HeaderPolicy::Strict => !strict_passes(name),
            };
        if !stays {
            push(out, name, value);
        }
    }
    if policy != HeaderPolicy::Keep && !ruled(rules, b"user-agent") {
        push(out, b"user-agent", USER_AGENT.as_bytes());
    }
    if readable && !ruled(rules, b"accept-encoding") {
        // Usage is read from the answer as it passes.
        push(out, b"accept-encoding", b"identity");
    }
    push_rules(out, rules);
}

/// Appends the headers of a call that was said again in the target's dialect: `own` are the
/// dialect's. Nothing of the client's crosses but what belongs to no vendor, and that only where
/// the policy keeps it.
pub(crate) fn of_conversion(
    out: &mut Vec<u8>,
    head: &RequestHead,
    own: &[(&str, &str)],
    policy: HeaderPolicy,
    rules: &[HeaderRule],
) {
    let ours = [
        ("content-type", "application/json"),
        ("user-agent", USER_AGENT),
        ("accept-encoding", "identity"),
    ];
    for (name, value) in ours.iter().chain(own) {
        if !ruled(rules, name.as_bytes()) {
            push(out, name.as_bytes(), value.as_bytes());
        }
    }
    if policy == HeaderPolicy::Keep {
        let neutral = head.iter().filter(|(name, _)| is(&NEUTRAL, name) && !ruled(rules, name));
        neutral.for_each(|(name, value)| push(out, name, value));
    }
    push_rules(out, rules);
}

/// Appends our name and what the upstream's rules set, to a request that is nobody's but ours.
pub(crate) fn push_own(out: &mut Vec<u8>, rules: &[HeaderRule]) {
    if !ruled(rules, b"user-agent") {
        push(out, b"user-agent", USER_AGENT.as_bytes());
    }
    push_rules(out, rules);
}

/// The id under which the provider knows the request that it answered.
pub(crate) fn request_id(head: &ResponseHead) -> Option<&str> {
    let id = REQUEST_IDS.iter().find_map(|name| head.text(name))?.trim();
    ((1..=REQUEST_ID_MAX).contains(&id.len()) && id.is_ascii()).then_some(id)
}

fn ruled(rules: &[HeaderRule], name: &[u8]) -> bool {
    rules.iter().any(|rule| name.eq_ignore_ascii_case(rule.name.as_bytes()))
}

fn push_rules(out: &mut Vec<u8>, rules: &[HeaderRule]) {
    for rule in rules {
        if let Some(value) = &rule.value {
            push(out, rule.name.as_bytes(), value.as_bytes());
        }
    }
}

/// Appends the provider key, where it goes into a header.
pub(crate) fn push_key(out: &mut Vec<u8>, placement: &KeyPlacement, key: &secrecy::SecretString) {
    let key = key.expose_secret().as_bytes();
    match placement {
        KeyPlacement::Bearer => {
            out.extend_from_slice(b"authorization: Bearer ");
            out.extend_from_slice(key);
            out.extend_from_slice(b"\r\n");
        }
        KeyPlacement::Header(name) => push(out, name.as_bytes(), key),
        KeyPlacement::Query(_) => {}
    }
}

/// The query that goes to the provider: without what held the caller's key, with the provider
/// key where it belongs there. `to_model`: `key` is a credential whatever it holds, since clients
/// send a dummy there beside the key that counts.
pub(crate) fn query(
    head: &RequestHead,
    shown_key: &str,
    to_model: bool,
    add: Option<(&str, &str)>,
) -> Option<String> {
    let fields = head.query().into_iter().flat_map(|query| query.split('&'));
    let stays = |field: &&str| {
        let name = field.split('=').next();
        holds(field.as_bytes(), shown_key)
            || (to_model && name == Some("key"))
            || add.is_some_and(|(placed, _)| name == Some(placed))
    };
    let kept = fields.filter(|field| !stays(field));
    let mut query: Vec<String> = kept.map(str::to_owned).collect();
    query.extend(add.map(|(name, value)| format!("{name}={}", percent_encode(value))));
    let had_query = head.query().is_some_and(|query| query.is_empty());
    (!query.is_empty() || had_query).then(|| query.join("&"))
}

/// Appends to `out` the headers of an answer that a client may see. Where the answer goes on
/// `unpacked` it is not told how it was compressed.
pub(crate) fn to_client(out: &mut Vec<u8>, head: &ResponseHead, unpacked: bool) {
    let hops = connection_options(head);
    for (name, value) in head.iter() {
        let stays = names_a_key(name, value)
            || (unpacked && name.eq_ignore_ascii_case(b"content-encoding"))
            || (is(&HOP_BY_HOP, name) && !begins(&["sec-websocket-"], name))
            || withheld(name)
            || hops.iter().any(|hop| name.eq_ignore_ascii_case(hop));
        if !stays {
            push(out, name, value);
        }
    }
}

/// The same for an answer that refuses: when to come back is ours to say.
pub(crate) fn of_refusal(head: &ResponseHead, unpacked: bool) -> Vec<u8> {
    let mut out = Vec::new();
    to_client(&mut out, head, unpacked);
    let kept = out.split_inclusive(|b| *b == b'\n');
    kept.filter(|line| !begins(&["retry-after"], line)).flatten().copied().collect()
}

/// Whether an address for an upload, which the client goes to by itself, holds a provider key: it
/// does where the key went out in the query.
fn names_a_key(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"x-goog-upload-url")
        && value.split(|b| b"?&".contains(b)).any(|field| field.starts_with(b"key="))
}

/// What a provider says of itself and of our account with it: it stays here.
fn withheld(name: &[u8]) -> bool {
    const NAMES: [&str; 12] = [
        "set-cookie",
        "server",
        "via",
        "alt-svc",
        "x-request-id",
        "request-id",
        "x-goog-request-id",
        "x-envoy-upstream-service-time",
        "strict-transport-security",
        "x-robots-tag",
        "report-to",
        "nel",
    ];
    const FAMILIES: [&str; 7] = [
        "openai-organization",
        "openai-project",
        "anthropic-organization",
        "cf-",
        "x-ratelimit-",
        "anthropic-ratelimit-",
        "x-tollgate-",
    ];
    is(&NAMES, name) || begins(&FAMILIES, name)
}

/// What stays here whatever the policy says.
fn stays_here(name: &[u8], value: &[u8], shown_key: &str) -> bool {
    is(&HOP_BY_HOP, name)
        || is(&CREDENTIALS, name)
        || is(&OWN, name)
        || begins(&["proxy-", "x-tollgate-"], name)
        || holds(value, shown_key)
        || holds(name, shown_key)
}

fn hides(name: &[u8]) -> bool {
    is(&IDENTIFYING, name)
        || begins(&["x-forwarded-", "cf-", "fastly-", "fly-", "sec-", "x-stainless-"], name)
}

fn strict_passes(name: &[u8]) -> bool {
    is(&STRICT, name) || begins(&["anthropic-", "openai-beta", "x-goog-api-client"], name)
}

/// Headers that the client named as meant for us alone.
fn connection_options(head: &Head) -> Vec<&[u8]> {
    let values = head.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
    values.flat_map(|(_, value)| value.split(|b| *b == b',').map(<[u8]>::trim_ascii)).collect()
}

/// Whether a value holds the caller's key, in clear or percent-encoded.
pub(crate) fn holds(value: &[u8], shown_key: &str) -> bool {
    if shown_key.is_empty() || value.len() < shown_key.len() {
        return false;
    }
    memchr::memmem::find(value, shown_key.as_bytes()).is_some()
        || (value.contains(&b'%')
            && memchr::memmem::find(&percent_decode(value), shown_key.as_bytes()).is_some())
}

/// Reads `%xx`; what is none stays.
pub(crate) fn percent_decode(value: &[u8]) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(value.len()), 0);
    while at < value.len() {
        match (value[at], hex(value.get(at + 1)), hex(value.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Writes what may stand neither in a query nor in a path as `%XX`.
pub(crate) fn percent_encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Appends one header line.
pub(crate) fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn is(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Whether a line or a name begins with one of these.
pub(crate) fn begins(families: &[&str], name: &[u8]) -> bool {
    families
        .iter()
        .any(|f| name.len() >= f.len() && name[..f.len()].eq_ignore_ascii_case(f.as_bytes()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const KEY: &str = "tg-AAAAAAAA-0123456789012345678901234567890123456789abc-WXYZ";

    fn passed(fields: &str, policy: HeaderPolicy, rules: &[HeaderRule]) -> String {
        let text = format!("POST /v1/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let head = RequestHead::parse(Bytes::from(text), 100, 8192).unwrap();
        let mut out = Vec::new();
        to_provider(&mut out, &head, KEY, policy, rules, false, false);
        String::from_utf8(out).unwrap().replace(&format!("user-agent: {USER_AGENT}\r\n"), "")
    }

    #[test]
    fn credentials_and_hop_by_hop_headers_stay_here_under_every_policy() {
        for policy in HeaderPolicy::ALL {
            for line in [
                "Authorization: Bearer x",
                "X-API-Key: x",
                "api-key: x",
                "x-goog-api-key: x",
                "xi-api-key: x",
                "Cookie: a=b",
                "Proxy-Authorization: x",
                "Connection: keep-alive",
                "Keep-Alive: 5",
                "TE: trailers",
                "Upgrade: h2c",
                "X-Tollgate-Metadata: x",
                "Content-Length: 5",
            ] {
                assert_eq!(
                    passed(&format!("{line}\r\n"), policy, &[]),
                    "",
                    "{line} under {policy}"
                );
            }
            let hidden = format!("X-Whatever: a {KEY} b\r\n");
            assert_eq!(passed(&hidden, policy, &[]), "");
            let encoded = format!("X-Whatever: %74g-{}\r\n", &KEY[3..]);
            assert_eq!(passed(&encoded, policy, &[]), "");
            assert_eq!(passed("Connection: x-mine\r\nX-Mine: 1\r\n", policy, &[]), "");
        }
    }

    #[test]
    fn the_policies_differ_in_what_tells_who_the_client_is() {
        for (line, hide, keep, strict) in [
            ("X-Forwarded-For: 1.2.3.4", false, true, false),
            ("CF-Connecting-IP: 1.2.3.4", false, true, false),
            ("Via: 1.1 a", false, true, false),
            ("User-Agent: python", false, true, false),
            ("X-Stainless-Lang: python", false, true, false),
            ("Sec-Fetch-Mode: cors", false, true, false),
            ("traceparent: 00-x", false, true, false),
            ("OpenAI-Organization: org-1", false, true, false),
            ("OpenAI-Project: proj-1", false, true, false),
            ("X-My-Header: ü", true, true, false),
            ("Content-Type: application/json", true, true, true),
            ("anthropic-version: 2023-06-01", true, true, true),
            ("OpenAI-Beta: x", true, true, true),
        ] {
            let line = format!("{line}\r\n");
            for (policy, passes) in [
                (HeaderPolicy::Hide, hide),
                (HeaderPolicy::Keep, keep),
                (HeaderPolicy::Strict, strict),
            ] {
                let expected = if passes { line.as_str() } else { "" };
                assert_eq!(passed(&line, policy, &[]), expected, "{policy}");
            }
        }
    }

    #[test]
    fn rules_come_last() {
        let rule = |name: &str, value: Option<&str>| HeaderRule {
            name: name.into(),
            value: value.map(str::to_owned),
        };
        let rules = [rule("x-a", Some("ours")), rule("x-b", None), rule("x-c", Some("new"))];
        let out = passed("X-A: theirs\r\nX-B: theirs\r\nX-D: d\r\n", HeaderPolicy::Hide, &rules);
        assert_eq!(out, "X-D: d\r\nx-a: ours\r\nx-c: new\r\n");
    }

    #[test]
    fn the_query_loses_the_callers_key_and_nothing_else() {
        let asked = |target: &str, to_model, add| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let head = RequestHead::parse(Bytes::from(text), 100, 8192).unwrap();
            query(&head, KEY, to_model, add)
        };
        let read = |target: &str, add| asked(target, false, add);
        assert_eq!(asked("/x?alt=sse&key=dummy", true, None), Some("alt=sse".into()));
        assert_eq!(asked("/x?key=dummy&monkey=1", true, None), Some("monkey=1".into()));
        assert_eq!(read("/x", None), None);
        assert_eq!(read("/x?", None), Some(String::new()));
        assert_eq!(read("/x?a=%20b&&c", None), Some("a=%20b&&c".into()));
        assert_eq!(read(&format!("/x?key={KEY}&alt=sse"), None), Some("alt=sse".into()));
        assert_eq!(read(&format!("/x?key={KEY}"), None), None);
        assert_eq!(read("/x?key=other", None), Some("key=other".into()));
        let add = Some(("key", "a&b"));
        assert_eq!(read("/x?key=other&b=1", add), Some("b=1&key=a%26b".into()));
    }

    #[test]
    fn a_client_sees_nothing_of_our_account() {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nSet-Cookie: x\r\nOpenAI-Organization: us\r\n\
             x-ratelimit-limit-requests: 5\r\nCF-Ray: x\r\nServer: x\r\nx-request-id: req_1\r\nOpenAI-Version: 2\r\n\
             Content-Encoding: gzip\r\n\r\n";
        let head = ResponseHead::parse(Bytes::from(text), 100).unwrap();
        let mut out = Vec::new();
        to_client(&mut out, &head, true);
        let unpacked = "Content-Type: a/b\r\nOpenAI-Version: 2\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), unpacked);
        let mut out = Vec::new();
        to_client(&mut out, &head, false);
        let as_it_came = format!("{unpacked}Content-Encoding: gzip\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), as_it_came);
    }
}
