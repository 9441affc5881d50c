//! What lets a call run on: its service key, its upstream and its provider key. A long call holds a
//! [`Lease`] that tells it when one of them is withdrawn, by an edit or because its time is over.
//!
//! One task looks through all leases by the clock (`revocation`): a socket has no timer of its own,
//! and a call without a lease costs nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::UpstreamId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{pool::balancer::Slot, refusal::revoked::Revoked};

/// How often leases are looked through: with the quarter of a second that an edit takes to be
/// served, a socket closes within a second.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// Over how many locks the leases are spread.
const SHARDS: usize = 16;

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

    /// A lease on `grant`; once that is withdrawn the call may go on for `grace`.
    pub(crate) fn lease(self: &Arc<Self>, grant: Grant, grace: Duration) -> Lease {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let held = Held { grant, withdrawn: OnceLock::new(), told: Notify::new() };
        let held = Arc::new(held);
        self.shard(id).lock().insert(id, held.clone());
        Lease { leases: self.clone(), id, held, grace }
    }

    /// Whether nobody holds one.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().is_empty())
    }

    /// Withdraws every lease whose grant no longer holds.
    pub(crate) fn check(&self, withdrawn: impl Fn(&Grant) -> Option<Revoked>) {
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
    leases: Arc<Leases>,
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
        self.leases.shard(self.id).lock().remove(&self.id);
    }
}
