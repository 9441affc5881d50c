//! Withdraws the leases of calls whose service key, upstream or provider key may no longer be used, by
//! an edit or because its time is over.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Caller, KeyStatus};

use crate::{
    gateway::{Gateway, World, lease::Grant},
    pool::balancer::Slot,
    refusal::revoked::Revoked,
};

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

impl Gateway {
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
    use std::{sync::Arc, time::Duration};

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
        let at_once = gateway.leases.lease(grant(), Duration::ZERO);
        let later = gateway.leases.lease(grant(), Duration::from_secs(3600));
        assert_eq!((at_once.over(), at_once.ends().now_or_never()), (None, None));
        gateway.check_leases();
        assert_eq!(at_once.over(), Some(Revoked::KeyGone));
        assert_eq!(later.over(), None, "it may go on for an hour");
        drop((at_once, later));
        assert!(gateway.leases.is_empty());
    }
}
