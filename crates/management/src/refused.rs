//! Refusals in the audit trail: failed sign-ins and missing permissions, so many a minute from one
//! network that nobody floods the trail.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use auth::{Actor, Permission};
use axum::http::Method;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::{AuditEvent, Store};

use crate::peer;

/// Refusals of one network that are told in a minute.
const PER_NETWORK: u64 = 10;
/// Refusals of all networks that are told in a minute.
const PER_MINUTE: u64 = 300;
const MINUTE: Duration = Duration::from_secs(60);
/// Longest name of whoever tried to sign in, in characters.
const NAME_MAX: usize = 64;
/// Longest path that is told, in characters.
const PATH_MAX: usize = 200;

/// Counts the refusals of this minute.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    since: Option<Instant>,
    /// By network; the network of callers without an address is `None`.
    seen: HashMap<Option<IpNet>, u64>,
    told: u64,
    /// Refusals that were not told since the last one that was.
    left_out: u64,
}

impl Refusals {
    /// Tells the audit trail of a sign-in that failed.
    pub(crate) async fn failed_login(&self, store: &Store, name: &str, ip: Option<IpAddr>) {
        let Some(left_out) = self.admit(ip, Instant::now()) else { return };
        let plain: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        let event = refusal("login_failed", "auth", json!({}), left_out);
        told(store.note_stranger(&plain, ip, event).await);
    }

    /// Tells the audit trail of a request that somebody lacks the permission for.
    pub(crate) async fn forbidden(
        &self,
        store: &Store,
        (by, ip): (&Actor, Option<IpAddr>),
        permission: Permission,
        asked: Asked,
    ) {
        let Some(left_out) = self.admit(ip, Instant::now()) else { return };
        let path: String = asked.path.chars().take(PATH_MAX).collect();
        let permission = permission.as_str();
        let detail =
            json!({"method": asked.method.as_str(), "path": path, "permission": permission});
        let event = refusal("refused", "access", detail, left_out);
        told(store.note_event(by, event).await);
    }

    /// Whether one more from this address is told, and how many before it were not.
    fn admit(&self, ip: Option<IpAddr>, now: Instant) -> Option<u64> {
        let mut counts = self.0.lock();
        if counts.since.is_none_or(|since| now.duration_since(since) >= MINUTE) {
            let left_out = counts.left_out;
            *counts = Counts { since: Some(now), left_out, ..Counts::default() };
        }
        let full = counts.told >= PER_MINUTE;
        let network = ip.map(peer::network);
        let of_network = counts.seen.get(&network).copied().unwrap_or_default();
        if full || of_network >= PER_NETWORK {
            counts.left_out += 1;
            return None;
        }
        counts.seen.insert(network, of_network + 1);
        counts.told += 1;
        Some(std::mem::take(&mut counts.left_out))
    }
}

/// What was asked for.
pub(crate) struct Asked {
    /// The method.
    pub(crate) method: Method,
    /// The path, without the query.
    pub(crate) path: String,
}

fn refusal(
    action: &'static str,
    subject: &'static str,
    mut detail: Value,
    left_out: u64,
) -> AuditEvent {
    if left_out > 0 {
        detail["left_out_before"] = left_out.into();
    }
    AuditEvent { refused: true, detail, ..AuditEvent::done(action, subject) }
}

/// Whoever is refused learns so even where the trail cannot be written.
fn told(noted: store::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "a refusal could not be noted in the audit trail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refusals_from_one_network_some_are_told_and_the_rest_is_counted() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let ip = |text: &str| Some(text.parse().unwrap());
        let told = (0..25).filter(|_| refusals.admit(ip("203.0.113.7"), now).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(refusals.admit(ip("203.0.113.8"), now), Some(15));
        let same = (0..25).filter(|_| refusals.admit(ip("2001:db8::1"), now).is_some()).count();
        assert_eq!((same, refusals.admit(ip("2001:db8::2"), now)), (10, None));
        let later = now + MINUTE;
        assert_eq!(refusals.admit(ip("203.0.113.7"), later), Some(16));
    }

    #[test]
    fn from_however_many_networks_they_come_so_many_are_told_a_minute() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let told = (0..5000_u32)
            .filter(|i| refusals.admit(Some(std::net::Ipv4Addr::from(*i).into()), now).is_some());
        assert_eq!(told.count() as u64, PER_MINUTE);
        assert!(refusals.0.lock().seen.len() as u64 <= PER_MINUTE);
    }
}
