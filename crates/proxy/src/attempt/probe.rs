//! Asking a provider whether it accepts a key, with a question that costs nothing: for its models.
//! Only suspended keys are asked by themselves, and those that a person asks about.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Dialect, ErrorClass, Upstream, live::KeyTest, policy::Probe};
use pingora_timeout::timeout;

use crate::{
    attempt::{address, classify::classify, outbound::placed},
    clock::Clock,
    gateway::Running,
    headers,
    http1::{Conn, Decoder, Framing, ResponseHead},
    pool::{balancer::Slot, line::Connector},
};

/// A provider that takes longer has not answered.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest head of an answer, most fields in it, and how much of its body is looked at.
const HEAD_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 256;
const BODY_MAX: usize = 64 << 10;

/// Asks about the key of `slot`.
pub(crate) async fn ask(with: (&Connector, &Clock), running: &Running, slot: &Slot) -> KeyTest {
    let began = Instant::now();
    let answered = timeout(PATIENCE, exchange(with, running, slot)).await;
    let latency = began.elapsed();
    let (status, class, words) = match answered {
        Ok(Ok((status, class))) => (Some(status), class, format!("the provider answered {status}")),
        Ok(Err(words)) => (None, Some(ErrorClass::Network), words),
        Err(_) => {
            let words = "the provider did not answer in time".to_owned();
            (None, Some(ErrorClass::Timeout), words)
        }
    };
    let accepted = match class {
        None | Some(ErrorClass::ClientFault) => Some(true),
        Some(class) if class.is_the_keys() => Some(false),
        Some(_) => None,
    };
    let words = (accepted != Some(true)).then(|| match class {
        Some(class) if status.is_some() => format!("{words} ({class})"),
        _ => words,
    });
    KeyTest { accepted, status, latency, words, resting_until: None }
}

async fn exchange(
    (connector, clock): (&Connector, &Clock),
    running: &Running,
    slot: &Slot,
) -> Result<(u16, Option<ErrorClass>), String> {
    let upstream = &running.entry.upstream;
    let asked = asked(upstream)?;
    let Answered { status, head, body } =
        get(connector, running, Some(slot), asked, BODY_MAX).await?;
    if (300..400).contains(&status) {
        // Whoever sends us elsewhere has not looked at the key.
        return Ok((status, Some(ErrorClass::Unknown)));
    }
    if status < 400 {
        return Ok((status, None));
    }
    let now = clock.now();
    let verdict = classify(upstream, status, head.iter(), &body, now);
    Ok((status, Some(verdict.class)))
}

/// What a provider answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    head: ResponseHead,
    /// Its body, capped.
    pub(crate) body: Vec<u8>,
}

/// Asks the provider for `path`, on a connection of its own; of the answer `most` bytes are read.
pub(crate) async fn get(
    connector: &Connector,
    running: &Running,
    slot: Option<&Slot>,
    path: &str,
    most: usize,
) -> Result<Answered, String> {
    let upstream = &running.entry.upstream;
    let question = question(upstream, slot, path);
    let connect = connector.connect(&running.line, upstream.timeouts.connect);
    let mut conn = connect.await.map_err(|fault| fault.to_string())?;
    conn.wr.send(&[&question]).await.map_err(|_| broken())?;
    let raw = conn.rd.head_now(HEAD_MAX).await.map_err(|_| broken())?;
    let head = ResponseHead::parse(raw, FIELDS_MAX).map_err(|bad| format!("malformed: {bad}"))?;
    let body = body(&mut conn, &head, most).await;
    Ok(Answered { status: head.status, head, body })
}

fn broken() -> String {
    "the provider broke the connection".to_owned()
}

/// The path that is asked, and its query. What could be read as more than that is never sent,
/// whoever stored it.
fn asked(upstream: &Upstream) -> Result<&str, String> {
    let gemini = upstream.dialects.contains(&Dialect::Gemini);
    let usual = if gemini { "/v1beta/models?pageSize=1" } else { "/v1/models" };
    let asked = upstream.policy.probe.path.as_deref().unwrap_or(usual);
    let words = "nothing was asked: `policy.probe.path` is not a path";
    Probe::is_path(asked).then_some(asked).ok_or_else(|| words.to_owned())
}

/// The request: the head alone, for one connection that is not kept.
fn question(upstream: &Upstream, slot: Option<&Slot>, asked: &str) -> Bytes {
    let (path, query) = asked.split_once('?').map_or((asked, None), |(p, q)| (p, Some(q)));
    let mut head = b"GET ".to_vec();
    address::push_path(&mut head, upstream, path, None);
    let query = address::with_fields(query.map(str::to_owned), &upstream.query);
    if let Some(query) = address::with_key(query, placed(upstream, slot)) {
        head.push(b'?');
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nconnection: close\r\nhost: ");
    head.extend_from_slice(upstream.base_url.authority().as_bytes());
    head.extend_from_slice(b"\r\naccept: application/json\r\naccept-encoding: identity\r\n");
    if upstream.dialects.contains(&Dialect::AnthropicMessages) {
        head.extend_from_slice(b"anthropic-version: 2023-06-01\r\n");
    }
    headers::push_own(&mut head, &upstream.header_rules);
    if let Some(slot) = slot {
        headers::push_key(&mut head, &upstream.key_placement, &slot.key.secret);
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// As much of the body as is looked at, or as came before it broke.
async fn body(conn: &mut Conn, head: &ResponseHead, most: usize) -> Vec<u8> {
    let framing = match (head.chunked, head.content_length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    let (mut decoder, mut body) = (Decoder::new(framing), Vec::new());
    while body.len() < most && !decoder.is_done() {
        match conn.rd.body(&mut decoder).await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            _ => break,
        }
    }
    body.truncate(most);
    body
}

#[cfg(test)]
mod tests {
    use domain::{BaseUrl, UpstreamId, UserId};

    use super::*;

    #[test]
    fn only_a_path_is_asked() {
        let check = |path: &str, good: bool| {
            let base_url = BaseUrl::parse("https://api.openai.com").unwrap();
            let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base_url);
            upstream.policy.probe.path = Some(path.to_owned());
            let asked = asked(&upstream);
            assert_eq!(asked.as_deref().ok(), good.then_some(path), "{path:?}");
            assert!(good || asked.unwrap_err().contains("not a path"));
        };
        check("/v1/models?limit=1", true);
        check("/ HTTP/1.1\r\nhost: elsewhere\r\n\r\nDELETE /v1/files", false);
        check("/v1/mod els", false);
        check("v1/models", false);
    }
}
