//! The intent: what is known of a call before any provider is asked. It becomes a log entry only
//! when the process ends before the call does.

use std::collections::BTreeMap;

use domain::log::{LogEntry, Origin, Outcome, Served, Usage, UsageSource};
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
    /// What the client's headers say of it, in the order of the fields of [`Origin`].
    pub origin: [Option<&'a str>; 6],
    /// What was reserved for the call, where a limit counts tokens or money.
    pub reserved: Option<Reservation>,
}

/// What was reserved for a call: if the process ends first, this is what it is taken to have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Tokens in.
    pub input: u64,
    /// Tokens out.
    pub output: u64,
    /// Billionths of a dollar; none where the price is not known.
    pub cost_nano: Option<i64>,
    /// The configuration revision whose prices that follows.
    pub price_version: i64,
}

impl Reservation {
    const NO_COST: i64 = -1;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.input.to_le_bytes());
        out.extend_from_slice(&self.output.to_le_bytes());
        out.extend_from_slice(&self.cost_nano.unwrap_or(Self::NO_COST).to_le_bytes());
        out.extend_from_slice(&self.price_version.to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> Option<Reservation> {
        Some(Reservation {
            input: number(rest)? as u64,
            output: number(rest)? as u64,
            cost_nano: Some(number(rest)?).filter(|cost| *cost != Self::NO_COST),
            price_version: number(rest)?,
        })
    }
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
            push_text(out, text);
        }
        // Versions before these fields read no further; a record without them is as short as theirs.
        let known = self.origin.iter().any(Option::is_some);
        if !known && self.reserved.is_none() {
            return;
        }
        self.origin.iter().for_each(|text| push_text(out, *text));
        if let Some(reserved) = &self.reserved {
            reserved.write(out);
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
            origin: if rest.is_empty() { [None; 6] } else { texts(&mut rest)? },
            reserved: if rest.is_empty() { None } else { Some(Reservation::read(&mut rest)?) },
        })
    }

    /// The log entry of a call that the process did not live to see the end of.
    pub(super) fn interrupted(&self) -> LogEntry {
        let [session, parent_session, agent, parent_agent, program, version] =
            self.origin.map(|text| text.map(str::to_owned));
        let reserved = self.reserved;
        let usage =
            reserved.map(|r| Usage { input: r.input, output: r.output, ..Usage::default() });
        let cost_nano = reserved.and_then(|reserved| reserved.cost_nano);
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
            usage: usage.unwrap_or_default(),
            usage_source: usage.map_or(UsageSource::Unknown, |_| UsageSource::Estimated),
            cost_nano,
            price_version: cost_nano.and(reserved.map(|reserved| reserved.price_version)),
            attempts: Vec::new(),
            error: Some("the gateway stopped before this call ended".to_owned()),
            client_ip: self.client_ip.map(str::to_owned),
            decision: Vec::new(),
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            waited_us: 0,
            origin: Origin { session, parent_session, agent, parent_agent, program, version },
            served: Served::default(),
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(u32::MAX, |text| text.len() as u32);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

fn number(rest: &mut &[u8]) -> Option<i64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(i64::from_le_bytes(*number))
}

fn texts<'a>(rest: &mut &'a [u8]) -> Option<[Option<&'a str>; 6]> {
    let mut texts = [None; 6];
    for place in &mut texts {
        *place = text(rest)?;
    }
    Some(texts)
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

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Intent<'static> = Intent {
        id: Uuid::nil(),
        started_us: 1,
        request_id: "r",
        service_key: ServiceKeyId(1),
        service_key_name: "app",
        owner: UserId(1),
        model_asked: None,
        dialect: None,
        method: "GET",
        path: "/",
        client_ip: None,
        bytes_in: 0,
        origin: [None; 6],
        reserved: None,
    };

    fn written(intent: &Intent<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        intent.write(&mut out);
        out
    }

    #[test]
    fn what_is_known_comes_back_and_what_is_not_takes_no_room() {
        let reserved = Reservation { input: 7, output: 9, cost_nano: Some(11), price_version: 3 };
        let unpriced = Reservation { cost_nano: None, ..reserved };
        let session = [Some("s"), None, Some("a"), None, None, Some("1.0")];
        for (origin, reserved) in [
            ([None; 6], None),
            (session, None),
            ([None; 6], Some(reserved)),
            (session, Some(unpriced)),
        ] {
            let intent = Intent { origin, reserved, ..BARE };
            let bytes = written(&intent);
            assert_eq!(Intent::read(Uuid::nil(), &bytes), Some(intent));
        }
        // 4 numbers and 7 texts of 4 bytes and their letters: as versions before wrote it.
        assert_eq!(written(&BARE).len(), 4 * 8 + 7 * 4 + "rappGET/".len());
    }

    #[test]
    fn a_call_that_was_cut_short_is_taken_to_have_used_what_was_reserved() {
        let reserved =
            Some(Reservation { input: 7, output: 9, cost_nano: Some(11), price_version: 3 });
        let entry = Intent { reserved, ..BARE }.interrupted();
        assert_eq!((entry.usage.input, entry.usage.output), (7, 9));
        assert_eq!((entry.usage_source, entry.cost_nano), (UsageSource::Estimated, Some(11)));
        assert_eq!(entry.price_version, Some(3));
        assert_eq!(BARE.interrupted().usage_source, UsageSource::Unknown);
    }
}
