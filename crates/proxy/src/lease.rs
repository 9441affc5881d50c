//! What lets a call run on: its service key, its upstream and its provider key. A long call holds a
//! [`Lease`] that tells it when one of them is withdrawn, by an edit or because its time is over.
//!
//! One task looks through all leases by the clock ([`Gateway::check_leases`]): a socket has no timer
//! of its own, and a call without a lease costs nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{Caller, KeyFault, KeyStatus, UpstreamId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    balancer::Slot,
    gateway::{Gateway, World},
};

/// How often leases are looked through: with the quarter of a second that an edit takes to be
/// served, a socket closes within a second.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// Over how many locks the leases are spread.
const SHARDS: usize = 16;

/// Why a call may not go on. The texts fit the reason of a WebSocket's close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Revoked {
    #[error("the service key was deleted or rotated")]
    KeyGone,
    #[error("the service key {}", .0.words())]
    KeyRefused(KeyFault),
    #[error("the service key is not accepted {0}")]
    KeptOut(&'static str),
    #[error("the service key may no longer use this upstream")]
    UpstreamForbidden,
    #[error("the service key may no longer ask for this model")]
    ModelForbidden,
    #[error("the upstream was deleted or switched off")]
    UpstreamOff,
    #[error("the gateway restarts; connect again")]
    Draining,
    #[error("the provider key of this call was withdrawn; another call gets another one")]
    ProviderKey,
}

impl Revoked {
    /// The HTTP status of the same fact.
    pub(crate) fn status(self) -> u16 {
        match self {
            Revoked::KeyGone | Revoked::KeyRefused(_) => 401,
            Revoked::UpstreamOff | Revoked::ProviderKey | Revoked::Draining => 503,
            _ => 403,
        }
    }

    /// The code of the close frame (RFC 6455, 7.4.1, and IANA's registry): 1008 where the caller may
    /// not go on, 1012 where the same caller is served again when it connects anew.
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Revoked::UpstreamOff | Revoked::ProviderKey | Revoked::Draining => 1012,
            _ => 1008,
        }
    }
}

/// What a call was let in by.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The part of the service key by which it is found.
    pub(crate) public_id: String,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) method: String,
    /// The model as the client named it.
    pub(crate) model: Option<String>,
    /// Where it was sent; none where it may go to several places.
    pub(crate) upstream: Option<UpstreamId>,
    /// With which provider key.
    pub(crate) slot: Option<Arc<Slot>>,
}

impl Grant {
    /// Why it no longer holds, if it does not.
    fn withdrawn(&self, world: &World, now: DateTime<Utc>) -> Option<Revoked> {
        let caller = world.snapshot.caller(&self.public_id);
        let valid = caller.filter(|caller| caller.digest(&self.public_id, now).is_some());
        let Some(caller) = valid else { return Some(Revoked::KeyGone) };
        self.caller_refused(caller, now).or_else(|| self.upstream_withdrawn(world, caller, now))
    }

    fn caller_refused(&self, caller: &Caller, now: DateTime<Utc>) -> Option<Revoked> {
        let refused = caller.refused_at(now).map(Revoked::KeyRefused);
        let kept_out = || caller.kept_out(self.ip, &self.method, now).map(Revoked::KeptOut);
        let forbidden = || {
            let model = self.model.as_deref()?;
            (!caller.may_ask_for(model)).then_some(Revoked::ModelForbidden)
        };
        refused.or_else(kept_out).or_else(forbidden)
    }

    fn upstream_withdrawn(
        &self,
        world: &World,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Option<Revoked> {
        let id = self.upstream?;
        let Some(running) = world.running(id).filter(|running| running.entry.upstream.enabled)
        else {
            return Some(Revoked::UpstreamOff);
        };
        if !caller.may_reach(&running.entry.upstream) {
            return Some(Revoked::UpstreamForbidden);
        }
        let used = self.slot.as_ref()?;
        // Another secret in the same row is another key, and has a health of its own.
        let same = |slot: &&Arc<Slot>| Arc::ptr_eq(&slot.health, &used.health);
        let Some(slot) = running.pool.slot(used.key.id).filter(same) else {
            return Some(Revoked::ProviderKey);
        };
        let banned = slot.health.standing(None, now).is_some_and(|standing| {
            matches!(standing.status, KeyStatus::Banned | KeyStatus::DisabledManual)
        });
        banned.then_some(Revoked::ProviderKey)
    }
}

/// All leases that are held now.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    shards: [Mutex<HashMap<u64, Arc<Held>>>; SHARDS],
    next: AtomicU64,
}

/// One lease, as the task that looks through them sees it.
#[derive(Debug)]
struct Held {
    grant: Grant,
    /// Why and when it was withdrawn.
    withdrawn: OnceLock<(Revoked, Instant)>,
    told: Notify,
}

impl Leases {
    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Arc<Held>>> {
        &self.shards[id as usize % SHARDS]
    }

    /// Withdraws every lease whose grant no longer holds.
    fn check(&self, withdrawn: impl Fn(&Grant) -> Option<Revoked>) {
        for shard in &self.shards {
            for held in shard.lock().values() {
                if held.withdrawn.get().is_none()
                    && let Some(why) = withdrawn(&held.grant)
                {
                    let _ = held.withdrawn.set((why, Instant::now()));
                    held.told.notify_waiters();
                }
            }
        }
    }
}

/// A call's right to run on; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    gateway: Arc<Gateway>,
    id: u64,
    held: Arc<Held>,
    /// How long the call may go on once it is withdrawn.
    grace: Duration,
}

impl Lease {
    /// Why the call must end now, if it must.
    pub(crate) fn over(&self) -> Option<Revoked> {
        let (why, at) = self.held.withdrawn.get()?;
        (at.elapsed() >= self.grace).then_some(*why)
    }

    /// Waits until the call must end. May be dropped at any time.
    pub(crate) async fn ends(&self) -> Revoked {
        let (why, at) = loop {
            let told = self.held.told.notified();
            if let Some(withdrawn) = self.held.withdrawn.get() {
                break *withdrawn;
            }
            told.await;
        };
        pingora_timeout::sleep(self.grace.saturating_sub(at.elapsed())).await;
        why
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gateway.leases.shard(self.id).lock().remove(&self.id);
    }
}

impl Gateway {
    /// A lease on `grant`; once that is withdrawn the call may go on for `grace`.
    pub(crate) fn lease(self: &Arc<Self>, grant: Grant, grace: Duration) -> Lease {
        let id = self.leases.next.fetch_add(1, Ordering::Relaxed);
        let held = Held { grant, withdrawn: OnceLock::new(), told: Notify::new() };
        let held = Arc::new(held);
        self.leases.shard(id).lock().insert(id, held.clone());
        Lease { gateway: self.clone(), id, held, grace }
    }

    /// Looks through all leases, and tells the calls whose grant was withdrawn.
    pub(crate) fn check_leases(&self) {
        let (world, now) = (self.world(), self.settings.clock.now());
        let draining = self.is_draining();
        self.leases.check(|grant| match grant.withdrawn(&world, now) {
            // A call that was sent somewhere may finish; a socket that waits for calls need not wait.
            None => (draining && grant.upstream.is_none()).then_some(Revoked::Draining),
            why => why,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use auth::MasterKey;
    use cluster::Counters;
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        journal::{self, Journal},
        settings::Settings,
    };

    /// A gateway that knows no service key.
    fn gateway() -> (Arc<Gateway>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _drain) = Journal::open(journal::Settings::new(dir.path())).unwrap();
        let settings = Settings::new("127.0.0.1:0".parse().unwrap());
        let keys = MasterKey::generate().service_keys();
        (Gateway::new(settings, keys, journal, Counters::memory()), dir)
    }

    fn grant() -> Grant {
        Grant {
            public_id: "AAAAAAAA".to_owned(),
            ip: None,
            method: "GET".to_owned(),
            model: None,
            upstream: None,
            slot: None,
        }
    }

    #[test]
    fn a_withdrawn_lease_is_over_after_its_grace_and_leaves_nothing_behind() {
        let (gateway, _dir) = gateway();
        let at_once = gateway.lease(grant(), Duration::ZERO);
        let later = gateway.lease(grant(), Duration::from_secs(3600));
        assert_eq!((at_once.over(), at_once.ends().now_or_never()), (None, None));
        gateway.check_leases();
        assert_eq!(at_once.over(), Some(Revoked::KeyGone));
        assert_eq!(later.over(), None, "it may go on for an hour");
        drop((at_once, later));
        assert!(gateway.leases.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn reasons_fit_a_close_frame() {
        for why in [
            Revoked::KeyGone,
            Revoked::KeyRefused(KeyFault::Disabled),
            Revoked::KeptOut("from this address"),
            Revoked::UpstreamForbidden,
            Revoked::ModelForbidden,
            Revoked::UpstreamOff,
            Revoked::Draining,
            Revoked::ProviderKey,
        ] {
            assert!(why.to_string().len() <= 123, "{why}");
        }
    }
}
