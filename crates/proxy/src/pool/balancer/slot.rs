//! One key of a pool.

use std::sync::Arc;

use domain::ProviderKey;

use super::strategy::Candidate;
use crate::pool::health::KeyHealth;

/// A key and how it fares.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: Arc<ProviderKey>,
    pub(crate) health: Arc<KeyHealth>,
}

impl Slot {
    pub(super) fn candidate(&self, now_us: i64) -> Candidate {
        Candidate {
            in_flight: self.health.in_flight(),
            latency: self.health.figures.latency(now_us),
            success_permille: self.health.figures.success_permille(),
            remaining_permille: self.health.remaining_permille(),
        }
    }
}
