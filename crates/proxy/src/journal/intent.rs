//! The intent: what is known of a call before any provider is asked. It becomes a log entry only
//! when the process ends before the call does.

use domain::log::{LogEntry, Outcome, Usage, UsageSource};
use domain::{Dialect, ServiceKeyId, UserId};
use uuid::Uuid;

/// What is known of a call at admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent<'a> {
    /// The id that the call's log entry will have.
    pub id: Uuid,
    /// When the call was admitted, in microseconds since 1970.
    pub started_us: i64,
    /// The `x-request-id` of the answer.
    pub request_id: &'a str,
    /// The service key that was shown.
    pub service_key: ServiceKeyId,
    /// What that key is called.
    pub service_key_name: &'a str,
    /// Who owns that key.
    pub owner: UserId,
    /// The model that the client asked for.
    pub model_asked: Option<&'a str>,
    /// The dialect that the client speaks; none on `/proxy/…`.
    pub dialect: Option<Dialect>,
    /// The HTTP method.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The client's address, masked as configured.
    pub client_ip: Option<&'a str>,
    /// Body bytes that had come by then.
    pub bytes_in: u64,
}

impl<'a> Intent<'a> {
    /// Appends the fields after the id, which the record carries itself: numbers in little
    /// endian, texts with their length before them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.started_us.to_le_bytes());
        out.extend_from_slice(&self.service_key.0.to_le_bytes());
        out.extend_from_slice(&self.owner.0.to_le_bytes());
        out.extend_from_slice(&self.bytes_in.to_le_bytes());
        for text in [
            Some(self.request_id),
            Some(self.service_key_name),
            Some(self.method),
            Some(self.path),
            self.model_asked,
            self.dialect.map(Dialect::as_str),
            self.client_ip,
        ] {
            let length = text.map_or(u32::MAX, |text| text.len() as u32);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
    }

    /// Reads what [`Intent::write`] wrote; none when it is something else.
    pub(super) fn read(id: Uuid, bytes: &'a [u8]) -> Option<Intent<'a>> {
        let mut rest = bytes;
        Some(Intent {
            id,
            started_us: number(&mut rest)?,
            service_key: ServiceKeyId(number(&mut rest)?),
            owner: UserId(number(&mut rest)?),
            bytes_in: number(&mut rest)? as u64,
            request_id: text(&mut rest)??,
            service_key_name: text(&mut rest)??,
            method: text(&mut rest)??,
            path: text(&mut rest)??,
            model_asked: text(&mut rest)?,
            dialect: text(&mut rest)?.and_then(|name| name.parse().ok()),
            client_ip: text(&mut rest)?,
        })
    }

    /// The log entry of a call that the process did not live to see the end of.
    pub(super) fn interrupted(&self) -> LogEntry {
        LogEntry {
            id: self.id,
            request_id: self.request_id.to_owned(),
            started_us: self.started_us,
            service_key: self.service_key,
            service_key_name: self.service_key_name.to_owned(),
            owner: self.owner,
            upstream: None,
            upstream_name: None,
            provider_key: None,
            provider_key_name: None,
            model_asked: self.model_asked.map(str::to_owned),
            model_used: None,
            dialect: self.dialect,
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            status: 0,
            outcome: Outcome::Interrupted,
            bytes_in: self.bytes_in,
            bytes_out: 0,
            latency_us: 0,
            first_byte_us: None,
            streamed: false,
            usage: Usage::default(),
            usage_source: UsageSource::None,
            cost_nano: None,
            attempts: Vec::new(),
            error: Some("the gateway stopped before this call ended".to_owned()),
            client_ip: self.client_ip.map(str::to_owned),
            decision: Vec::new(),
            tags: Vec::new(),
            waited_us: 0,
        }
    }
}

fn number(rest: &mut &[u8]) -> Option<i64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(i64::from_le_bytes(*number))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a str>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    let length = u32::from_le_bytes(*length);
    if length == u32::MAX {
        return Some(None);
    }
    let (text, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(Some(std::str::from_utf8(text).ok()?))
}
