//! Failures of an upstream that are no key's own fault, and what follows from them once it is known
//! whether the call was answered.

use std::{sync::Arc, time::Duration};

use domain::ErrorClass;

use crate::{
    admission::Permit,
    attempt::round::Round,
    pool::{balancer::Slot, health},
};

/// Most failures of one upstream that one call meets while other keys may do better.
const FAULTS_MAX: u32 = 8;

/// A failed attempt that is no key's own fault.
pub(super) struct Fault {
    /// With which key.
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) class: ErrorClass,
    /// How long the provider asked to be left alone.
    pub(super) asked: Option<Duration>,
}

impl Round<'_> {
    /// Whether keys that were not tried yet may do although the upstream failed as often as it may:
    /// its last call ended well, so this may be the trouble of a few keys.
    pub(super) fn others_may_do_better(
        &self,
        failed_times: u32,
        class: ErrorClass,
        keyed: bool,
    ) -> bool {
        let answers = class != ErrorClass::Timeout && health::may_be_one_keys(class);
        let retries = self.target.entry.upstream.retry_count > 0;
        let model = self.target.model.as_deref();
        keyed
            && retries
            && answers
            && failed_times < FAULTS_MAX
            && !self.running.health.fails(model)
    }

    /// Draws the consequences of what failed and is no key's own fault: where the call was answered
    /// the upstream is well, and what failed with other keys is theirs.
    pub(super) fn conclude(&self, permit: &Permit, faults: Vec<Fault>, answered: bool) {
        if faults.is_empty() {
            return;
        }
        let gateway = self.asking.gateway;
        let (model, now_us) = (self.target.model.as_deref(), gateway.settings.clock.now_us());
        let good = permit.stake.picked.as_ref().map(|picked| picked.slot.key.id);
        for Fault { slot, class, asked } in faults {
            let case = self.running.case(slot.as_ref(), model, permit.entry.id(), now_us);
            let other = slot.as_ref().is_some_and(|slot| Some(slot.key.id) != good);
            gateway.teller.tell(match answered {
                true if other => health::failed_alone(&case, class),
                true => Vec::new(),
                false => health::unanswered(&case, class, asked),
            });
        }
    }
}
