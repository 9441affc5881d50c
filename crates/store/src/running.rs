//! What the running gateway tells is kept here, each batch in one transaction: steps of keys and
//! breakers, rules that fired, alerts, and which key made what a provider keeps.
//!
//! Everything is numbered from one counter, whose row is held until the transaction ends. So
//! numbers become visible in their order, and whoever asks for what came after a number misses
//! nothing.

use auth::Actor;
use domain::{Event, KeyState, KeyStatus, ProviderKeyId, Transition};
use tracing::warn;

use crate::{
    MaskedKey, Result, Store, StoreError, alerts, breakers,
    change::numbers,
    standings::{self, COUNTER},
    stored_objects, triggers,
};

/// Most events of one transaction: SQLite takes at most 32,766 values in a statement.
const BATCH: usize = 1000;

impl Store {
    /// Keeps what the gateway told. A key that it gave up is also marked in the configuration, so
    /// that only a person takes it back.
    pub async fn keep_events(&self, events: &[Event]) -> Result<()> {
        self.mark_banned(events).await?;
        for events in events.chunks(BATCH) {
            let tx = self.0.db.write().await?;
            let first = numbers(&tx, COUNTER, events.len()).await?;
            let numbered: Vec<(i64, &Event)> = (first..).zip(events).collect();
            standings::keep(&tx, &numbered, &self.0.origin).await?;
            breakers::keep(&tx, &numbered, &self.0.origin).await?;
            triggers::keep(&tx, &numbered).await?;
            alerts::keep(&tx, &numbered).await?;
            stored_objects::keep(&tx, &numbered, &self.0.origin).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn mark_banned(&self, events: &[Event]) -> Result<()> {
        for event in events {
            if let Event::Transition(Transition { key, model: None, to, .. }) = event
                && to.status == KeyStatus::Banned
            {
                self.mark_key_banned(*key).await?;
            }
        }
        Ok(())
    }

    async fn mark_key_banned(&self, key: ProviderKeyId) -> Result<()> {
        match self.seen_by(&Actor::System).get::<MaskedKey>(key).await {
            Ok(row) if row.value.state == KeyState::Banned => return Ok(()),
            // It was deleted meanwhile.
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(other) => return Err(other),
            Ok(_) => {}
        }
        let ban = |key: &mut MaskedKey| {
            key.state = KeyState::Banned;
            Ok(())
        };
        match self.edit(&Actor::System, key, ban).await {
            Err(error) if error.passing() => Err(error),
            Err(error) => {
                // The running gateway keeps it out all the same, and what it told is kept below.
                warn!(key.id = key.0, %error, "a key that was given up cannot be marked so");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}
