//! Sends pending corrections to Redis in numbered batches. Redis remembers the last number, so a
//! batch whose answer was lost is sent again and not counted twice.

use std::sync::Arc;
use std::time::Duration;

use redis::ScriptInvocation;

use super::pending::{Batch, Correction, Undo};
use super::shared::{REMEMBERED_MS, Shared};
use super::spot::{Spot, exact, told};
use crate::ClusterError;

/// The pause after a batch that could not be sent.
const AGAIN: Duration = Duration::from_millis(250);

/// The current batch, until its arrival is confirmed.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Batch>);

impl Shared {
    /// Sends batches as long as this instance lives.
    pub(crate) async fn flush_for_ever(self: Arc<Self>) {
        loop {
            self.pending.some().await;
            while self.flush().await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Sends everything that is pending. What cannot be sent stays pending.
    pub(crate) async fn flush(&self) -> Result<(), ClusterError> {
        let mut outbox = self.outbox.lock().await;
        loop {
            if outbox.0.is_none() {
                outbox.0 = self.pending.next(|| self.number());
            }
            let Some(batch) = &outbox.0 else { return Ok(()) };
            let answer = self.send(batch).await?;
            self.arrived(batch, &answer);
            outbox.0 = None;
        }
    }

    async fn send(&self, batch: &Batch) -> Result<String, ClusterError> {
        let mut call = self.scripts.settle.key(self.name("batch", &self.instance));
        call.arg(&self.instance).arg(batch.number).arg(self.new_life()).arg(REMEMBERED_MS);
        for undo in &batch.undos {
            self.push_undo(&mut call, undo);
        }
        for correction in &batch.corrections {
            self.push_correction(&mut call, correction);
        }
        self.link.invoke(&call).await
    }

    fn push_undo(&self, call: &mut ScriptInvocation<'_>, undo: &Undo) {
        call.key(self.name("reservation", &undo.id));
        call.arg("u").arg(0).arg(&["", "", "", ""]);
        for (index, counter, spot, amount) in &undo.asks {
            let unit = match *spot {
                Spot::Slice { slice_us, .. } => slice_us,
                Spot::Bucket { window_us } => window_us,
                Spot::Period { .. } | Spot::AtOnce => 0,
            };
            call.key(spot.name(self.prefix(), counter));
            call.arg("t").arg(format!("-{}", exact(*amount))).arg(spot.letter());
            call.arg(*index).arg(unit).arg(spot.life_ms(undo.now_us));
        }
    }

    fn push_correction(&self, call: &mut ScriptInvocation<'_>, correction: &Correction) {
        let Correction { counter, spot, delta, count } = correction;
        call.key(spot.name(self.prefix(), counter));
        let count = count.lock();
        call.arg(spot.letter());
        match *spot {
            Spot::Period { start_us, .. } => {
                let period = count.period().filter(|period| period.start_us == start_us);
                let life_ms = spot.life_ms(count.touched_us);
                call.arg(delta.to_string()).arg(&told(period)).arg("").arg(life_ms);
            }
            Spot::Slice { slice_us, slice } => {
                call.arg(delta.to_string()).arg(slice_us).arg(slice).arg(&["", ""]);
            }
            Spot::Bucket { window_us } => {
                call.arg(delta.to_string()).arg(window_us).arg(&["", "", ""]);
            }
            // Under the lock of the counter: a later message is newer.
            Spot::AtOnce => {
                let calls = exact(count.at_once().unwrap_or(0));
                call.arg(calls).arg(self.number()).arg(&["", "", ""]);
            }
        }
    }

    /// Applies the answer of Redis.
    fn arrived(&self, batch: &Batch, answer: &str) {
        let mut words = answer.split(' ');
        let undone: usize = batch.undos.iter().map(|undo| 1 + undo.asks.len()).sum();
        let mut words = words.by_ref().skip(2 * undone);
        for Correction { spot, delta, count, .. } in &batch.corrections {
            let (used, life) = (words.next(), words.next());
            let Spot::Period { start_us, .. } = *spot else { continue };
            let mut count = count.lock();
            if let Some(period) = count.period_from(start_us) {
                period.paid(*delta);
            }
            if let Some(used) = used.and_then(|used| used.parse().ok()) {
                count.hear_period(start_us, used, life.and_then(|life| life.parse().ok()));
            }
        }
    }
}
